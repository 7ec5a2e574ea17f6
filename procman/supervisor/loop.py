"""The loop: wait for a descriptor, a signal or a deadline, and call whoever asked for it. Nothing hides in it."""

import os
import time

from procman.lean import signal
from procman.supervisor.poller import Poller
from procman.typed import Callable, Iterable

FOREVER = float("inf")
LONGEST_S = 86_400.0  # of one wait: epoll counts milliseconds, and only for some 24 days
MERGED = frozenset({signal.SIGCHLD, signal.SIGWINCH})  # how often they came says nothing: one look sees everything


class Loop:
    """Readiness callbacks, signals and deadlines of one thread."""

    def __init__(self) -> None:
        self._poller = Poller()
        self._signals: dict[int, Callable[[int], None]] = {}
        self._deadlines: list[tuple[Callable[[], float], Callable[[float], None]]] = []
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._reader, False)
        os.set_blocking(self._writer, False)
        self.watch(self._reader, self._deliver)

    def now(self) -> float:
        """Monotonic seconds."""
        return time.monotonic()

    def watch(self, fd: int, callback: Callable[[], None], writable: bool = False) -> None:
        """Call back whenever ``fd`` can be read (or written)."""
        self._poller.register(fd, callback, writable)

    def unwatch(self, fd: int) -> None:
        """Stop doing so. Before the descriptor is closed."""
        self._poller.unregister(fd)

    def on_signals(self, signums: Iterable[int], callback: Callable[[int], None]) -> None:
        """Call back with the number, on the loop, never inside other code."""
        signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        for signum in signums:
            self._signals[signum] = callback
            signal.signal(signum, note)

    def on_deadline(self, deadline: Callable[[], float], callback: Callable[[float], None]) -> None:
        """Call back with the time whenever ``deadline()``, asked before each wait, has come."""
        self._deadlines.append((deadline, callback))

    def is_wanted(self) -> bool:
        """Whether something waits besides what is being dealt with."""
        return self._poller.several()

    def turn(self) -> None:
        """Wait once, and call back everything that is due."""
        due = min((deadline() for deadline, _ in self._deadlines), default=FOREVER)
        timeout = None if due == FOREVER else min(max(due - self.now(), 0.0), LONGEST_S)
        for call in self._poller.wait(timeout):
            call()
        now = self.now()
        for deadline, callback in self._deadlines:
            if deadline() <= now:
                callback(now)

    def close(self) -> None:
        """Give the signals back."""
        signal.set_wakeup_fd(-1)
        for signum in self._signals:
            signal.signal(signum, signal.SIG_DFL)
        self._poller.close()
        os.close(self._reader)
        os.close(self._writer)

    def _deliver(self) -> None:
        told = os.read(self._reader, 4096)
        # While one look at the dead is taken others die. A look for each would make every turn longer than the last.
        for signum in (*filter(lambda signum: signum not in MERGED, told), *MERGED.intersection(told)):
            self._signals[signum](signum)


def note(signum: int, frame: object) -> None:
    """The handler proper: the wake-up descriptor has already carried the number to the loop."""
