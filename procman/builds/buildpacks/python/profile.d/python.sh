# Sourced when a dyno starts: the app's Python, and how many workers fit (Heroku: heroku-buildpack-python).
export PATH="$HOME/.heroku/python/bin:$PATH"
export PYTHONUNBUFFERED=1
export PYTHONPATH="${PYTHONPATH-$HOME}"
export LANG="${LANG:-C.UTF-8}"
export FORWARDED_ALLOW_IPS="${FORWARDED_ALLOW_IPS-*}"
export GUNICORN_CMD_ARGS="${GUNICORN_CMD_ARGS---access-logfile -}"
unset PYTHONHOME

_dyno_memory() { # MB: the least limit of the dyno's control groups, 512 without one
  local base file limit least=536870912 id controllers group
  while IFS=: read -r id controllers group; do
    case "$id,$controllers," in
    0,,) base=/sys/fs/cgroup file=memory.max ;;
    *,memory,*) base=/sys/fs/cgroup/memory file=memory.limit_in_bytes ;;
    *) continue ;;
    esac
    while :; do
      limit=$(cat "$base$group/$file" 2>/dev/null)
      case $limit in
      '' | *[!0-9]* | ???????????????*) ;;
      *)
        least=$limit
        break
        ;;
      esac
      case $group in ?*/* | /?*) group=${group%/*} ;; *) break ;; esac
    done
  done </proc/self/cgroup
  echo $((least / 1048576))
}

if [ -z "${DYNO_RAM:-}" ]; then
  export DYNO_RAM="$(_dyno_memory)"
fi
if [ -z "${WEB_CONCURRENCY:-}" ]; then
  _fit=$((DYNO_RAM / 256)) _cores=$(($(nproc) * 2 + 1))
  WEB_CONCURRENCY=$((_fit < _cores ? _fit : _cores))
  [ "$WEB_CONCURRENCY" -ge 1 ] || WEB_CONCURRENCY=1
  export WEB_CONCURRENCY WEB_CONCURRENCY_SET_BY=heroku/python
  unset _fit _cores
fi
unset -f _dyno_memory
