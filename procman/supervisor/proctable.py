"""Processes as the kernel shows them in /proc: who descends from whom, who belongs to a session, who bears a token.

Where there is no /proc (macOS) every question is answered with nothing, and callers fall back to process groups.
"""

import os
import time

from procman.lean import signal
from procman.typed import Callable, Iterable, NamedTuple

STAT_BYTES = 4096  # more than the longest line of numbers and a name
BLANK_S, LOOK_S = 0.1, 0.001  # so long is waited for an environment to appear, and so often looked


class Process(NamedTuple):
    """One row. ``start``: clock ticks since boot; with ``pid`` it names a process for ever."""

    pid: int
    parent: int
    group: int
    session: int
    start: int
    state: str  # one letter, proc(5); Z is a zombie, T is stopped
    cpu: int = 0  # clock ticks used, in user and kernel
    memory: int = 0  # pages resident, some more or less
    room: int = 0  # bytes of its address space; one of the kernel's has none
    environ_end: int = 0  # an address; 0 while one program becomes another, and for whom we may not look at

    @property
    def alive(self) -> bool:
        """Not a zombie."""
        return self.state not in "ZX"


def read_process(pid: int) -> Process | None:
    """The row of a pid, or None when there is no such process (or no /proc)."""
    try:
        fd = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)  # a file object costs three times as much
    except OSError:
        return None
    try:
        stat = os.read(fd, STAT_BYTES)
    except OSError:
        return None
    finally:
        os.close(fd)
    fields = stat[stat.rindex(b")") + 2 :].split()
    parent, group, session, start = int(fields[1]), int(fields[2]), int(fields[3]), int(fields[19])
    cpu, memory = int(fields[11]) + int(fields[12]), int(fields[21])
    environ_end = int(fields[48]) if len(fields) > 48 else 0
    room = int(fields[20])
    return Process(pid, parent, group, session, start, fields[0].decode(), cpu, memory, room, environ_end)


class Table:
    """Every process that could be seen at one moment, by pid, and who is whose."""

    def __init__(self, rows: Iterable[Process]) -> None:
        self.rows = {row.pid: row for row in rows}
        self._children: dict[int, list[int]] = {}
        self._led: dict[int, list[int]] = {}
        self._tokens: dict[int, bytes] = {}  # of those that were asked about
        for row in self.rows.values():
            self._children.setdefault(row.parent, []).append(row.pid)
            self._led.setdefault(row.session, []).append(row.pid)
            if row.group != row.session:
                self._led.setdefault(row.group, []).append(row.pid)

    def children(self, pid: int) -> list[int]:
        """Direct children."""
        return self._children.get(pid, [])

    def is_used(self, number: int) -> bool:
        """Whether anybody has it: as a pid, or as the session or group that he is in. A zombie has it too."""
        return number in self.rows or number in self._led

    def bears_token(self, pid: int, token: bytes) -> bool:
        """Whether the environment the process was started with holds ``token``, ``NAME=value`` and its NUL.

        Each is read but once: many dynos that end together ask of the same orphans, and a host can have many.
        """
        held = self._tokens.get(pid)
        if held is None:
            name = token[: token.index(b"=") + 1]
            entries = environ_of(pid).split(b"\0")
            held = self._tokens[pid] = b"".join(entry + b"\0" for entry in entries if entry.startswith(name))
        return token in held

    def family(self, roots: Iterable[int]) -> list[Process]:
        """The living among: the roots, every process of a session or group one of them leads, all descendants."""
        members: set[int] = set()
        todo = [pid for root in roots for pid in (root, *self._led.get(root, ()))]
        while todo:
            pid = todo.pop()
            if pid not in members:
                members.add(pid)
                todo += self.children(pid)
        return [self.rows[pid] for pid in members if pid in self.rows and self.rows[pid].alive]


def snapshot() -> Table:
    """Every process there is now; an empty table where there is no /proc."""
    try:
        names = os.listdir("/proc")
    except OSError:
        return Table(())
    rows = (read_process(int(name)) for name in names if name.isdigit())
    return Table(row for row in rows if row)


def own_children() -> list[int] | None:
    """Pids of this process's children, zombies too; None where the kernel does not tell."""
    pid = os.getpid()
    try:
        with open(f"/proc/{pid}/task/{pid}/children", "rb") as file:
            return [int(word) for word in file.read().split()]
    except OSError:
        return None


def environ_of(pid: int) -> bytes:
    """The environment the process was started with; nothing when it may not be looked at."""
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            return file.read()
    except OSError:
        return b""


def environs_in(
    table: Table,
    deadline: float,
    read: Callable[[int], bytes] = environ_of,
    becoming: Callable[[int], bool] | None = None,
) -> dict[int, bytes]:
    """The environment of every process. While one program becomes another it has none: that is waited for.

    ``deadline``: not for ever, as of some we may not know it. In monotonic seconds.
    """
    becoming = becoming or is_becoming
    found = {pid: read(pid) for pid in table.rows}
    while blank := [pid for pid in found if not found[pid]]:
        again = [pid for pid in blank if becoming(pid)]
        found.update((pid, read(pid)) for pid in blank)  # who was done with it by the time that was asked, too
        if not again or time.monotonic() >= deadline:
            break
        time.sleep(LOOK_S)
    return found


def is_becoming(pid: int) -> bool:
    """Whether it will have an environment that we may read, and has none yet.

    Who was born without knows where it ends; one of the kernel's has no room for any. (How many pages are resident says
    nothing: the kernel counts them by processor, and of a young one it may find none.)
    """
    row = read_process(pid)
    if row is None or not row.alive or row.environ_end or not row.room:
        return False
    try:
        os.close(os.open(f"/proc/{pid}/environ", os.O_RDONLY | os.O_CLOEXEC))  # os.access asks only for the mode
    except OSError:
        return False
    return True


def command_of(pid: int) -> str:
    """The command line of a process, as ``ps`` shows it; its short name when that is empty."""
    for name in ("cmdline", "comm"):
        try:
            with open(f"/proc/{pid}/{name}", "rb") as file:
                text = file.read().replace(b"\0", b" ").strip()
        except OSError:
            break
        if text:
            return text.decode("utf-8", "replace")
    return "?"


def signal_process(process: Process, signum: int) -> bool:
    """Signal exactly this process: the pid is held by a pidfd while its start time is compared.

    Without pidfds (macOS) the group that the process leads is all that can be named.
    """
    if not hasattr(os, "pidfd_open"):
        try:
            os.killpg(process.group, signum)
        except OSError:
            return False
        return True
    try:
        handle = os.pidfd_open(process.pid)
    except OSError:
        return False
    try:
        found = read_process(process.pid)
        if found is None or found.start != process.start:
            return False
        signal.pidfd_send_signal(handle, signum)
    except OSError:
        return False
    finally:
        os.close(handle)
    return True


def memory_facts() -> dict[str, str]:
    """What the kernel tells of memory: how much is free, and how often it has killed for the lack of it."""
    facts: dict[str, str] = {}
    for path, wanted in (("/proc/meminfo", ("MemTotal", "MemAvailable", "SwapFree")), ("/proc/vmstat", ("oom_kill",))):
        try:
            with open(path, encoding="ascii") as file:
                rows = (line.replace(":", " ").split(None, 1) for line in file)
                facts.update((row[0], row[1].strip()) for row in rows if row[0] in wanted)
        except OSError:
            continue
    return facts
