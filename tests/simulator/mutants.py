"""Bugs on purpose: each shows that the simulator would find it. Some of them procman once had."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from typing import Any
from unittest.mock import patch

from procman.core import engine, formation, table
from procman.core.dyno import Dyno, State
from procman.core.engine import Engine
from procman.core.events import FormationChanged, Tick
from procman.core.restart import NEVER, RestartPolicy
from procman.logs.scribe import Scribe
from procman.logs.store import LogStore
from procman.supervisor import adoption, aide, belonging, inherited, ledger, loop, processes, pump
from procman.supervisor.adoption import Succession
from procman.supervisor.boot import BootWatch
from procman.supervisor.inherited import Inherited
from procman.supervisor.port_book import PortBook
from procman.supervisor.processes import LocalProcesses
from procman.supervisor.proctable import Process
from tests.simulator import world

Plants = Iterator[tuple[Any, str, Any]]


def signals_the_reaped() -> Plants:
    """The group of a dyno is signalled whether its root was reaped or not."""

    def signal_group(child: Any, signum: int) -> None:
        try:
            processes.os.killpg(child.pid, signum)
        except OSError:
            return

    yield processes, "signal_group", signal_group


def trusts_a_pid() -> Plants:
    """A process is signalled by its number alone, without a look at its start time, and any session may be ours."""

    def members(self: LocalProcesses, child: Any, found: Any) -> list[Process]:
        return [row for row in found.rows.values() if row.alive and child.pid in (row.session, row.group, row.pid)]

    yield LocalProcesses, "_members", members


def forgets_a_restart() -> Plants:
    """The third run of a dyno is the last."""
    true = Dyno.cool_off
    yield Dyno, "cool_off", lambda self: NEVER if self.run == 3 else true(self)


def lends_a_port_twice() -> Plants:
    """A port of the book is free though a dyno has it."""
    yield PortBook, "_find", lambda self, taken: self.block[0]


def counts_ports_by_twos() -> Plants:
    """web.1 and web.2 have one port."""
    true = formation.port_of
    yield world, "port_of", lambda dyno, types, base: true(dyno._replace(number=(dyno.number + 1) // 2), types, base)


def believes_late_news() -> Plants:
    """News of an earlier run is taken for news of this one."""
    true = Engine.handle

    def handle(self: Engine, event: Any, now: float) -> Any:
        dyno = self.dynos.get(getattr(event, "dyno", None))
        return true(self, event._replace(run=dyno.run) if dyno and hasattr(event, "run") else event, now)

    yield Engine, "handle", handle


def starts_before_the_end() -> Plants:
    """A dyno that is replaced starts as soon as its root has ended, whoever of it still lives."""
    true = LocalProcesses.emptied
    yield LocalProcesses, "emptied", lambda self, children: (
        [child for child in children if child.ended and (true(self, [child]) or True)]
    )


def spares_the_stubborn() -> Plants:
    """Nothing is killed when its grace is over."""
    yield None, "cell", (State.STOPPING, Tick, table.ignore)


def loses_last_words() -> Plants:
    """What a dyno wrote last is not read."""

    def drain(self: Any, streams: list[Any], then: Callable[[], None] | None = None) -> None:
        for stream in streams if then else ():
            self._unfinished.pop(stream, None)
            if stream in self._streams:
                self._drop(stream)
        if then:
            then()

    yield pump.Pump, "drain", drain


def says_things_twice() -> Plants:
    """A chunk that comes while its reader is slow is handed on twice."""
    true = pump.LineSplitter.feed
    yield pump.LineSplitter, "feed", lambda self, chunk: true(self, chunk + chunk if len(chunk) > 5000 else chunk)


def hides_a_gap() -> Plants:
    """What a full disk refuses is not counted."""
    yield LogStore, "_lose", lambda self, lines, size: None


def never_sees_a_port() -> Plants:
    """A dyno that binds its port is not noticed."""
    yield BootWatch, "add", lambda self, child, port: None


def cools_off_less_and_less() -> Plants:
    """The longest wait comes first."""
    true = RestartPolicy.cool_off
    yield RestartPolicy, "cool_off", lambda self, crashes, seed: (
        true(self._replace(delays=self.delays[::-1]), crashes, seed)
    )


def takes_the_first_type_first() -> Plants:
    """The type that is listed first has one dyno less."""

    def wanted(quantities: Any, generation: int = 0) -> Any:
        names = formation.wanted_dynos(quantities, generation)
        return names[1:] if len(quantities) > 1 and not quantities.get("clock") else names

    def reconcile(quantities: Any, present: Any, generation: int = 0) -> Any:
        names = wanted(quantities, generation)
        stops = [name for name in present if name not in names]
        return [name for name in names if name not in present], sorted(stops, key=lambda name: -name.number)

    yield engine, "reconcile", reconcile


def goes_by_the_wall() -> Plants:
    """Time is what the clock on the wall says."""
    yield loop.Loop, "now", lambda self: loop.time.time()


def forgets_to_look_again() -> Plants:
    """SIGKILL is sent once; what cannot hear it then is not told again."""
    true = Dyno.deadline
    yield Dyno, "deadline", lambda self: NEVER if self.state is State.KILLING else true(self)


def leaves_strays() -> Plants:
    """The last net is not cast."""
    yield LocalProcesses, "release", lambda self: self.guard.release()


def adopts_by_number() -> Plants:
    """Whoever has the pid of a dyno that an earlier supervisor started is taken for it."""

    def find(pid: int, start: int, token: bytes, noted: str) -> Inherited:
        try:
            return Inherited(pid, inherited.os.pidfd_open(pid))
        except OSError:
            return Inherited(pid, None, inherited.read_note(noted))

    yield ledger, "find", find


def sweeps_everything() -> Plants:
    """What an earlier supervisor left is ended, also what is to be gone on with."""
    true = adoption.sweep_others
    yield adoption, "sweep_others", lambda tokens, kept: true(tokens, ())


def starts_out_of_order() -> Plants:
    """No dyno waits for what it needs."""
    yield Engine, "lacks", lambda self, dyno: ""


def dies_of_a_full_table() -> Plants:
    """Once: where no aide can be made, a dyno that lives is said not to have started."""

    def start(self: aide.Aide) -> None:
        reader, self._pipe = aide.os.pipe()
        self.pid = aide.os.fork()
        aide.os.close(reader)
        for line in self._told.values():
            self._tell(line)

    yield aide.Aide, "start", start


def goes_by_numbers() -> Plants:
    """Once: the number of a root that was reaped was taken for its own, whoever had got it meanwhile."""

    def members(self: LocalProcesses, child: Any, found: Any) -> list[Process]:
        root = found.rows.get(child.pid)
        gone = child.ended and root is not None and root.start != child.start
        near = [pid for parent in (processes.os.getpid(), processes.INIT) for pid in found.children(parent)]
        strays = [
            pid
            for pid in near
            if pid not in self._alive
            and found.rows[pid].session != child.pid
            and found.bears_token(pid, child.token)
        ]
        return found.family(strays if gone else [child.pid, *strays])

    yield LocalProcesses, "_members", members


def trusts_a_session() -> Plants:
    """Once: a session was a dyno's by the number of its root, though that had been free for a while."""

    def has_lost_number(child: Any, found: Any, alive: Any) -> bool:
        root = found.rows.get(child.pid)
        taken = alive.get(child.pid, child) is not child or (root is not None and root.start != child.start)
        return taken and bool(child.ended or child.inherited)

    yield belonging, "has_lost_number", has_lost_number


