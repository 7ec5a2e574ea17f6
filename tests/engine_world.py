"""The world around an engine under test: a wayward kernel, a clock that jumps, and the supervisor between them."""

from collections import Counter
from typing import NamedTuple

from hypothesis.stateful import RuleBasedStateMachine

from procman.core.dyno import State
from procman.core.effects import Effect, Kill, Quit, Spawn, Terminate
from procman.core.engine import Engine
from procman.core.events import (
    Emptied,
    Event,
    Exited,
    RestartRequested,
    Spawned,
    SpawnFailed,
    StartRequested,
    Tick,
)
from procman.core.model import DynoName, Exit
from tests.fakes import FakeClock, counted_cells


class Life(NamedTuple):
    """A run as the fake kernel has it. ``root``: the root process lives. ``born`` is when the process was made."""

    run: int
    pid: int = 0  # 0: asked for, not made yet
    root: bool = True
    born: float = 0.0
    asked: bool = False  # to end, by SIGTERM, or to be followed by another at once


class World(RuleBasedStateMachine):
    """What may happen, and what the supervisor does about it. The rules that let it happen are a subclass's."""

    engine: Engine

    def __init__(self) -> None:
        super().__init__()
        self.clock = FakeClock(1000.0)
        self.lives: dict[DynoName, Life] = {}  # those that are not over
        self.last_run: Counter[DynoName] = Counter()
        self.over: list[tuple[DynoName, int]] = []
        self.history: list[tuple[Event, float, list[Effect]]] = []
        self.wishes: dict[int, dict[str, int]] = {}  # by generation
        self.newest = 0
        self.one_offs: set[DynoName] = set()  # that were admitted, once
        self.held: set[DynoName] = set()  # of the wish, and stopped by hand
        self.cleared: set[str] = set()  # process types that were scaled to none
        self.rows: dict[DynoName, tuple[int, float]] = {}  # crashes in a row, and the wait after the latest
        self.pids = iter(range(100, 1_000_000))
        self._cells = counted_cells()
        self.reached = self._cells.__enter__()

    # -- the kernel --

    def make_process(self, name: DynoName) -> None:
        life = Life(self.lives[name].run, next(self.pids), born=self.clock.now())
        self.lives[name] = life
        self.post(Spawned(name, life.run, life.pid))

    def fail(self, name: DynoName, how: Exit) -> None:
        life = self.lives.pop(name)
        self.over.append((name, life.run))
        self.watch_cool_off(name, life, SpawnFailed(name, life.run, how))

    def end(self, name: DynoName, how: Exit) -> None:
        life = self.lives[name]
        self.lives[name] = life._replace(root=False)
        dyno = self.engine.dynos[name]
        if self.clock.now() - life.born >= dyno.profile.policy.forgiven_after:
            self.rows.pop(name, None)
        self.post(Exited(name, life.run, how))

    def empty(self, name: DynoName) -> None:
        life = self.lives.pop(name)
        self.over.append((name, life.run))
        self.watch_cool_off(name, life, Emptied(name, life.run))

    def watch_cool_off(self, name: DynoName, life: Life, end: Event) -> None:
        """Crashes in a row are counted; no wait of a row is shorter than the one before, but for the jitter."""
        dyno = self.engine.dynos[name]
        crashed = dyno.wanted and not life.asked
        self.post(end)
        if not crashed or dyno.state is State.COMPLETE:
            return
        crashes, longest = self.rows.get(name, (0, 0.0))
        assert dyno.crashes == crashes + 1
        policy = dyno.profile.policy
        wait = policy.cool_off(crashes + 1, f"{name}#{self.last_run[name]}")
        assert wait >= longest * (1 - policy.jitter) / (1 + policy.jitter)
        self.rows[name] = crashes + 1, wait

    def until(self, then: float) -> None:
        """Time passes, and what is due is done at its time."""
        while (due := self.engine.deadline()) <= then and not self.engine.quit:
            self.clock.jump(max(due, self.clock.now()))
            effects = self.post(Tick())  # with a grace of nothing, what it does may be due again
            assert effects or self.engine.deadline() > due, "a tick must do what is due"
        self.clock.jump(then)

    # -- the supervisor --

    def post(self, event: Event) -> list[Effect]:
        had_quit, now = self.engine.quit, self.clock.now()
        effects = self.engine.handle(event, now)
        self.history.append((event, now, effects))
        assert not (had_quit and effects), "nothing comes after Quit"
        for effect in effects:
            self.perform(effect)
        if not isinstance(event, RestartRequested | StartRequested | Tick):  # each of these is about many, in turn
            begun = [self.engine.dynos[effect.dyno] for effect in effects if isinstance(effect, Spawn)]
            assert not any(map(self.engine.lacks, begun)), "what starts has what it needs"
        self.rows = {name: row for name, row in self.rows.items() if name in self.engine.dynos}
        return effects

    def perform(self, effect: Effect) -> None:
        if isinstance(effect, Spawn):
            assert effect.dyno not in self.lives, "one live process per dyno"
            assert effect.run > self.last_run[effect.dyno], "a run number is used once"
            self.last_run[effect.dyno] = effect.run
            self.lives[effect.dyno] = Life(effect.run)
        elif isinstance(effect, Terminate | Kill):
            life = self.lives[effect.dyno]
            assert life.run == effect.run, "no signal to a run that is over"
            assert life.pid, "no signal to a process that does not exist"
            asked = isinstance(effect, Terminate) and not self.engine.dynos[effect.dyno].sick
            self.lives[effect.dyno] = life._replace(asked=life.asked or asked)
        elif isinstance(effect, Quit):
            assert not self.lives, "Quit only when nothing runs"
