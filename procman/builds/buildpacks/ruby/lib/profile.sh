# What Heroku's Ruby buildpack sets when a dyno starts (Heroku: ruby-support).
export PATH="$HOME/bin:$HOME/vendor/bundle/bin:$PATH"
export LANG="${LANG:-en_US.UTF-8}" RACK_ENV="${RACK_ENV:-production}" RAILS_ENV="${RAILS_ENV:-production}"
export BUNDLE_PATH="$HOME/vendor/bundle" BUNDLE_BIN="$HOME/vendor/bundle/bin" BUNDLE_DEPLOYMENT=1
export BUNDLE_WITHOUT="${BUNDLE_WITHOUT-development:test}" BUNDLE_APP_CONFIG="$HOME/.bundle"
export RAILS_SERVE_STATIC_FILES="${RAILS_SERVE_STATIC_FILES-enabled}" RAILS_LOG_TO_STDOUT="${RAILS_LOG_TO_STDOUT-enabled}"
