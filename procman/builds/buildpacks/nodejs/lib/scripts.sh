# shellcheck shell=bash
# The scripts of package.json. Sourced by bin/compile.

has_script() { node -e 'process.exit(require("./package.json").scripts?.[process.argv[1]] ? 0 : 1)' "$1"; }

# Run one if there is such a script, with the config vars, by the package manager (which finds node_modules/.bin).
run_script() {
  has_script "$1" || return 0
  step "Running $1"
  (
    export_config_vars
    "$manager" run "$1" 2>&1 | indent
  ) || fail "The script '$1' of package.json failed." "See its output above: $(script "$1")"
}

script() { node -p 'require("./package.json").scripts[process.argv[1]]' "$1"; }

# An app that nothing starts is built all the same (Heroku); whoever pushed it is told.
explain_start() {
  if [[ -f Procfile || -f server.js ]] || has_script start; then
    return 0
  fi
  warn "This app may not specify any way to start a node process." \
    "Add a Procfile (web: node app.js), or a script to package.json: npm pkg set scripts.start='node app.js'"
}
