"""What must hold: before every signal, after every turn of the loop, when all is quiet, and in the end."""

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from procman.core.dyno import AT_REST, Dyno, State
from procman.core.effects import Effect, Say, Spawn
from procman.core.engine import Engine
from procman.core.events import Event, FormationChanged, RestartRequested, StartRequested
from procman.core.formation import wanted_dynos
from procman.core.model import DynoName
from procman.core.restart import NEVER
from procman.core.snapshot import dump, load
from procman.core.table import TABLE, impossible
from tests.simulator.delivery import Delivery
from tests.simulator.kernel import Broken, Proc, check

if TYPE_CHECKING:
    from tests.simulator.programs import Life
    from tests.simulator.world import World

ENDING = (State.STOPPING, State.KILLING)
LAST_S = 60.0  # a shutdown may take so much longer than the grace: uninterruptible sleep, a reader that stalls


class Invariants:
    """Looks at one world. What is true of processes it takes from the kernel, never from procman."""

    def __init__(self, world: "World") -> None:
        self.world = world
        self.kernel = world.kernel
        self.history: list[tuple[Event, float, list[Effect]]] = []
        self.rows: dict[DynoName, tuple[int, float]] = {}  # crashes in a row, and the wait after the latest
        self._started: dict[str, Any] | None = None  # what the engine knew when its program began
        self._closing_at = NEVER
        self.delivery = Delivery(world)

    def begin(self, engine: Engine) -> None:
        """Another supervisor, or another program of it."""
        self.engine = engine
        self.history = []
        self._handle = engine.handle
        engine.handle = self.handle

    def handle(self, event: Event, now: float) -> list[Effect]:
        """As ``Engine.handle``, overheard."""
        dyno = self.engine.dynos.get(event.dyno) if hasattr(event, "dyno") else None
        if dyno is not None and getattr(event, "run", dyno.run) == dyno.run:
            check(TABLE[dyno.state][type(event)] is not impossible, f"{type(event).__name__} to {said(dyno)}")
        check(now == self.kernel.now, "the engine is told another time than the monotonic clock's")
        known = (dyno.run, dyno.crashes) if dyno else (0, 0)
        effects = self._handle(event, now)
        if dyno is not None:
            self.cool_off_grows(dyno, *known)
        if not isinstance(event, (RestartRequested, StartRequested)):  # then whoever asks knows better
            self.in_order(effects)
        self.history.append((event, now, effects))
        self.world.effects.update(type(effect).__name__ for effect in effects)
        if self.world._tell:
            for effect in effects:
                self.world.told(f"    {effect}")
        return effects

    def in_order(self, effects: list[Effect]) -> None:
        """What is started has all that it needs."""
        for effect in effects:
            if isinstance(effect, Spawn) and (needs := self.world.profile(effect.dyno).needs):
                formation = self.engine.formations.get(effect.dyno.generation, {})
                for name in wanted_dynos({kind: formation.get(kind, 0) for kind in needs}, effect.dyno.generation):
                    needed = self.engine.dynos.get(name)
                    if needed is None or needed.state not in (State.UP, State.COMPLETE):
                        raise Broken(f"{effect.dyno} is started without {name}")

    def resumed(self) -> None:
        """The engine knows now what another has known."""
        self._started = dump(self.engine)
        self.history = []

    # -- before every signal --

    def before_signal(self, proc: Proc, signum: int) -> None:
        """Of a supervisor, or of its aide."""
        life: Life | None = proc.life
        if self.world.between:
            known = proc.hears or (life and not self.world.outliving.is_kept(life))
            check(known, f"{proc.pid} is ended, and should be gone on with or left alone")
            return
        if proc.hears:
            return  # the holder of an earlier supervisor's pipes
        check(life, f"a stranger ({proc.pid}) gets signal {signum}")
        assert life
        root = self.kernel.procs.get(proc.group)
        if root is not None and root.life is not None:
            check(root.life is life, f"the group of {life.dyno}#{life.run} is led by another's process")
        dyno = self.engine.dynos.get(life.name)
        if self.engine.quit:
            return  # the last net
        check(dyno and dyno.run == life.run and dyno.state in ENDING, f"{life.dyno}#{life.run} is signalled unasked")

    # -- after every turn --

    def after_turn(self) -> None:
        """Nothing is in the middle of anything."""
        living = self.knowable()
        self.one_life(living)
        self.facts_are_known(living)
        self.ports_are_apart(living)
        for dyno in self.engine.dynos.values():
            self.nothing_sticks(dyno)
        if self.engine.closing and self._closing_at == NEVER:
            self._closing_at = self.kernel.now

    def before_sleep(self) -> None:
        """What waits for the disk has somebody who comes and writes it, however long nothing else happens."""
        if self.world.settings.disk and self.world.scribe._tasks:
            check(self.world.thread.works or self.world.thread.comes, "what waits for the disk waits for the next turn")

    def knowable(self) -> dict["Life", list[Proc]]:
        """The living processes of each life that can be told to be its own.

        Not so a process without the token in a session of its own, whose parent is gone: nothing names its dyno.
        """
        found: dict[Life, list[Proc]] = {}
        for proc in self.kernel.living():
            if self.can_be_known(proc):
                found.setdefault(proc.life, []).append(proc)
        return found

    def can_be_known(self, proc: Proc) -> bool:
        """Whether something names its dyno."""
        if proc.env or not proc.left:
            return True
        parent = self.kernel.procs.get(proc.parent)
        return parent is not None and parent.life is proc.life and self.can_be_known(parent)

    def one_life(self, living: dict["Life", list[Proc]]) -> None:
        """At most one run of a dyno has processes."""
        seen: dict[str, Life] = {}
        for life in living:
            if life.dyno in seen:
                raise Broken(f"{life.dyno} lives twice: as {seen[life.dyno].run} and {life.run}")
            seen[life.dyno] = life

    def facts_are_known(self, living: dict["Life", list[Proc]]) -> None:
        """A dyno at rest has no process; one that is not is the very run that lives."""
        for life, procs in living.items():
            dyno = self.engine.dynos.get(life.name)
            if dyno is None:
                raise Broken(f"{life.dyno}#{life.run} lives, and is forgotten")
            if dyno.state in AT_REST:
                raise Broken(f"{said(dyno)} has processes: {[proc.pid for proc in procs]}")
            if dyno.run != life.run:
                raise Broken(f"{said(dyno)} is not the run that lives: {life.run}")
            if dyno.pid != life.root and any(proc.pid == life.root and not proc.left for proc in procs):
                raise Broken(f"{said(dyno)}: its root is {life.root}, not {dyno.pid}")
        for proc in self.kernel.children(self.kernel.ours):
            if proc.end is not None and proc.life is not None and not self._news_waits():
                raise Broken(f"the end of {proc.pid} is not noticed")

    def _news_waits(self) -> bool:
        """SIGCHLD has come since the loop last looked."""
        return bool(self.world.loop._poller.ready())

    def ports_are_apart(self, living: dict["Life", list[Proc]]) -> None:
        """No two dynos that live have one port."""
        ports: dict[int, str] = {}
        for life in living:
            if life.port:
                check(life.port not in ports, f"{life.dyno} and {ports.get(life.port)} share port {life.port}")
                ports[life.port] = life.dyno

    def nothing_sticks(self, dyno: Dyno) -> None:
        """A state that shall not last has a deadline, or the kernel still has something to tell."""
        if dyno.state is State.WAITING:
            raise Broken(f"{said(dyno)} after a turn")
        if (dyno.state in ENDING or (dyno.state is State.STARTING and not dyno.overdue)) and dyno.deadline() == NEVER:
            raise Broken(f"{said(dyno)} has no deadline")
        if dyno.pid is not None:
            root = self.kernel.procs.get(dyno.pid)
            if not (root and root.life and root.life.name == dyno.name) and not self._news_waits():
                raise Broken(f"{said(dyno)}: {dyno.pid} is not its process")
        elif dyno.state not in AT_REST:
            at_work = any(proc.life.name == dyno.name for proc in self.kernel.living())
            looks_again = self.world.supervisor._recheck_at < NEVER
            if dyno.state not in ENDING or not (at_work or looks_again or self._news_waits()):
                raise Broken(f"{said(dyno)} without a process")

    def cool_off_grows(self, dyno: Dyno, run: int, before: int) -> None:
        """Within a row of crashes no wait is shorter than the one before, but for the jitter.

        ``run``: that has just ended; ``before``: how many crashes there were.
        """
        if dyno.crashes <= before:
            return
        policy = dyno.profile.policy
        wait = policy.cool_off(dyno.crashes, f"{dyno.name}#{run}")
        count, longest = self.rows.get(dyno.name, (0, 0.0))
        if dyno.crashes > 1:
            check(dyno.crashes == count + 1, f"{said(dyno)}: crash {dyno.crashes} after crash {count}")
            least = longest * (1 - policy.jitter) / (1 + policy.jitter)
            check(wait >= least, f"{said(dyno)}: {wait} s after {longest} s")
        self.rows[dyno.name] = dyno.crashes, wait
        if dyno.state is State.CRASHED:
            check(dyno.deadline() >= self.kernel.now + wait, f"{said(dyno)} is tried again too early")

    # -- when all is quiet --

    def facts_equal_wishes(
        self, wanted: Collection[DynoName], held: Collection[DynoName], one_offs: Collection[DynoName]
    ) -> None:
        """What lives is what somebody wants, and the other way round."""
        dynos = self.engine.dynos
        check(set(dynos) - set(one_offs) == set(wanted), f"there are {sorted(dynos)}, and wanted {sorted(wanted)}")
        alive = {life.name: life for life in self.knowable()}
        for name, dyno in dynos.items():
            if name in held:
                check(dyno.state is State.DOWN and name not in alive, f"{said(dyno)} was stopped by hand")
            elif dyno.state is State.QUEUED:
                check(self.engine.lacks(dyno) and name not in alive, f"{said(dyno)} waits for nothing")
            elif dyno.is_final():
                gave_up = dyno.profile.policy.limit is not None or dyno.state is State.COMPLETE
                check(gave_up and name not in alive, f"{said(dyno)} is given up")
            else:
                check(dyno.state is State.UP and name in alive, f"{said(dyno)}, and all is quiet")

    # -- the end --

    def at_the_end(self) -> None:
        """The last supervisor has ended by itself."""
        world, kernel = self.world, self.kernel
        left = [proc.pid for proc in kernel.living() if not world.settings.detached or self.can_be_known(proc)]
        check(not left, f"{left} outlive the supervisor")
        check(not kernel.children(kernel.ours), "a child is left unreaped")
        check(not kernel.handled, f"signals are not given back: {kernel.handled}")
        ends = [fd for fd, end in world.files.fds.items() if end.kind != "select" and end.of is not world.control]
        stalled = world.settings.disk and world.scribe._tasks  # the disk, and nobody waited any longer
        kept = {0, 1, 2, world.output.sink.hangup_fd}
        if world.settings.disk:
            kept |= {world.scribe._reader, world.scribe._writer, *(ends if stalled else ())}
        check(set(ends) == kept, f"descriptors are left open: {sorted(set(ends) - kept)}")
        if self.engine.closing and self._closing_at < NEVER:
            grace = max(profile.grace for profile in world.profiles.values())
            took = kernel.now - self._closing_at  # one after the other, where they need each other
            check(took <= 3 * grace + LAST_S, f"a shutdown of {took} s")
        self.delivery.every_byte_is_delivered(whole=True)
        self.the_order_of_the_wish_does_not_matter()
        if world.settings.disk:
            self.delivery.the_store_is_whole(not stalled)

    def after_kill(self) -> None:
        """Of the supervisor. What it had no time for is missing at the end, and nothing else."""
        self.delivery.every_byte_is_delivered(whole=False)
        self.delivery.forget()
        self._started, self._closing_at = None, NEVER
        self.rows.clear()

    def after_sweep(self) -> None:
        """The next supervisor has begun: nothing that can be known lives. What cannot is a stranger's from now on."""
        for proc in self.kernel.living():
            if self.world.outliving.is_kept(proc.life):
                continue
            check(not proc.env, f"{proc.pid} of {proc.life.dyno} survives the sweep")
            proc.life.alive.remove(proc)
            proc.life = None

    def the_order_of_the_wish_does_not_matter(self) -> None:
        """The same happens in whatever order the types of a formation are listed."""
        engine = Engine(self.world.profile, self.world.settings.exit_with)
        if self._started:
            load(engine, self._started)
        for event, now, effects in self.history:
            if isinstance(event, FormationChanged):
                event = event._replace(formation=dict(reversed(event.formation.items())))  # noqa: PLW2901
            mirrored = engine.handle(event, now)
            if mirrored != effects:
                same = sorted(map(repr, about_dynos(mirrored))) == sorted(map(repr, about_dynos(effects)))
                check(same, f"another order of the types makes another effect: {event}")
        check(sorted(engine.snapshot().items()) == sorted(self.engine.snapshot().items()), "and another end")


def about_dynos(effects: list[Effect]) -> list[Effect]:
    """Without the lines in which dynos are listed."""
    return [effect for effect in effects if not (isinstance(effect, Say) and effect.dyno is None)]


def said(dyno: Dyno) -> str:
    """A dyno as a story tells of it."""
    return f"{dyno.name.full()}#{dyno.run} ({dyno.state.value})"
