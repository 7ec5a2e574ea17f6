"""A clock that stands still, processes that follow a script, and a count of the table's cells.

``FakeProcesses`` is held to the same contract as ``LocalProcesses`` (test_processes_contract.py).
"""

import errno
import os
import signal
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from procman.core.dyno import State
from procman.core.model import DynoName, Exit
from procman.core.table import TABLE
from procman.supervisor.child import Child, Command

FOREVER = float("inf")
KILLED = Exit(137, "SIGKILL")


class FakeClock:
    """Monotonic seconds that pass only when told to."""

    def __init__(self, start: float = 0.0) -> None:
        self._now = start

    def now(self) -> float:
        return self._now

    def jump(self, to: float) -> None:
        assert to >= self._now, "time does not run backwards"
        self._now = to


class Script(NamedTuple):
    """One life of a dyno; the defaults run until told to stop, and then do.

    ``ends``: how it ends by itself, ``after`` seconds; None: it does not. ``on_term``: how it ends on SIGTERM;
    None: it ignores it. ``offspring``: processes it starts, each by whether it ends on SIGTERM. ``fails``: why it
    cannot start.
    """

    prints: bytes = b""
    ends: Exit | None = None
    after: float = 0.0
    on_term: Exit | None = Exit(143, "SIGTERM")
    offspring: tuple[bool, ...] = ()
    fails: OSError | None = None


class Life:
    """What the fake kernel knows of one child: when and how its root ends, and who else is alive."""

    def __init__(self, child: Child, script: Script, writer: int, now: float) -> None:
        self.child = child
        self.script = script
        self.writer = writer
        self.end = (now + script.after, script.ends) if script.ends else None
        self.offspring = list(script.offspring)

    def end_now(self, how: Exit, now: float) -> None:
        """The root ends, if it has not yet or would only later."""
        if not self.child.ended and (self.end is None or self.end[0] > now):
            self.end = (now, how)


class FakeProcesses:
    """Processes by script, on a fake clock: the ``Processes`` protocol without a kernel."""

    def __init__(self, clock: FakeClock, scripts: Mapping[DynoName, Script]) -> None:
        self._clock = clock
        self._scripts = scripts
        self._lives: dict[int, Life] = {}
        self._pids = iter(range(1000, 1_000_000))

    def command(self, dyno: DynoName) -> Command:
        return Command(f"run {dyno}", {"PORT": "5000", "DYNO": str(dyno)})

    def spawn(self, dyno: DynoName, run: int) -> Child:
        script = self._scripts.get(dyno)
        if script is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(dyno))
        if script.fails:
            raise script.fails
        reader, writer = os.pipe()
        os.set_blocking(reader, False)
        os.write(writer, script.prints)
        child = Child(dyno, run, next(self._pids), [(reader, "stdout")])
        child.command = self.command(dyno)
        self._lives[child.pid] = Life(child, script, writer, self._clock.now())
        return child

    def terminate(self, children: Sequence[Child], signum: int = signal.SIGTERM) -> None:
        for life in self._living(children):
            if life.script.on_term:
                life.end_now(life.script.on_term, self._clock.now())
            life.offspring = [obeys for obeys in life.offspring if not obeys]

    def kill(self, children: Sequence[Child]) -> None:
        for life in self._living(children):
            life.end_now(KILLED, self._clock.now())
            life.offspring = []

    def ended(self) -> Iterator[tuple[Child, Exit]]:
        for life in list(self._lives.values()):
            if life.end and not life.child.ended and life.end[0] <= self._clock.now():
                yield life.child, life.end[1]
                life.child.ended = True

    def emptied(self, children: Iterable[Child]) -> list[Child]:
        empty = [life for life in self._living(children) if life.child.ended and not life.offspring]
        for life in empty:
            self._forget(life)
        return [life.child for life in empty]

    def clear(self, child: Child) -> None:
        """There are no files."""

    def settle(self) -> None:
        """Nothing was put off."""

    def recheck_s(self) -> float:
        return FOREVER

    def release(self) -> None:
        for life in list(self._lives.values()):
            self._forget(life)

    def next_news(self) -> float:
        """When the next root ends by itself."""
        ends = [life.end[0] for life in self._lives.values() if life.end and not life.child.ended]
        return min(ends, default=FOREVER)

    def _living(self, children: Iterable[Child]) -> list[Life]:
        return [self._lives[child.pid] for child in children if child.pid in self._lives]

    def _forget(self, life: Life) -> None:
        os.close(life.writer)
        del self._lives[life.child.pid]


@contextmanager
def counted_cells() -> Iterator[Counter[tuple[State, type]]]:
    """How often each cell of the table is reached while the block runs."""
    reached: Counter[tuple[State, type]] = Counter()

    def counting(where, cell):
        def counted(dyno, event, now):
            reached[where] += 1
            return cell(dyno, event, now)

        return counted

    plain = {state: dict(row) for state, row in TABLE.items()}
    for state, row in plain.items():
        TABLE[state].update({event: counting((state, event), cell) for event, cell in row.items()})
    try:
        yield reached
    finally:
        for state, row in plain.items():
            TABLE[state].update(row)
