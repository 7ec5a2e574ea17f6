"""What the supervisor's two tiny helpers have in common: a fork that is told of dynos by a pipe, and outlives us.

The ``Lifeline`` ends what a killed supervisor leaves, the ``Holder`` keeps it for the next one.
"""

import os
import time

from procman.lean import signal
from procman.typed import Any, Mapping, Protocol, Sequence

DONE = b"done\n"
SHORT_S = 1.0  # a life in which nobody can have waited for anything


class Guard(Protocol):
    """What happens to dynos when the supervisor is killed: they end (``Lifeline``), or are kept (``Holder``)."""

    pid: int

    def ended(self) -> None:
        """It has gone, by itself or killed."""

    def hold(self, pipes: Sequence[str]) -> None:
        """A dyno is about to write into these log pipes."""

    def let_go(self, pipes: Sequence[str]) -> None:
        """It never came to that, or all that it wrote has been read."""

    def add(self, pid: int, start: int, pipes: Sequence[str] = ()) -> None:
        """A dyno has begun."""

    def drop(self, pid: int) -> None:
        """Nothing of it is left, but for what it wrote."""

    def release(self) -> None:
        """All is done."""

    def pack(self) -> dict[str, Any]:
        """For another that goes on with it; it has a descriptor, ``pipe``."""


class Aide:
    """The supervisor's end of the pipe. ``found``: see ``pack``."""

    def __init__(self, found: Mapping[str, Any] | None = None) -> None:
        self._told: dict[int, str] = {}  # by pid: the line that says that it began
        self.pid = 0
        self._pipe = -1
        self._began = 0.0
        self.short_lives = 0  # in a row
        if found:
            self.pid, self._pipe, self._told = found["pid"], found["pipe"], dict(found["told"])

    def live(self, reader: int) -> None:
        """The other end: the process's whole life."""
        raise NotImplementedError

    def word(self, pid: int, start: int, pipes: Sequence[str]) -> str:
        """How the other end is told that a dyno has begun, one line."""
        raise NotImplementedError

    def connect(self) -> tuple[int, int]:
        """Both ends of what the other end is told by: its own first."""
        return os.pipe()

    def pack(self) -> dict[str, Any]:
        """For another that goes on with it."""
        if not self.pid:
            self.start()
        return {"pid": self.pid, "pipe": self._pipe, "told": list(self._told.items())}

    def ended(self) -> None:
        """See ``Guard``: another takes its place."""
        self.short_lives = self.short_lives + 1 if time.monotonic() - self._began < SHORT_S else 0
        self.start()

    def start(self) -> None:
        """Fork it and tell it what it has to know: at first, or after somebody killed it.

        Where there can be none now (no descriptors, no pids), the next dyno that begins or ends is the next try.
        """
        if self._pipe >= 0:
            os.close(self._pipe)
        self.pid, self._pipe = 0, -1
        try:
            reader, self._pipe = self.connect()
        except OSError:
            return
        try:
            pid = os.fork()
        except OSError:
            os.close(reader)
            os.close(self._pipe)
            self._pipe = -1
            return
        if not pid:
            try:
                os.close(self._pipe)
                self.live(reader)
            finally:
                os._exit(0)
        self.pid, self._began = pid, time.monotonic()
        os.close(reader)
        for line in self._told.values():
            self._tell(line)

    def hold(self, pipes: Sequence[str]) -> None:
        """See ``Guard``. Only to who keeps pipes it means anything."""

    def let_go(self, pipes: Sequence[str]) -> None:
        """See ``Guard``."""

    def add(self, pid: int, start: int, pipes: Sequence[str] = ()) -> None:
        """A dyno has begun. ``start``: its start time; ``pipes``: paths of its log pipes."""
        self._told[pid] = self.word(pid, start, pipes)
        if self.pid:
            self._tell(self._told[pid])
        else:
            self.start()  # not before the first dyno is on its way

    def drop(self, pid: int) -> None:
        """See ``Guard``."""
        if self._told.pop(pid, None) is None:
            return
        if self.pid:
            self._tell(f"-{pid}\n")
        elif self._told:
            self.start()

    def release(self) -> None:
        """All is done: let it end without a deed."""
        if not self.pid:
            return
        self._tell(DONE.decode())
        os.close(self._pipe)
        pid, self.pid, self._pipe = self.pid, 0, -1
        try:
            os.waitpid(pid, 0)
        except ChildProcessError:
            return

    def _tell(self, line: str) -> None:
        try:
            os.write(self._pipe, os.fsencode(line))
        except OSError:
            return  # it was killed; SIGCHLD brings the news and start() makes another


def leave_all_but(reader: int) -> None:
    """A session of its own, deaf to stop signals, and no descriptor but 3, the pipe: nothing of procman's is held."""
    os.setsid()
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(signum, signal.SIG_IGN)
    signal.set_wakeup_fd(-1)
    null = os.open("/dev/null", os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    os.dup2(reader, 3)
    os.closerange(4, 65_536)
