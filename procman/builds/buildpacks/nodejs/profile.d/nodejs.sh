# Sourced when a dyno starts: Node's programs, and how many workers fit (Heroku: heroku-buildpack-nodejs).
export PATH="$HOME/.heroku/node/bin:$PATH:$HOME/bin:$HOME/node_modules/.bin"
export NODE_HOME="$HOME/.heroku/node"
export NODE_ENV="${NODE_ENV:-production}"
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

export MEMORY_AVAILABLE="${MEMORY_AVAILABLE:-$(_dyno_memory)}"
if [ "$MEMORY_AVAILABLE" -gt 16384 ]; then _each=2048; else _each=512; fi
export WEB_MEMORY="${WEB_MEMORY:-$_each}"
if [ -z "${WEB_CONCURRENCY:-}" ]; then
  WEB_CONCURRENCY=$((MEMORY_AVAILABLE / WEB_MEMORY))
  [ "$WEB_CONCURRENCY" -ge 1 ] || WEB_CONCURRENCY=1
  [ "$WEB_CONCURRENCY" -le 200 ] || WEB_CONCURRENCY=200
  export WEB_CONCURRENCY
fi
unset _each
unset -f _dyno_memory
