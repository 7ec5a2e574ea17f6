# Heroku's prefixes, and the config vars for what has to know them.
step() { echo "-----> $*"; }
detail() { echo "       $*"; }
warn() { printf ' !     %s\n' "$@"; }
fail() {
  warn "$@"
  exit 1
}
indent() { sed -u 's/^/       /'; }

# Run a command with the config vars in its environment, but for those that would break it.
with_config_vars() (
  for file in "$ENV_DIR"/*; do
    name=${file##*/}
    case $name in
    PATH | HOME | GIT_DIR | CPATH | CPPATH | LD_* | LIBRARY_PATH | PYTHONHOME | PYTHONPATH | VIRTUAL_ENV) ;;
    *) export "$name=$(cat "$file")" ;;
    esac
  done
  exec "$@"
)
