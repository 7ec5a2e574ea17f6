"""Puts the fake system in the place of the real one, in every module of procman that touches the kernel."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from procman.logs import scribe, sink, store
from procman.supervisor import (
    adoption,
    aide,
    belonging,
    child,
    ends,
    holder,
    inherited,
    ledger,
    lifeline,
    loop,
    oom,
    ports,
    processes,
    proctable,
    pump,
    reaping,
    resumption,
    supervisor,
    sweep,
)
from tests.simulator.kernel import TICKS, Kernel
from tests.simulator.system import System


class Sleeps(BaseException):
    """The disk's thread has nothing more to do."""


class DiskThread:
    """The second thread of a supervisor, which writes to the disk: it runs when it is woken, after a while."""

    def __init__(self, kernel: Kernel, latency: Callable[[], float]) -> None:
        self.kernel = kernel
        self.latency = latency
        self.works = False  # right now
        self.comes = 0  # times that it was woken and has not looked yet
        self._work: Callable[[], None] | None = None
        self._life = 0

    def die(self) -> None:
        """Its process ends, or another program takes its place."""
        self._work, self.works, self.comes = None, False, 0
        self._life += 1

    def start(self, work: Callable[[], None], arguments: tuple[()]) -> None:
        """As ``_thread.start_new_thread``."""
        self._work = work

    def wake(self) -> None:
        """It will look."""
        work, life = self._work, self._life
        if work and not self.works:
            self.comes += 1
            self.kernel.at(self.kernel.now + self.latency(), lambda: self._run(work, life))

    def _run(self, work: Callable[[], None], life: int) -> None:
        if life != self._life or not self.kernel.alive:
            return
        self.works = True
        self.comes -= 1
        try:
            work()
        except Sleeps:
            pass
        finally:
            self.works = False


class FakeLock:
    """As ``_thread.allocate_lock``. Whoever waits for it lets time pass."""

    def __init__(self, thread: DiskThread) -> None:
        self._thread = thread
        self._locked = False

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        if not blocking:
            had, self._locked = self._locked, True
            return not had
        if self._thread.works and self._locked:
            raise Sleeps
        kernel = self._thread.kernel
        limit = kernel.now + timeout if timeout >= 0 else float("inf")
        while self._locked and kernel.advance(limit):
            pass
        had, self._locked = self._locked, True
        return not had

    def release(self) -> None:
        if not self._locked:
            raise RuntimeError("release unlocked lock")
        self._locked = False
        self._thread.wake()


class Unread:
    """As ``remains.Remains``: what is read there comes into no supervisor's log, and nobody looks for it here."""

    def __init__(self, home: object, kept: object) -> None:
        self.tell = lambda: None


def replacements(system: System, thread: DiskThread) -> dict[Any, dict[str, Any]]:
    """By module, what stands for what."""
    fake = {"os": system.os, "signal": system.signal}
    return {
        loop: {**fake, "time": system.time, "Poller": system.poller},
        processes: {**fake, "become_subreaper": lambda: True},
        child: {"time": system.time},
        proctable: {**fake, "open": system.open},
        reaping: {"os": system.os},
        aide: {"os": system.os},
        belonging: {"os": system.os},
        pump: {"os": system.os, "Poller": system.poller},
        ends: {"os": system.os},
        supervisor: {"signal": system.signal, "settle_heap": lambda: None},
        resumption: {"signal": system.signal},
        lifeline: {"os": system.os, "wait_for_exit": system.wait_for_exit},
        sweep: {"os": system.os},
        oom: {"open": system.open},
        ports: {"listeners": system.listeners, "sockets_of": system.sockets_of},
        adoption: {"os": system.os, "Remains": Unread},
        holder: {"connect": system.os.pipe, "hand_over": lambda fd, paths: None},
        ledger: {"os": system.os, "open": system.open, "time": system.time, "TICKS_S": TICKS, "boot": lambda: "boot"},
        inherited: {
            "os": system.os,
            "open": system.open,
            "is_readable": system.is_readable,
            "status_of": system.status_of,
            "read_status": lambda pid: None,
        },
        sink: {"os": system.os, "fcntl": system.fcntl},
        scribe: {**fake, "allocate_lock": lambda: FakeLock(thread)},
        store: {"os": system.os},
    }


@contextmanager
def installed(system: System, thread: DiskThread) -> Iterator[None]:
    """While the block runs, procman is on the fake kernel."""
    before: list[tuple[dict[str, Any], str, bool, Any]] = []
    try:
        for module, names in replacements(system, thread).items():
            space = vars(module)
            for name, value in names.items():
                before.append((space, name, name in space, space.get(name)))
                space[name] = value
        yield
    finally:
        for space, name, had, value in reversed(before):
            if had:
                space[name] = value
            else:
                del space[name]