def goes_on_with_what_was_ending() -> Plants:
    """Once: a dyno of a release that had been given up went on for ever if it was taken over while it ended."""

    def restore(self: Succession, formations: Any, newest: int) -> None:
        for number, wish in formations.items():
            self._supervisor.post(FormationChanged(wish, number))

    yield Succession, "restore", restore


def tells_the_loop_for_ever() -> Plants:
    """Once: after a stall of the disk, the loop was woken again and again by its own look."""
    true = Scribe.settle

    def settle(self: Scribe) -> None:
        self._let_go = None
        true(self)

    yield Scribe, "settle", settle


def wakes_nobody() -> Plants:
    """Once: what was handed over without a wait was written when somebody else woke the thread."""
    true = Scribe.settle

    def settle(self: Scribe) -> None:
        waits = self._claim or self._clock() >= self._trust_at
        with nullcontext() if waits else patch.object(self, "_wake", lambda: None):
            true(self)

    yield Scribe, "settle", settle


MUTANTS: list[Callable[[], Plants]] = [
    signals_the_reaped, trusts_a_pid, forgets_a_restart, lends_a_port_twice, counts_ports_by_twos, believes_late_news,
    starts_before_the_end, spares_the_stubborn, loses_last_words, says_things_twice, hides_a_gap, never_sees_a_port,
    cools_off_less_and_less, takes_the_first_type_first, goes_by_the_wall, forgets_to_look_again, leaves_strays,
    starts_out_of_order, adopts_by_number, sweeps_everything,
    dies_of_a_full_table, goes_by_numbers, trusts_a_session, goes_on_with_what_was_ending, tells_the_loop_for_ever,
    wakes_nobody,
]  # fmt: skip


@contextmanager
def planted(mutant: Callable[[], Plants]) -> Iterator[None]:
    """While the block runs, procman has this bug."""
    with ExitStack() as stack:
        for where, name, value in mutant():
            if where is None:
                state, event, cell = value
                stack.enter_context(patch.dict(table.TABLE[state], {event: cell}))
            else:
                stack.enter_context(patch.object(where, name, value))
        yield
