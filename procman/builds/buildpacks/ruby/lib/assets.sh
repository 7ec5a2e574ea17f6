# shellcheck shell=bash
# Rails' assets. Sourced by bin/compile.

# Run `rake assets:precompile` where there is such a task and nobody has committed its result (Heroku: rails-asset-pipeline).
precompile_assets() {
  if [[ ! -f Rakefile ]] || ! grep -qE '^    rake \(' Gemfile.lock || compgen -G 'public/assets/.sprockets-manifest-*' >/dev/null || [[ -f public/assets/manifest.yml ]]; then
    return 0
  fi
  local log
  log=$(mktemp)
  if (
    export_config_vars
    export SECRET_KEY_BASE=${SECRET_KEY_BASE:-only-while-it-is-built}
    if ! bundle exec rake -P >"$log" 2>&1; then
      step "Detecting rake tasks"
      detail "The Rakefile cannot be loaded: assets are not made."
      tail -n 5 "$log" | indent
    elif grep -q '^rake assets:precompile$' "$log"; then
      step "Preparing app for Rails asset pipeline"
      detail "Running: rake assets:precompile"
      bundle exec rake assets:precompile 2>&1 | indent
    fi
  ); then
    rm -f "$log"
  else
    rm -f "$log"
    fail "Precompiling assets failed." "See the output above. Config vars are set during it."
  fi
}
