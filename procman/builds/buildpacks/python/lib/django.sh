# Django's static files, as Heroku collects them.
collect_static() {
  local manage
  if [ -f "$ENV_DIR/DISABLE_COLLECTSTATIC" ] && [ "$(cat "$ENV_DIR/DISABLE_COLLECTSTATIC")" != 0 ]; then
    [ -f manage.py ] && step "Skipping Django collectstatic since the env var DISABLE_COLLECTSTATIC is set."
    return 0
  fi
  manage=$(find . -maxdepth 3 -type f -name manage.py -not -path './.heroku/*' -printf '%d %P\n' | sort | head -1)
  manage=${manage#* }
  [ -n "$manage" ] && "$VENV/bin/python" -c 'import django' 2>/dev/null || return 0
  if ! with_config_vars "$VENV/bin/python" "$manage" collectstatic --help >/dev/null 2>"$TMPDIR/collectstatic"; then
    if grep -q 'Unknown command' "$TMPDIR/collectstatic"; then
      detail "django.contrib.staticfiles is not installed: no collectstatic"
      return 0
    fi
  fi
  step "\$ python $manage collectstatic --noinput"
  if ! with_config_vars "$VENV/bin/python" "$manage" collectstatic --noinput --traceback 2>&1 | sed -u '/^Copying/d; /^$/d; s/^/       /'; then
    fail "Error while running '\$ python $manage collectstatic --noinput'." \
      "See the traceback above. To go on without it: heroku config:set DISABLE_COLLECTSTATIC=1"
  fi
}
