# Package managers: which one, install from its lock file, keep node_modules, prune.
MANAGER=npm LOCK='' RUN=(npm)

has_script() { node -e 'process.exit(require("./package.json").scripts?.[process.argv[1]] ? 0 : 1)' "$1"; }

run_script() {
  has_script "$1" || return 0
  step "Running $1"
  with_config_vars "${RUN[@]}" run "$1" 2>&1 | indent
}

choose_manager() {
  local found=()
  for LOCK in package-lock.json npm-shrinkwrap.json yarn.lock pnpm-lock.yaml; do
    [ -f "$LOCK" ] && found+=("$LOCK")
  done
  if [ ${#found[@]} -gt 1 ] && [ "${found[*]}" != "package-lock.json npm-shrinkwrap.json" ]; then
    fail "Error: Two different lockfiles found: ${found[*]}" "" \
      "Each belongs to another package manager, and they may ask for different packages." \
      "Remove the one you do not use, for example: git rm ${found[-1]} && git commit -m 'One lockfile'"
  fi
  LOCK=${found[0]:-}
  case $LOCK in
  yarn.lock) MANAGER=yarn ;;
  pnpm-lock.yaml) MANAGER=pnpm ;;
  '') warn "No lockfile found: what is installed may differ from build to build. Run npm install, commit package-lock.json." ;;
  esac
  [ "$MANAGER" = npm ] || provide "$MANAGER"
  RUN=("$MANAGER")
  detail "Node.js $(node --version), $MANAGER $("$MANAGER" --version): this host's; ${LOCK:-package.json} says what to install"
}

# yarn and pnpm come from the npm registry, into the cache, if the host has none.
provide() {
  local wanted home
  wanted=$(node -p '(require("./package.json").packageManager || "").split("+")[0]')
  [[ $wanted == "$1@"* ]] || wanted=
  if [ -z "$wanted" ] && command -v "$1" >/dev/null && "$1" --version >/dev/null 2>&1; then return; fi
  case $1:$wanted in yarn:) wanted=yarn@1 ;; yarn:yarn@[2-9]*) wanted=@yarnpkg/cli-dist${wanted#yarn} ;; pnpm:) wanted=pnpm@9 ;; esac
  home=$CACHE_DIR/tools/${wanted//\//-}
  if [ ! -x "$home/node_modules/.bin/$1" ]; then
    detail "Installing $wanted"
    mkdir -p "$home"
    NODE_ENV= npm install --silent --no-save --prefix "$home" "$wanted" 2>&1 | indent ||
      fail "Error: $wanted cannot be installed." "Install it: npm install -g $1"
  fi
  export PATH=$home/node_modules/.bin:$PATH
}

# One line that changes whenever the packages would.
key() {
  {
    echo "layout 1 $(node --version) $MANAGER $("$MANAGER" --version)"
    node -p 'const p = require("./package.json"); delete p.version; delete p.scripts; JSON.stringify(p)'
    cat "$LOCK" .npmrc .yarnrc .yarnrc.yml 2>/dev/null || true
  } | sha256sum | cut -d' ' -f1
}

# Whether node_modules follow from the key alone: a lock file, and no script that runs when they are installed.
cacheable() {
  local name
  [ -n "$LOCK" ] && [ "$(config NODE_MODULES_CACHE true)" != false ] && [ ! -d "$BUILD_DIR/.yarn/cache" ] || return 1
  for name in preinstall install postinstall prepare heroku-prebuild; do
    ! has_script "$name" || return 1
  done
  ! grep -qE '"(file|link|workspace):' package.json
}

restore() {
  if [ ! -d "$CACHE/node_modules" ] || [ -d node_modules ] || ! cacheable; then return 1; fi
  step "Restoring cache"
  if [ "$(cat "$CACHE/key" 2>/dev/null)" != "$(key)" ]; then
    detail "$LOCK, package.json or Node.js has changed: cache discarded"
    return 1
  fi
  cp -a --reflink=auto "$CACHE/node_modules" node_modules
  detail "$LOCK has not changed: node_modules are taken from the cache"
}

keep() {
  rm -rf "$CACHE.new"
  if cacheable && [ -d node_modules ]; then
    mkdir -p "$CACHE.new"
    key >"$CACHE.new/key"
    cp -a --reflink=auto node_modules "$CACHE.new/node_modules"
  fi
  rm -rf "$CACHE"
  [ ! -d "$CACHE.new" ] || mv "$CACHE.new" "$CACHE"
}

install_packages() {
  local words
  step "Installing dependencies"
  if [ -d node_modules ]; then
    warn "node_modules is checked into source control: it is rebuilt, not installed. git rm -r --cached node_modules"
    [ "$MANAGER" != npm ] || words=(npm rebuild)
  fi
  if [ -z "${words:-}" ]; then
    case $MANAGER in
    npm) if [ -n "$LOCK" ]; then words=(npm ci --include=dev); else words=(npm install --include=dev); fi ;;
    yarn) case $(yarn --version) in 1.*) words=(yarn install --frozen-lockfile --ignore-engines --production=false) ;; *) words=(yarn install --immutable) ;; esac ;;
    pnpm) words=(pnpm install --frozen-lockfile --prod=false --store-dir "$CACHE_DIR/pnpm") ;;
    esac
  fi
  detail "${words[*]}"
  with_config_vars "${words[@]}" 2>&1 | indent
}

prune() {
  if [ "$NODE_ENV" != production ] || [ "$NPM_CONFIG_PRODUCTION" = false ] || [ ! -d node_modules ]; then return; fi
  if ! node -e 'process.exit(Object.keys(require("./package.json").devDependencies || {}).length ? 0 : 1)'; then return; fi
  step "Pruning devDependencies"
  case $MANAGER in
  npm) npm prune --omit=dev 2>&1 | indent ;;
  yarn) case $(yarn --version) in 1.*) yarn install --frozen-lockfile --ignore-engines --ignore-scripts --prefer-offline --production=true 2>&1 | indent ;; *) detail "yarn of this version does not prune" ;; esac ;;
  pnpm) pnpm prune --prod --ignore-scripts 2>&1 | indent ;;
  esac
}
