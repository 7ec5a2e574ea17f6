# shellcheck shell=bash
# Which package manager, and node_modules: from the cache if nothing they are made from has changed. Sourced by
# bin/compile.

# Sets manager and lock; exactly one lock file decides.
choose_manager() {
  local name
  local -a found=()
  manager=npm lock=''
  for name in package-lock.json npm-shrinkwrap.json yarn.lock pnpm-lock.yaml; do
    if [[ -f $name ]]; then
      found+=("$name")
    fi
  done
  case "${found[*]}" in
    'package-lock.json npm-shrinkwrap.json') found=(npm-shrinkwrap.json) ;; # npm's own rule
    *' '*)
      fail "Two different lockfiles found: ${found[*]}" \
        "Each belongs to another package manager, and nobody can tell which one is meant." \
        "Keep the one you use and remove the other: git rm ${found[-1]}"
      ;;
    yarn.lock) manager=yarn ;;
    pnpm-lock.yaml) manager=pnpm ;;
    '') warn "No lockfile: what is installed may differ from build to build. npm install && git add package-lock.json" ;;
  esac
  lock=${found[0]-}
  if [[ $manager != npm ]]; then
    provide "$manager"
  fi
  detail "Node.js $(node --version) and $manager $("$manager" --version) of this host; ${lock:-package.json} says what to install"
}

# provide NAME: the yarn or pnpm that package.json asks for, else the host's, else one from the npm registry.
provide() {
  local wanted home
  wanted=$(node -p '(require("./package.json").packageManager || "").split("+")[0]')
  case $1:$wanted in
    yarn:yarn@[2-9]*) wanted=@yarnpkg/cli-dist${wanted#yarn} ;;
    yarn:yarn@* | pnpm:pnpm@*) ;;
    *)
      if type -P "$1" >/dev/null && "$1" --version >/dev/null 2>&1; then
        return
      fi
      wanted=$1@$([[ $1 == yarn ]] && echo 1 || echo 9)
      ;;
  esac
  home=$cache_dir/tools/${wanted//\//-}
  if [[ ! -x $home/node_modules/.bin/$1 ]]; then
    detail "Installing $wanted"
    rm -rf "$home"
    mkdir -p "$home"
    NODE_ENV='' npm install --no-save --prefix "$home" "$wanted" 2>&1 | indent ||
      fail "$wanted is missing on this host, and cannot be installed." "On the server: npm install -g $1"
  fi
  export PATH=$home/node_modules/.bin:$PATH
}

# Do node_modules follow from files alone? Not without a lock file, and not if scripts of the app run on install.
cacheable() {
  local name
  if [[ -z $lock || "$(config_var NODE_MODULES_CACHE true)" == false || -d .yarn/cache ]]; then
    return 1
  fi
  for name in preinstall install postinstall prepare heroku-prebuild; do
    if has_script "$name"; then
      return 1
    fi
  done
  ! grep -qE '"(file|link|workspace):|"workspaces"' package.json && [[ ! -e pnpm-workspace.yaml ]]
}

# Sets packages_key, empty if there is none. The app's version and scripts have no part in what is installed.
restored() {
  packages_key=''
  if [[ -d node_modules ]] || ! cacheable; then
    return 1
  fi
  packages_key=$({
    node -p 'const app = require("./package.json"); delete app.version; delete app.scripts; JSON.stringify(app)'
    cat "$lock" .npmrc .yarnrc .yarnrc.yml 2>/dev/null || :
  } | key_of 1 "$(node --version)" "$manager" "$("$manager" --version)")
  if ! cached nodejs "$packages_key"; then
    return 1
  fi
  step "Restoring cache"
  if ! cp -a --reflink=auto "$cache_dir/nodejs/tree" node_modules; then
    rm -rf node_modules "$cache_dir/nodejs"
    return 1
  fi
  detail "$lock has not changed: node_modules are those of the last build"
}

keep_packages() {
  if [[ -n $packages_key && -d node_modules ]]; then
    keep nodejs "$packages_key" node_modules
  fi
}

install_packages() {
  local -a words
  step "Installing dependencies"
  case $manager in
    npm) words=(npm install --include=dev) ;;
    yarn) words=(yarn install --immutable) ;;
    pnpm) words=(env CI=true pnpm install --frozen-lockfile --prod=false --store-dir "$cache_dir/pnpm") ;;
  esac
  if [[ $manager == npm && -d node_modules ]]; then
    warn "node_modules is checked into source control: it is rebuilt, not installed." "git rm -r --cached node_modules"
    words=(npm rebuild)
  elif [[ $manager == npm && -n $lock && "$(config_var USE_NPM_INSTALL)" != true ]]; then
    words=(npm ci --include=dev)
  elif [[ $manager == yarn && "$(yarn --version)" == 1.* ]]; then
    words=(yarn install --frozen-lockfile --ignore-engines --production=false)
  fi
  detail "${words[*]}"
  (
    export_config_vars
    "${words[@]}" 2>&1 | indent
  ) || fail "Unable to install dependencies using $manager." "See the log output above: ${lock:-package.json} decided what to install."
}

# What only building needs does not go into the slug, unless a config var says so (Heroku: nodejs-support).
prune() {
  if [[ $NODE_ENV != production || ! -d node_modules || "$(config_var NPM_CONFIG_PRODUCTION)$(config_var YARN_PRODUCTION)" == *false* ]] ||
    ! node -e 'process.exit(Object.keys(require("./package.json").devDependencies || {}).length ? 0 : 1)'; then
    return 0
  fi
  step "Pruning devDependencies"
  case $manager in
    npm) npm prune --omit=dev --ignore-scripts 2>&1 | indent ;;
    pnpm) env CI=true pnpm prune --prod --ignore-scripts 2>&1 | indent ;;
    yarn)
      if [[ "$(yarn --version)" == 1.* ]]; then
        yarn install --frozen-lockfile --ignore-engines --ignore-scripts --prefer-offline --production=true 2>&1 | indent
      else
        detail "Skipping: yarn $(yarn --version) has nothing that does so (YARN_PRODUCTION=false says that it is meant)."
      fi
      ;;
  esac
}
