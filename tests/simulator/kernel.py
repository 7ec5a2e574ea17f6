"""The fake kernel: processes in groups and sessions, pids that are used again, signals, and an agenda."""

import errno
import heapq
import os
import signal
from collections import Counter
from collections.abc import Callable
from itertools import count

from tests.simulator.schedule import Script

INIT = 1
OURS = 50  # the supervisor's own pid
TICKS = 1_000_000_000  # of a process's start time, in a second: no two begin in one
FIRST_PID = 100
DEADLY = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2})


class Broken(AssertionError):
    """Something that must hold does not."""


def check(holds: object, words: str) -> None:
    """Raises Broken."""
    if not holds:
        raise Broken(words)


class Killed(BaseException):
    """The supervisor got a SIGKILL: nothing of its code runs any more."""


class Proc:
    """One process. ``life``: of which dyno and run it truly is, whatever can be seen; None: a stranger's.

    ``end``: exit code or minus signal of a zombie. ``root``: pid of the life's first process.
    """

    __slots__ = (
        "blocked", "end", "env", "frozen", "group", "hears", "leaves", "left", "life", "parent", "pending", "pid",
        "pipes", "port", "root", "script", "serial", "session", "start", "stopped", "thaw",
    )  # fmt: skip

    def __init__(self, pid: int, parent: int, start: int) -> None:
        self.pid = pid
        self.parent = parent
        self.group = self.session = self.root = pid
        self.start = self.serial = start
        self.life: tuple | None = None
        self.pipes = []  # its stdout and its stderr
        self.left = False  # the session of its life's first process
        self.env = b""
        self.end: int | None = None
        self.script: Script | None = None
        self.hears = None  # the pipe by which an aide of ours is told things
        self.blocked = b""  # what it is writing and has no room for
        self.leaves: int | None = None  # how it ends once it has written that
        self.port: int | None = None
        self.stopped = False
        self.pending: list[int] = []  # signals that wait for SIGCONT
        self.frozen = False  # in uninterruptible sleep: even SIGKILL waits
        self.thaw: int | None = None

    @property
    def state(self) -> str:
        """One letter, as in proc(5)."""
        return "Z" if self.end is not None else "T" if self.stopped else "D" if self.frozen else "S"


