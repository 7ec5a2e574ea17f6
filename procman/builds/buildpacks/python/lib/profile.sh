# What Heroku's Python buildpack sets when a dyno starts (Heroku: python-support, python-concurrency).
export PATH="$HOME/.heroku/python/bin:$PATH"
export PYTHONUNBUFFERED=1
export PYTHONPATH="$HOME${PYTHONPATH:+:$PYTHONPATH}"
export LANG="${LANG:-C.UTF-8}"
export FORWARDED_ALLOW_IPS="${FORWARDED_ALLOW_IPS-*}"
export GUNICORN_CMD_ARGS="${GUNICORN_CMD_ARGS---access-logfile -}"
export DYNO_RAM="${DYNO_RAM:-$dyno_memory}"
if [ -z "${WEB_CONCURRENCY:-}" ] || [ -n "${WEB_CONCURRENCY_SET_BY:-}" ]; then # at least 256 MB each
  WEB_CONCURRENCY=$((dyno_memory / 256))
  if [ "$WEB_CONCURRENCY" -gt $((dyno_cores * 2 + 1)) ]; then
    WEB_CONCURRENCY=$((dyno_cores * 2 + 1))
  elif [ "$WEB_CONCURRENCY" -lt 1 ]; then
    WEB_CONCURRENCY=1
  fi
  export WEB_CONCURRENCY WEB_CONCURRENCY_SET_BY=heroku/python
fi
unset dyno_memory dyno_cores
