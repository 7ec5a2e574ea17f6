"""What the kernel tells about a manager's processes: memory, CPU, descriptors, switches, zombies."""

import os
from collections.abc import Iterable
from pathlib import Path

from procman.supervisor.proctable import Process, command_of, snapshot

DYNO_PROGRAMS = frozenset({"sleep", "cat", "sh", "bash", "dash"})  # what dynos are here; managers are none of it
TICKS = os.sysconf("SC_CLK_TCK")


def descendants(pid: int) -> list[Process]:
    """Every living process below ``pid``, itself not."""
    return [process for process in snapshot().family([pid]) if process.pid != pid]


def manager_pids(root: int) -> list[int]:
    """A manager's own processes: the one started and its helpers, but no dyno."""
    return [
        process.pid
        for process in snapshot().family([root])
        if process.pid == root or os.path.basename(command_of(process.pid).split(" ")[0]) not in DYNO_PROGRAMS
    ]


def zombies(parent: int) -> int:
    """Children of ``parent`` that wait to be reaped."""
    return sum(row.parent == parent and not row.alive for row in snapshot().rows.values())


def memory_mib(pids: Iterable[int]) -> float:
    """Proportional set size in MiB: what is shared among processes counts once."""
    return sum(pss_kib(pid) for pid in pids) / 1024


def pss_kib(pid: int) -> int:
    """Of one process; 0 when it has gone."""
    return field(f"/proc/{pid}/smaps_rollup", "Pss:")


def rss_kib(pid: int) -> int:
    """Resident set size of one process."""
    return field(f"/proc/{pid}/status", "VmRSS:")


def field(path: str, name: str) -> int:
    """The number behind a name in one of /proc's tables."""
    try:
        for line in Path(path).read_text().splitlines():
            if line.startswith(name):
                return int(line.split()[1])
    except OSError:
        pass
    return 0


def cpu_seconds(pids: Iterable[int]) -> float:
    """User and system time, of all threads."""
    total = 0
    for pid in pids:
        try:
            stat = Path(f"/proc/{pid}/stat").read_bytes()
        except OSError:
            continue
        user, system = stat[stat.rindex(b")") + 2 :].split()[11:13]
        total += int(user) + int(system)
    return total / TICKS


def wake_ups(pids: Iterable[int]) -> int:
    """Times that any of their threads went to sleep of its own will, so far."""
    return sum(
        field(f"/proc/{pid}/task/{thread}/status", "voluntary_ctxt_switches:")
        for pid in pids
        for thread in listing(f"/proc/{pid}/task")
    )


def descriptors(pid: int) -> int:
    """Open file descriptors."""
    return len(listing(f"/proc/{pid}/fd"))


def listing(path: str) -> list[str]:
    """Names in a folder of /proc; none when the process has gone."""
    try:
        return os.listdir(path)
    except OSError:
        return []
