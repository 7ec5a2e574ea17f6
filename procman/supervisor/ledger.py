"""What the next supervisor has to know of this one's dynos, should this one be killed: one file, always whole.

It is only worth something in the place where it was written, and until the next boot: a copied home has its own dynos,
or none. What it says of a dyno is checked against the kernel before it is believed (``inherited.find``).
"""

import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from procman.core.dyno import Dyno, State
from procman.core.model import DynoName
from procman.supervisor.child import Child
from procman.supervisor.ends import EXIT
from procman.supervisor.inherited import Inherited, find
from procman.supervisor.proctable import read_process

TICKS_S = os.sysconf("SC_CLK_TCK")
BOOT_ID = "/proc/sys/kernel/random/boot_id"


class Entry(NamedTuple):
    """One dyno. ``more``: what the app knows of it. ``up``: its port was bound."""

    dyno: DynoName
    run: int
    pid: int
    start: int
    token: str
    began: float
    pipes: tuple[str, ...]
    up: bool
    status: int | None
    more: Mapping[str, Any]

    def child(self) -> Child:
        """Its life as it goes on, or has ended meanwhile."""
        child = Child(self.dyno, self.run, self.pid, [])
        child.start, child.began, child.pipes = self.start, self.began, self.pipes
        child.token = self.token.encode("utf-8", "surrogateescape")
        noted = self.pipes[0] + EXIT if self.pipes else ""
        if self.status is None:
            child.inherited = find(self.pid, self.start, child.token, noted)
        else:
            child.inherited = Inherited(self.pid, None, self.status)
        return child

    def age(self) -> float:
        """Seconds since its process was made."""
        return max(time.clock_gettime(time.CLOCK_BOOTTIME) - self.start / TICKS_S, 0.0)


class Ledger(NamedTuple):
    """``tokens``: of every supervisor of which something may still run. ``facts``: what the app has to say.

    ``others``: who held log pipes for supervisors that were killed before they kept books; never written.
    """

    dynos: tuple[Entry, ...] = ()
    tokens: tuple[str, ...] = ()
    holder: tuple[int, int] = (0, 0)  # pid and start time
    facts: Mapping[str, Any] = {}
    others: tuple[tuple[int, int], ...] = ()

    def pipes(self) -> list[str]:
        """Paths of all log pipes."""
        return [path for entry in self.dynos for path in entry.pipes]


def entry_of(child: Child, dyno: Dyno | None, more: Mapping[str, Any]) -> Entry:
    """What is to be known of a life."""
    up = dyno is not None and dyno.state not in (State.WAITING, State.STARTING)
    token = child.token.decode("utf-8", "surrogateescape")
    status = child.status
    return Entry(child.dyno, child.run, child.pid, child.start, token, child.began, child.pipes, up, status, more)


def encode(ledger: Ledger, place: str) -> bytes:
    """As it is written."""
    dynos = [entry._asdict() for entry in ledger.dynos]
    return json.dumps({**ledger._asdict(), "dynos": dynos, "place": place, "boot": boot()}).encode()


def load(path: str, place: str) -> Ledger:
    """What was written here since the last boot; an empty one if that is nothing, or nonsense."""
    try:
        with open(path, "rb") as file:
            found = json.loads(file.read())
        if found.pop("place") != place or found.pop("boot") != boot():
            return Ledger()
        dynos = tuple(
            Entry(**{**entry, "dyno": DynoName(*entry["dyno"]), "pipes": tuple(entry["pipes"])})
            for entry in found["dynos"]
        )
        pid, start = found["holder"]
        return Ledger(dynos, tuple(found["tokens"]), (pid, start), found["facts"])
    except (OSError, ValueError, TypeError, KeyError):
        return Ledger()


def write(path: str, data: bytes) -> None:
    """In one stroke. There is no fsync: after a power cut there are no dynos either. Trouble costs only adoptions."""
    try:
        fd = os.open(f"{path}.new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            whole = os.write(fd, data) == len(data)  # a disk may have room for a part of it
        finally:
            os.close(fd)
        if whole:
            os.replace(f"{path}.new", path)
            return
    except OSError:
        pass
    remove(f"{path}.new")


def remove(path: str) -> None:
    """Nothing is left to the next one."""
    try:
        os.unlink(path)
    except OSError:
        return


def boot() -> str:
    """What names this boot of this machine."""
    try:
        with open(BOOT_ID, encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return ""


def process_of(pid: int) -> tuple[int, int]:
    """Pid and start time."""
    row = read_process(pid)
    return pid, row.start if row else 0


class Bookkeeper:
    """Writes the ledger anew whenever something has changed. ``do``: has it done, behind the loop's back."""

    def __init__(self, path: str, place: str, do: Callable[[Callable[[], object]], object]) -> None:
        self._path = path
        self._place = place
        self._do = do
        self._written = b""

    def keep(self, ledger: Ledger) -> None:
        """From now on the next one shall know this."""
        data = encode(ledger, self._place)
        if data != self._written:
            self._written = data
            self._do(lambda: write(self._path, data))

    def close(self) -> None:
        """A clean end."""
        remove(self._path)


def tokens_of(own: str, children: Sequence[Child]) -> tuple[str, ...]:
    """Of this supervisor, and of those whose dynos it looks after."""
    tokens = {child.token.decode("utf-8", "surrogateescape").partition("/")[0] for child in children if child.inherited}
    return own, *sorted(tokens - {own})
