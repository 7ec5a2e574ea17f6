"""What the kernel tells about a manager's processes: memory, CPU, descriptors, switches, zombies."""

import os
import select
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Self

from procman.supervisor.proctable import Process, command_of, snapshot

DYNO_PROGRAMS = frozenset({"sleep", "cat", "sh", "bash", "dash"})  # what dynos are here; managers are none of it
GRACE_S = 2.0  # for what has outlived its manager: runit's helpers rest for a second


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


def cpu_ns(pids: Iterable[int]) -> int:
    """Nanoseconds of CPU, of all threads that live."""
    return sum(
        int(Path(f"/proc/{pid}/task/{thread}/schedstat").read_text().split()[0])
        for pid in pids
        for thread in listing(f"/proc/{pid}/task")
    )


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


class Ending:
    """Processes whose ends are waited for, by pidfd."""

    def __init__(self, pids: Iterable[int]) -> None:
        self._pids: dict[int, int] = {}
        self._poll = select.poll()
        for pid in pids:
            try:
                handle = os.pidfd_open(pid)
            except ProcessLookupError:
                continue
            self._pids[handle] = pid
            self._poll.register(handle, select.POLLIN)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for handle in self._pids:
            os.close(handle)

    def wait(self, first: int, limit_s: float) -> float | None:
        """The moment at which the last has gone; later than a grace after ``first`` does not count. None: too late."""
        deadline = time.perf_counter() + limit_s
        waited_for, now = dict(self._pids), time.perf_counter()
        while waited_for:
            ended = self._poll.poll(max(deadline - time.perf_counter(), 0) * 1000)
            if not ended:
                return now if first not in waited_for.values() else None
            now = time.perf_counter()
            for handle, _ in ended:
                self._poll.unregister(handle)
                if waited_for.pop(handle) == first:
                    deadline = min(deadline, now + GRACE_S)
        return now
