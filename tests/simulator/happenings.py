"""What the world does to a supervisor and its dynos, by name, at the times of the schedule."""

import errno
import signal
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from procman.core.events import (
    Bound,
    Emptied,
    Exited,
    FormationChanged,
    OneOffRequested,
    RestartRequested,
    Spawned,
    SpawnFailed,
    StartRequested,
    StopRequested,
)
from procman.core.formation import wanted_dynos
from procman.core.model import DynoName, Exit
from procman.core.snapshot import dump
from procman.supervisor.ledger import Entry
from procman.supervisor.reload import Reload
from tests.simulator.kernel import INIT, Broken, Proc
from tests.simulator.schedule import Happening

if TYPE_CHECKING:
    from tests.simulator.world import World

GAPS = {0: 0.0, 1: 0.0, 3: 2.0, 10: 30.0, 40: 0.5}  # by calls until the supervisor is killed: seconds until the next
NEWS = (Spawned, SpawnFailed, Bound, Exited, Emptied)
DETAILS: dict[type, tuple[Any, ...]] = {Spawned: (7,), SpawnFailed: (Exit(127),), Exited: (Exit(1),)}


class Happenings:
    """``wish``: the formation by generation as the world wants it; ``held``: what it has stopped by hand."""

    def __init__(self, world: "World") -> None:
        self.world = world
        self.kernel = world.kernel
        self.wish: dict[int, dict[str, int]] = {0: dict(world.settings.formation)}
        self.held: set[DynoName] = set()
        self.one_offs: set[DynoName] = set()
        self.newest = 0
        self.replace = False  # the supervisor's program, as soon as its turn is over
        self._rounds = 0
        self._once = 0
        self.gap = 0.0  # seconds without a supervisor

    def prepare(self) -> None:
        """Put the schedule on the kernel's agenda, and quiet behind it."""
        when = self.kernel.now
        for happening in self.world.schedule.happenings:
            when += happening.gap
            self.kernel.at(when, lambda each=happening: self.happen(each))
        self.kernel.at(when + 0.5, self.be_quiet)

    def happen(self, happening: Happening) -> None:
        """One of them."""
        _, what, detail = happening
        self.world.told(f"{what} {' '.join(map(str, detail))}")
        self.kernel.faults[what] += 1
        getattr(self, what.replace(" ", "_"))(*detail)

    def begin_anew(self) -> dict[str, int]:
        """Another supervisor starts, of a foreground formation: with what is wished now."""
        if not self.world.settings.detached:
            self.wish = {self.newest: self.wish[self.newest]}
        self.held.clear()
        self.one_offs.clear()
        self.replace = False
        return self.wish[self.newest]

    def begin_again(self, found: Collection[Entry]) -> dict[int, dict[str, int]]:
        """Another supervisor starts, of a detached formation: what lives on goes on; the older generations of that."""
        alive = {entry.dyno.generation for entry in found}
        self.one_offs = {entry.dyno for entry in found if entry.dyno.process_type == "run"}
        self.newest = max(self.wish)
        self.wish = {number: wish for number, wish in self.wish.items() if number in alive or number == self.newest}
        return {number: wish for number, wish in self.wish.items() if number != self.newest}

    # -- to processes --

    def _pick(self, at: int) -> Proc | None:
        living = self.kernel.living()
        return living[at % len(living)] if living else None

    def crash(self, at: int, how: int) -> None:
        if proc := self._pick(at):
            self.world.programs.leave(proc, how)

    def kill(self, at: int, how: int) -> None:
        if proc := self._pick(at):
            self.kernel.send(proc, -how if how < 0 else signal.SIGKILL)

    def out_of_memory(self, at: int, count: int) -> None:
        self.kernel.oom_kills += 1
        self.kill(at, -signal.SIGKILL)

    def stop_process(self, at: int, count: int) -> None:
        if proc := self._pick(at):
            self.kernel.send(proc, signal.SIGSTOP)

    def continue_process(self, at: int, count: int) -> None:
        if proc := self._pick(at):
            self.kernel.send(proc, signal.SIGCONT)

    def freeze(self, at: int, count: int) -> None:
        if (proc := self._pick(at)) and not proc.frozen:
            proc.frozen = True
            self.kernel.at(self.kernel.now + 7.0 * count, lambda: self.kernel.thaw(proc))

    def guard_killed(self) -> None:
        for proc in [proc for proc in self.kernel.children(self.kernel.ours) if proc.hears]:
            self.kernel.end(proc, -signal.SIGKILL)

    # -- to the host --

    def strangers(self, count: int, seconds: float) -> None:
        """Processes of others come, use up pids, and go."""
        for _ in range(count):
            try:
                proc = self.kernel.birth(self.kernel.new_pid(), INIT)
            except OSError:
                self.kernel.faults["no pid left"] += 1
                return
            self.kernel.at(self.kernel.now + seconds, lambda each=proc: self.kernel.end(each, 0))

    def port_taken(self, at: int) -> None:
        """By somebody else, if it is free."""
        port = 5000 + at % 4 + 100 * (at // 4)
        if port not in self.kernel.ports:
            self.kernel.ports[port] = self.kernel.procs[INIT]
            self.kernel.at(self.kernel.now + 40.0, self.ports_given_back)

    def ports_given_back(self) -> None:
        for port in [port for port, proc in self.kernel.ports.items() if proc.pid == INIT]:
            del self.kernel.ports[port]

    def no_descriptors(self) -> None:
        if not self.world.between:
            self.world.files.fail_next_pipe = errno.EMFILE

    def clock(self, seconds: float) -> None:
        """The clock on the wall jumps; the monotonic one never does."""
        self.kernel.wall += seconds

    def disk_full(self, left: int) -> None:
        self.world.files.disk.free = left

    def disk_room(self) -> None:
        self.world.files.disk.free = None

    def disk_slow(self, latency: float) -> None:
        self.world.files.disk.latency = latency

    def reader_stalls(self) -> None:
        self.world.files.out.turn("stalled")

    def reader_reads(self) -> None:
        self.world.files.out.turn("reads")

    def reader_gone(self) -> None:
        self.world.files.out.turn("gone")

    # -- to the supervisor --

    def signal(self, signum: int, again: float) -> None:
        self._interrupt(signum)
        if again:
            self.kernel.at(self.kernel.now + again, lambda: self._interrupt(signum))

    def _interrupt(self, signum: int) -> None:
        if not self.world.between:
            self.kernel.interrupt(signum)

    def supervisor_killed(self, calls: int) -> None:
        if not self.world.between:
            self.kernel.calls_left, self.gap = calls, GAPS[calls]

    def replace_program(self) -> None:
        self.world.ask(lambda: setattr(self, "replace", True))

    # -- from clients --

    def _post(self, event: Any) -> None:
        self.world.supervisor.post(event)

    @property
    def _over(self) -> bool:
        return self.world.engine.closing is not None

    def _wanted(self) -> set[DynoName]:
        return {name for generation, wish in self.wish.items() for name in wanted_dynos(wish, generation)}

    def scale(self, formation: tuple[tuple[str, int], ...], types: list[str]) -> None:
        self.world.ask(lambda: self._scale(dict(formation)))

    def _scale(self, formation: dict[str, int]) -> None:
        if not self._over:
            self.wish[self.newest] = formation
            self.held &= self._wanted()
        self._post(FormationChanged(formation, self.newest))

    def reload(self, formation: tuple[tuple[str, int], ...], types: list[str]) -> None:
        self.world.ask(lambda: self._reload(dict(formation), frozenset(types)))

    def _reload(self, formation: dict[str, int], changed: frozenset[str]) -> None:
        if self._over or self.newest:
            return  # a served app is never reloaded
        self.wish[0] = formation
        self.held &= self._wanted()
        Reload(formation, changed).put_in_force(self.world.supervisor)

    def roll_out(self, formation: tuple[tuple[str, int], ...], types: list[str]) -> None:
        """A new generation beside the old."""
        self.world.ask(lambda: self._succeed(dict(formation), succeeds=False))

    def succeed(self, formation: tuple[tuple[str, int], ...], types: list[str]) -> None:
        """A new generation in the place of the old."""
        self.world.ask(lambda: self._succeed(dict(formation), succeeds=True))

    def _succeed(self, formation: dict[str, int], succeeds: bool) -> None:
        if self._over or not self.world.settings.book:
            return
        self.newest += 1
        self.wish = {self.newest: formation} if succeeds else {**self.wish, self.newest: formation}
        self.held &= self._wanted()
        self._post(FormationChanged(formation, self.newest, succeeds))

    def run_once(self) -> None:
        self.world.ask(self._run_once)

    def _run_once(self) -> None:
        self._once += 1
        name = DynoName("run", self._once, self.newest)
        if not self._over:
            self.one_offs.add(name)
        self._post(OneOffRequested(name))

    def _names(self, at: int, count: int) -> list[DynoName]:
        names = [*self.world.engine.dynos, DynoName("web", 3, self.newest)]
        return [names[(at + step) % len(names)] for step in range(count)]

    def restart(self, at: int, count: int) -> None:
        self.world.ask(lambda: self._order(RestartRequested, self._names(at, count)))

    def start(self, at: int, count: int) -> None:
        self.world.ask(lambda: self._order(StartRequested, self._names(at, count)))

    def stop(self, at: int, count: int) -> None:
        self.world.ask(lambda: self._order(StopRequested, self._names(at, count)))

    def _order(self, command: Any, names: list[DynoName]) -> None:
        if not self._over:
            obeyed = set(names) & self._wanted()
            self.held = self.held | obeyed if command is StopRequested else self.held - obeyed
        self._post(command(tuple(dict.fromkeys(names))))

    def late_news(self, at: int) -> None:
        self.world.ask(lambda: self._late_news(at))

    def _late_news(self, at: int) -> None:
        """Of a run that is over: it changes nothing."""
        engine = self.world.engine
        runs = {name: dyno.run for name, dyno in engine.dynos.items()}
        over = [life for life in self.world.programs.lives if runs.get(life.name) != life.run]
        if not over:
            return
        life, kind = over[at % len(over)], NEWS[at % len(NEWS)]
        before = dump(engine)
        if engine.handle(kind(life.name, life.run, *DETAILS.get(kind, ())), self.kernel.now) or dump(engine) != before:
            raise Broken(f"late news of {life.dyno}#{life.run} changes something: {kind.__name__}")

    # -- and then nothing --

    def be_quiet(self) -> None:
        """From now on nothing breaks any more."""
        world, kernel = self.world, self.kernel
        world.told("from now on nothing breaks any more")
        kernel.quiet, kernel.calls_left = True, None
        self.disk_room()
        self.disk_slow(0.0)
        self.reader_reads()
        self.ports_given_back()
        world.files.fail_next_pipe = 0
        kernel.span += 500
        for proc in kernel.living():
            kernel.send(proc, signal.SIGCONT)
            if proc.life.first is proc and proc.life.port:
                world.programs.bind(proc)
        kernel.at(kernel.now + 1.0, self._look_again)

    def _look_again(self) -> None:
        """When nothing is to come any more, everything has to be as it was wished for; then all ends."""
        engine, kernel = self.world.engine, self.kernel
        if self.world.between:
            kernel.at(kernel.now + 1.0, self._look_again)
            return
        if engine.closing or engine.quit:
            return
        self._rounds += 1
        due = min(kernel.due(), *(deadline() for deadline, _ in self.world.loop._deadlines))
        if due == float("inf"):
            self.world.invariants.facts_equal_wishes(self._wanted(), self.held, self.one_offs)
            kernel.interrupt(signal.SIGINT)
        elif self._rounds > 2000:
            raise Broken(f"never quiet: {engine.snapshot()}")
        else:
            kernel.at(max(due, kernel.now) + 1.0, self._look_again)
