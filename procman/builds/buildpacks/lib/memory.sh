# Sets dyno_memory (MB) and dyno_cores: what this dyno may use. Part of a .profile.d script; bash.
dyno_memory=
for dyno_limit in /sys/fs/cgroup/memory/memory.limit_in_bytes "/sys/fs/cgroup$(sed -n 's/^0:://p' /proc/self/cgroup 2>/dev/null)/memory.max"; do
  if [ -z "$dyno_memory" ] && [ -r "$dyno_limit" ]; then
    read -r dyno_limit <"$dyno_limit" || :
    case $dyno_limit in
      '' | *[!0-9]*) ;; # "max"
      ????????????????*) ;; # more than any machine has: no limit
      *) dyno_memory=$((dyno_limit / 1048576)) ;;
    esac
  fi
done
dyno_host_memory=$(sed -n 's/^MemTotal: *\([0-9]*\) kB$/\1/p' /proc/meminfo 2>/dev/null)
dyno_host_memory=$((${dyno_host_memory:-524288} / 1024))
if [ -z "$dyno_memory" ] || [ "$dyno_memory" -gt "$dyno_host_memory" ]; then
  dyno_memory=$dyno_host_memory
fi
dyno_cores=$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 1)
unset dyno_limit dyno_host_memory
