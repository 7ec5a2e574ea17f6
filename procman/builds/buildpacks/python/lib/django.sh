# shellcheck shell=bash
# Django's static files. Sourced by bin/compile.

# Run collectstatic if this is a Django app and nobody has said no (Heroku: django-assets).
collect_static() {
  local manage log
  manage=$(find . -maxdepth 3 -type f -name manage.py -not -path '*/.heroku/*' -printf '%d %P\n' | sort -n | head -n 1 | cut -d' ' -f2-)
  if [[ -z $manage ]] || ! compgen -G "$venv/lib/python3*/site-packages/django/__init__.py" >/dev/null; then
    return 0
  fi
  if [[ -n "$(config_var DISABLE_COLLECTSTATIC)" && "$(config_var DISABLE_COLLECTSTATIC)" != 0 ]]; then
    step "Skipping Django collectstatic since the env var DISABLE_COLLECTSTATIC is set."
    return 0
  fi
  step "\$ python $manage collectstatic --noinput"
  log=$(mktemp)
  if (
    export_config_vars
    export PATH=$venv/bin:$PATH PYTHONPATH=$build_dir${PYTHONPATH:+:$PYTHONPATH} PYTHONUNBUFFERED=1
    python "$manage" collectstatic --noinput --traceback 2>&1 | sed '/^$/d' | tee "$log" | indent
  ); then
    rm -f "$log"
    return 0
  fi
  if grep -q "Unknown command: 'collectstatic'" "$log"; then
    detail "django.contrib.staticfiles is not among the INSTALLED_APPS: nothing to collect."
    rm -f "$log"
    return 0
  fi
  rm -f "$log"
  fail "Unable to generate Django static files: '\$ python $manage collectstatic --noinput' failed." \
    "See the traceback above. Config vars are set during it, but nothing that only exists at run time." \
    "To do without: heroku config:set DISABLE_COLLECTSTATIC=1"
}
