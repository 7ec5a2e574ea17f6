# shellcheck shell=bash
# What all scripts share: Heroku's way to print, config vars, caches. Sourced; expects build_dir, cache_dir, env_dir.

step() { echo "-----> $*"; }
detail() { printf '       %s\n' "$@"; }
indent() { sed -u 's/^/       /'; }
warn() { printf ' !     %s\n' "$@"; }

# The last words of a script: an error, and what to do about it.
fail() {
  echo
  warn "Error: $1"
  shift
  if (($#)); then
    warn "" "$@"
  fi
  exit 1
}

# need PROGRAM WHY PACKAGES: the host's program, or the sentence that says how to get it.
need() {
  command -v "$1" >/dev/null || fail "$1 is missing on this host." "$2" "On the server: apt-get install $3"
}

# config_var NAME DEFAULT: a config var, without exporting it.
config_var() {
  if [[ -f "$env_dir/$1" ]]; then
    cat "$env_dir/$1"
  else
    printf '%s' "${2-}"
  fi
}

# Config vars into the environment, for tools that may need them (a private index, a database). Not those that would
# change how the build itself works.
export_config_vars() {
  local path name
  local kept='^(PATH|HOME|PWD|LANG|SHELL|IFS|BASH_.*|ENV|TMPDIR|PORT|BUILD_DIR|CACHE_DIR|ENV_DIR|GIT_DIR|GIT_WORK_TREE|CPATH|CPPATH|LD_.*'
  kept+='|LIBRARY_PATH|PYTHONHOME|PYTHONPATH|PYTHONSTARTUP|VIRTUAL_ENV|UV_PROJECT_ENVIRONMENT|NODE_OPTIONS|JAVA_OPTS|JAVA_TOOL_OPTIONS)$'
  for path in "$env_dir"/*; do
    name=${path##*/}
    if [[ -f $path && $name =~ ^[A-Za-z_][A-Za-z0-9_]*$ && ! $name =~ $kept ]]; then
      export "$name=$(cat "$path")"
    fi
  done
}

# Installers keep their downloads here, and not in HOME, which is the slug.
caches_outside() {
  mkdir -p "$cache_dir"
  export XDG_CACHE_HOME=$cache_dir/xdg PIP_CACHE_DIR=$cache_dir/pip UV_CACHE_DIR=$cache_dir/uv
  export NPM_CONFIG_CACHE=$cache_dir/npm YARN_CACHE_FOLDER=$cache_dir/yarn COREPACK_HOME=$cache_dir/corepack
  export UV_LINK_MODE=copy npm_config_package_import_method=copy # a file of the slug is never one of the cache, too
  export XDG_CONFIG_HOME=$cache_dir/config XDG_DATA_HOME=$cache_dir/data XDG_STATE_HOME=$cache_dir/state
}

# key_of WORDS… : a name for what something was made from; file contents go in by stdin.
key_of() {
  { printf '%s\n' "$@"; cat; } | sha256sum | cut -d' ' -f1
}

# cached NAME KEY: does the cache hold that entry, made from exactly that?
cached() {
  [[ -f "$cache_dir/$1/key" && "$(cat "$cache_dir/$1/key")" == "$2" ]]
}

# keep NAME KEY FOLDER: put a copy of FOLDER into the cache; after this the entry is whole or is not there.
keep() {
  local part=$cache_dir/$1.part
  rm -rf "$part" "${cache_dir:?}/$1"
  mkdir -p "$part"
  if cp -a --reflink=auto "$3" "$part/tree" && printf '%s' "$build_dir" >"$part/place" && printf '%s' "$2" >"$part/key"; then
    mv "$part" "$cache_dir/$1"
  else
    rm -rf "$part"
    warn "The cache could not be written; the next build starts without it."
  fi
}

# own_folder PATH: refuse a path of the app that is a link: what is written there would land elsewhere.
own_folder() {
  local at=$build_dir part
  local IFS=/
  for part in $1; do
    at+=/$part
    [[ ! -L $at ]] || fail "$1 in the repository leads through a symbolic link." "Commit a folder, or nothing, at that place."
  done
  mkdir -p "$build_dir/$1" || fail "$1 in the repository is not a folder."
}
