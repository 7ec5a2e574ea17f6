# Heroku's prefixes, and the config vars for what has to know them.
step() { echo "-----> $*"; }
detail() { echo "       $*"; }
warn() { printf ' !     %s\n' "$@"; }
fail() {
  warn "$@"
  exit 1
}
indent() { sed -u '/^[[:space:]]*$/d; s/^/       /'; }

# A config var, or a default.
config() {
  if [ -f "$ENV_DIR/$1" ]; then cat "$ENV_DIR/$1"; else echo "$2"; fi
}

# Run a command with the config vars in its environment, but for those that would break it.
with_config_vars() (
  for file in "$ENV_DIR"/*; do
    name=${file##*/}
    case $name in
    '*' | PATH | HOME | GIT_DIR | LD_* | NODE_OPTIONS) ;;
    *) export "$name=$(cat "$file")" ;;
    esac
  done
  exec "$@"
)
