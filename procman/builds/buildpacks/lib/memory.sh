# Sets dyno_memory (MB) and dyno_cores: what this dyno may use. Part of a .profile.d script; bash.
dyno_memory=$(sed -n 's/^MemTotal: *\([0-9]*\) kB$/\1/p' /proc/meminfo 2>/dev/null)
dyno_memory=$((${dyno_memory:-524288} / 1024))
dyno_lower() { # PATH: a limit in bytes; "max" and numbers beyond all machines are none
  local limit=
  read -r limit 2>/dev/null <"$1" || return 0
  case $limit in
    '' | *[!0-9]* | ????????????????*) ;;
    *) [ $((limit / 1048576)) -ge "$dyno_memory" ] || dyno_memory=$((limit / 1048576)) ;;
  esac
}
dyno_limits() { # the one for all to see, where Heroku has it, and those of the dyno's own control groups
  local id controllers group file
  dyno_lower /sys/fs/cgroup/memory/memory.limit_in_bytes
  while IFS=: read -r id controllers group; do
    case "$id,$controllers," in
      0,,) file=memory.max id=/sys/fs/cgroup ;;
      *,memory,*) file=memory.limit_in_bytes id=/sys/fs/cgroup/memory ;;
      *) continue ;;
    esac
    while [ -n "${group#/}" ]; do
      dyno_lower "$id$group/$file"
      group=${group%/*}
    done
  done </proc/self/cgroup
}
dyno_limits 2>/dev/null
dyno_cores=$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 1)
unset -f dyno_lower dyno_limits