class Kernel:
    """``span``: how many pids there are beside ours. ``on_signal``: is asked before a signal of ours is delivered."""

    def __init__(self, span: int) -> None:
        self.now = 1000.0
        self.wall = 1_700_000_000.0  # of the epoch, minus ``now``
        self.procs: dict[int, Proc] = {INIT: Proc(INIT, 0, 0)}
        self.ours = OURS
        self.alive = True  # the supervisor
        self.calls_left: int | None = None  # of the supervisor's to the kernel, until it is killed
        self.faults: Counter[str] = Counter()
        self.handled: set[int] = set()  # signals that the supervisor handles
        self.ignored: set[int] = set()
        self.wakeup: Callable[[int], None] = lambda signum: None
        self.on_signal: Callable[[Proc, int], None] = lambda proc, signum: None
        self.on_end: Callable[[Proc], None] = lambda proc: None
        self.ports: dict[int, Proc] = {}  # that are listened on
        self.oom_kills = 0
        self.quiet = False
        self.span = span
        self._next = 0
        self._serial = count(1)
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []
        self.birth(OURS, INIT)

    # -- time --

    def at(self, when: float, do: Callable[[], None]) -> None:
        """Have something done then."""
        heapq.heappush(self._agenda, (max(when, self.now), next(self._serial), do))

    def due(self) -> float:
        """When the next thing is to be done."""
        return self._agenda[0][0] if self._agenda else float("inf")

    def advance(self, limit: float) -> bool:
        """Do the next thing, if it comes before ``limit``; else only time passes, and the answer is False."""
        if not self._agenda or self.due() > limit:
            self.now = max(self.now, limit) if limit < float("inf") else self.now
            return False
        when, _, do = heapq.heappop(self._agenda)
        self.now = max(self.now, when)
        do()
        return True

    def call(self) -> None:
        """The supervisor calls the kernel, perhaps for the last time."""
        if self.calls_left is not None:
            self.calls_left -= 1
            if self.calls_left < 0:
                self.alive = False
        if not self.alive:
            raise Killed

    # -- processes --

    def birth(self, pid: int, parent: int) -> Proc:
        """A process that is there from now on."""
        proc = self.procs[pid] = Proc(pid, parent, next(self._serial))
        proc.start = int(self.now * TICKS) + proc.serial
        return proc

    def new_pid(self) -> int:
        """Raises OSError when all are in use, be it for a group or a session only."""
        used = {number for proc in self.procs.values() for number in (proc.pid, proc.group, proc.session)}
        for _ in range(self.span):
            pid = FIRST_PID + self._next % self.span
            self._next += 1
            if pid not in used:
                self.faults["pid used again"] += self._next > self.span
                return pid
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    def children(self, pid: int) -> list[Proc]:
        """Zombies too."""
        return [proc for proc in self.procs.values() if proc.parent == pid]

    def living(self) -> list[Proc]:
        """All of dynos that are no zombies, in the order of their birth."""
        return [proc for proc in self.procs.values() if proc.life and proc.end is None]

    def end(self, proc: Proc, how: int) -> None:
        """It ends: exit code or minus signal."""
        if proc.end is not None:
            return
        if proc.frozen:
            proc.thaw = how
            return
        proc.end = how
        if proc.port is not None and self.ports.get(proc.port) is proc:
            del self.ports[proc.port]
        proc.blocked = b""
        if proc.hears:
            proc.hears.turn("gone")
        self.on_end(proc)
        heir = self.ours if self.alive and self._is_ours(proc) else INIT
        for child in self.children(proc.pid):
            child.parent = heir
            if child.end is not None:
                self._bury_or_tell(child)
        self._bury_or_tell(proc)

    def _is_ours(self, proc: Proc | None) -> bool:
        """Whether it descends from the supervisor."""
        while proc is not None and proc.pid != INIT:
            if proc.parent == self.ours:
                return True
            proc = self.procs.get(proc.parent)
        return False

    def _bury_or_tell(self, proc: Proc) -> None:
        if proc.parent == self.ours and self.alive:
            self.interrupt(signal.SIGCHLD)
            return
        parent = self.procs.get(proc.parent)
        if parent is None or parent.script is None or parent.script.reaps:
            self.procs.pop(proc.pid, None)

    def reap(self, proc: Proc) -> None:
        """A zombie of ours goes; its number is free."""
        assert proc.end is not None
        del self.procs[proc.pid]

    # -- signals --

    def interrupt(self, signum: int) -> None:
        """A signal for the supervisor."""
        if signum in self.handled:
            self.wakeup(signum)
        elif signum in DEADLY and signum not in self.ignored:
            self.alive = False

    def send(self, proc: Proc, signum: int) -> None:
        """To a process, by whomever."""
        if proc.end is not None or not signum:
            return
        if signum == signal.SIGKILL:
            self.end(proc, -signum)
        elif signum == signal.SIGCONT:
            proc.stopped = False
            pending, proc.pending = proc.pending, []
            for each in pending:
                self.send(proc, each)
        elif signum == signal.SIGSTOP:
            proc.stopped = True
        elif proc.stopped or proc.frozen:
            proc.pending.append(signum)
        elif proc.script is None or signum not in DEADLY:
            self.end(proc, -signum)
        elif proc.script.obeys is not None:
            self.at(self.now + proc.script.obeys, lambda: self.end(proc, proc.script.last))

    def kill_group(self, group: int, signum: int) -> None:
        """Of the supervisor's: every process of a group. Raises OSError when there is none."""
        self.call()
        found = [proc for proc in self.procs.values() if proc.group == group]
        if not found:
            raise ProcessLookupError(errno.ESRCH, os.strerror(errno.ESRCH))
        for proc in found:
            self.on_signal(proc, signum)
            self.send(proc, signum)

    def thaw(self, proc: Proc) -> None:
        """Out of uninterruptible sleep; what it was told meanwhile, it hears now."""
        proc.frozen = False
        if proc.thaw is not None:
            self.end(proc, proc.thaw)
        pending, proc.pending = proc.pending, []
        for each in pending:
            self.send(proc, each)
