"""The engine under random fault schedules: a wayward kernel, a clock that jumps, and what must hold always."""

import json
from collections import Counter

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from procman.core.dyno import AT_REST, State
from procman.core.effects import Effect, Quit, Say, Spawn
from procman.core.engine import Engine
from procman.core.events import (
    Adopted,
    Bound,
    CheckFailed,
    CheckPassed,
    Emptied,
    Exited,
    FormationChanged,
    OneOffRequested,
    RestartRequested,
    ShutdownRequested,
    Spawned,
    SpawnFailed,
    StartRequested,
    StopRequested,
    Tick,
)
from procman.core.formation import port_of, wanted_dynos
from procman.core.model import DynoName, Exit, profile_of
from procman.core.restart import ALWAYS, DEV, FOREMAN, HEROKU, NEVER, NEVER_RESTART, ON_FAILURE, limited
from procman.core.snapshot import dump, load
from procman.core.table import TABLE, impossible
from tests.engine_world import Life, World
from tests.fakes import counted_cells

TYPES = ["web", "worker", "clock"]
BASE_PORT = 5000
EXITS = [Exit(0), Exit(1), Exit(3), Exit(137, "SIGKILL", "out of memory"), Exit(139, "SIGSEGV")]

# Mostly those under which the formation lives on.
POLICY = st.sampled_from([DEV, HEROKU, ALWAYS, ON_FAILURE, limited(2), DEV, HEROKU, ON_FAILURE, NEVER_RESTART, FOREMAN])
EXIT_WITH = st.sampled_from([None, None, None, None, "none", "none", "web", "any"])

formations = st.dictionaries(st.sampled_from(TYPES), st.sampled_from([1, 2, 0, 3]), min_size=1)
NEEDS = st.sampled_from([{}, {}, {"web": ("worker",)}, {"web": ("worker", "clock"), "worker": ("clock",)}])
CHECKED = st.sampled_from([(), (), ("web",), ("worker", "clock")])
ages = st.sampled_from([0.0, 5.0, 59.0, 700.0])
waits = st.sampled_from([0.0, 0.3, 1.0, 3.0, 10.0, 60.0, 600.0])


class EngineMachine(World):
    """Drives an ``Engine``: the rules are the outside world, ``perform`` is the supervisor."""

    @initialize(
        policies=st.fixed_dictionaries(dict.fromkeys(TYPES, POLICY)),
        grace=st.sampled_from([None, None, 0.0, 3.0]),
        exit_with=EXIT_WITH,
        wish=formations,
        cycle=st.sampled_from([None, None, None, "salt"]),
        needs=NEEDS,
        checked=CHECKED,
        generation=st.sampled_from([0, 0, 4]),
        adopted=st.lists(st.tuples(st.sampled_from(TYPES), st.integers(1, 3), ages, st.booleans()), max_size=3),
    )
    def begin(self, policies, grace, exit_with, wish, cycle, needs, checked, generation, adopted):
        profiles = {kind: profile_of(kind, policy, grace)._replace(cycle=cycle) for kind, policy in policies.items()}
        for kind in checked:
            profiles[kind] = profiles[kind]._replace(boot_timeout=60.0, check="GET /health", failures=2)
        profiles = {kind: profile._replace(needs=needs.get(kind, ())) for kind, profile in profiles.items()}
        profiles["run"] = profile_of("run", HEROKU, grace)._replace(cycle=cycle, one_off=True)
        self.make = lambda: Engine(lambda dyno: profiles[dyno.process_type], exit_with)
        self.engine = self.make()
        self.newest = generation
        for kind, number, age, up in adopted:
            self.adopt(DynoName(kind, number, generation), age, up)
        self.change_formation(wish, generation)

    def adopt(self, name, age, up):
        """A dyno of another supervisor lives on; told twice, it is adopted once."""
        life = Life(3, next(self.pids), born=self.clock.now() - age)
        known = name in self.lives
        if not known:
            self.lives[name], self.last_run[name] = life, life.run
        assert self.post(Adopted(name, life.run, life.pid, age, up)) == []
        assert (self.engine.dynos[name].pid != life.pid) == known

    # -- what the world does: few rules, each rich, as every rule that is switched off halves what can happen --

    @rule(data=st.data(), command=st.sampled_from([FormationChanged, RestartRequested, StopRequested, StartRequested]))
    def wish_for(self, data, command):
        if command is FormationChanged:
            self.change_formation(data.draw(formations), data.draw(st.sampled_from(sorted(self.wishes))))
        else:
            resting = [name for name in self.engine.dynos if name not in self.lives]
            names = st.sampled_from([*resting, *self.lives, DynoName("web", 3, self.newest)])
            self.order(command, data.draw(st.lists(names, min_size=1, max_size=2)))

    def change_formation(self, wish, generation, succeeds=False):
        if not (self.engine.closing or self.engine.quit):
            had = {kind for kind, quantity in self.wishes.get(generation, {}).items() if quantity}
            self.cleared = {kind for kind in self.cleared | had if wish.get(kind) == 0}
            kept = {other: wish for other, wish in self.wishes.items() if not succeeds or other >= generation}
            self.wishes = {**kept, generation: wish}
            self.held &= self.wanted()
        effects = self.post(FormationChanged(wish, generation, succeeds))
        touched = {effect.dyno.generation for effect in about_dynos(effects) if not isinstance(effect, Quit)}
        assert all(other <= generation if succeeds else other == generation for other in touched)
        assert not any(effect.dyno.process_type == "run" for effect in about_dynos(effects) if effect.dyno)

    def wanted(self):
        return {name for generation, wish in self.wishes.items() for name in wanted_dynos(wish, generation)}

    @precondition(lambda self: not self.engine.quit and len(self.history) % 3 == 0)  # seldom: each ends many lives
    @rule(wish=formations, how=st.sampled_from(["beside", "instead", "instead", "switch", "give up"]))
    def roll_out(self, wish, how):
        """A new generation beside the old or in its place; the newest takes its place at last, or is given up."""
        if how in ("beside", "instead"):
            self.newest += 1
            self.change_formation(wish, self.newest, how == "instead")
        elif how == "switch" and self.newest in self.wishes:
            self.change_formation(self.wishes[self.newest], self.newest, succeeds=True)
        elif how == "give up" and len(self.wishes) > 1 and self.newest in self.wishes:
            dynos = self.engine.dynos.items()
            older = {name: vars(dyno).copy() for name, dyno in dynos if name.generation < self.newest}
            self.change_formation({}, self.newest)
            if not (self.engine.closing or self.engine.quit):
                del self.wishes[self.newest]
            assert older == {name: vars(dyno) for name, dyno in dynos if name in older}

    @precondition(lambda self: not self.engine.quit and len(self.history) % 4 == 0)
    @rule(number=st.integers(1, 3))
    def run_once(self, number):
        name = DynoName("run", number, self.newest)
        if name not in self.one_offs:
            admitted = not self.engine.closing
            effects = self.post(OneOffRequested(name))
            assert effects == ([Spawn(name, 1)] if admitted else [])
            self.one_offs.add(name)

    def order(self, command, names):
        """Somebody orders about dynos, one of which there may not be, or not for long."""
        obeyed = set() if self.engine.closing or self.engine.quit else set(names) & self.wanted()
        stopped = set(names) & self.one_offs if command is StopRequested else set()
        running = {name for name, dyno in self.engine.dynos.items() if dyno.state in (State.STARTING, State.UP)}
        away = set(self.engine.dynos) - self.wanted() - self.one_offs
        if command is StopRequested:
            self.held |= obeyed
        else:
            self.held -= obeyed
            for name in obeyed if command is RestartRequested else obeyed - running:
                life = self.lives.get(name)
                if life and not life.pid:
                    continue  # about to begin: there is nothing to replace
                self.rows.pop(name, None)
                if life:
                    self.lives[name] = life._replace(asked=True)
        obeyed |= stopped
        before = {name: vars(dyno).copy() for name, dyno in self.engine.dynos.items() if name not in obeyed}
        effects = self.post(command(tuple(names)))
        assert {effect.dyno for effect in about_dynos(effects) if not isinstance(effect, Quit)} <= obeyed
        assert before == {name: vars(dyno) for name, dyno in self.engine.dynos.items() if name in before}
        assert not any(self.engine.dynos[name].wanted for name in away), "nothing comes back that is scaled away"

    @precondition(lambda self: self.lives)
    @rule(data=st.data(), how=st.sampled_from(EXITS), kindly=st.booleans())
    def hear_from_the_kernel(self, data, how, kindly):
        """The next thing happens to one of the dynos."""
        name = data.draw(st.sampled_from(list(self.lives)))
        life = self.lives[name]
        if not life.root:
            self.empty(name)
        elif life.pid and kindly:
            news = {1: CheckPassed(name, life.run), 3: CheckFailed(name, life.run, "GET /health was not answered")}
            self.post(news.get(how.status, Bound(name, life.run)))
        elif life.pid:
            self.end(name, how)
        elif kindly or how.signal:
            self.make_process(name)
        else:
            self.fail(name, Exit(127, reason="no such file"))

    @precondition(lambda self: self.lives)
    @rule(data=st.data(), seconds=waits, how=st.sampled_from(EXITS))
    def live_and_die(self, data, seconds, how):
        """A whole life of one dyno."""
        name = data.draw(st.sampled_from(list(self.lives)))
        if not self.lives[name].pid:
            self.make_process(name)
        self.until(self.clock.now() + seconds)
        if self.lives[name].root:
            self.end(name, how)
        self.empty(name)

    @rule(seconds=waits)
    def pass_time(self, seconds):
        self.post(Tick())
        self.until(self.clock.now() + seconds)

    @precondition(lambda self: self.clock.now() < self.engine.deadline() < NEVER and not self.engine.quit)
    @rule()
    def wait_for_the_deadline(self):
        self.until(self.engine.deadline())

    @precondition(lambda self: len(self.history) > 15)
    @rule(signum=st.sampled_from([2, 15]))
    def shut_down(self, signum):
        self.post(ShutdownRequested(128 + signum, "signal received"))

    @precondition(lambda self: self.over)
    @rule(data=st.data(), kind=st.sampled_from([Spawned, SpawnFailed, Bound, Exited, Emptied]))
    def hear_late_news(self, data, kind):
        name, run = data.draw(st.sampled_from([*self.over, (DynoName("stranger", 1), 0)]))
        if self.last_run[name] == run and name in self.engine.dynos:
            run += 1000  # nobody's
        detail = {Spawned: (7,), SpawnFailed: (Exit(127),), Exited: (Exit(1),)}.get(kind, ())
        before = self.everything(self.engine)
        assert self.post(kind(name, run, *detail)) == []
        assert self.everything(self.engine) == before

    # -- what holds after every step --

    @invariant()
    def at_rest_means_no_process(self):
        for name, dyno in self.engine.dynos.items():
            assert (dyno.state in AT_REST) == (name not in self.lives)
            life = self.lives.get(name, Life(dyno.run, root=False))
            assert life.run == dyno.run
            assert dyno.pid == (life.pid if life.pid and life.root else None)
        assert set(self.lives) <= set(self.engine.dynos)

    @invariant()
    def nothing_sticks(self):
        for name, dyno in self.engine.dynos.items():
            if dyno.is_final() or dyno.state in (State.WAITING, State.UP) or dyno.overdue:
                continue  # nothing is to come, or the kernel's answer or the process's end is
            assert dyno.deadline() < NEVER, name
        if not self.engine.quit and self.engine.closing:
            assert self.engine.dynos, "a shutdown with nothing left to stop must have ended"

    @invariant()
    def the_impossible_is_never_reached(self):
        assert self.reached.keys() <= POSSIBLE

    @invariant()
    def ports_are_never_shared(self):
        names = [name for name in self.engine.dynos if name.process_type in TYPES]
        ports = Counter((name.generation, port_of(name, TYPES, BASE_PORT)) for name in names)
        assert all(count == 1 for count in ports.values())

    # -- in the end --

    def teardown(self):
        try:
            if hasattr(self, "engine"):
                self.another_engine_can_go_on()
                self.facts_equal_wishes_after_quiet_time()
                self.another_engine_can_go_on()
                self.replay_reproduces()
                self.the_order_of_the_wish_does_not_matter()
        finally:
            self._cells.__exit__(None, None, None)

    def facts_equal_wishes_after_quiet_time(self):
        """The kernel answers everything, nothing breaks any more, and time passes."""
        for _ in range(1000):
            if not self.let_the_kernel_answer() and not self.let_the_next_thing_be_due():
                break
        else:
            raise AssertionError(f"never quiet: {self.engine.snapshot()}")
        dynos = self.engine.dynos
        if self.engine.closing:
            assert self.engine.quit
            assert not dynos
        else:
            assert set(dynos) - self.one_offs == self.wanted()
            for name, dyno in dynos.items():
                assert (dyno.state is State.DOWN) == (name in self.held)
                assert dyno.state is State.UP or dyno.is_final()
            exit_with_none = self.engine.exit_with == "none"
            all_final = bool(dynos) and all(dyno.is_final() for dyno in dynos.values())
            assert bool(self.engine.quit) == (all_final and not self.held and not self.cleared and not exit_with_none)

    def let_the_kernel_answer(self) -> bool:
        for name, life in list(self.lives.items()):
            state = self.engine.dynos[name].state
            if not life.pid:
                self.make_process(name)
            elif not life.root:
                self.empty(name)
            elif state in (State.STOPPING, State.KILLING):
                self.end(name, Exit(143, "SIGTERM"))
            elif state is State.STARTING:
                checked = self.engine.dynos[name].profile.check
                self.post(CheckPassed(name, life.run) if checked else Bound(name, life.run))
            else:
                continue
            return True
        return False

    def let_the_next_thing_be_due(self) -> bool:
        lasting = [dyno for dyno in self.engine.dynos.values() if dyno.state is State.UP]  # but for the daily restart
        due = self.engine.deadline()
        if self.engine.quit or due == NEVER or due in [dyno.deadline() for dyno in lasting]:
            return False
        self.until(max(due, self.clock.now()))
        return True

    def another_engine_can_go_on(self):
        engine = self.make()
        load(engine, json.loads(json.dumps(dump(self.engine))))
        if not self.engine.quit:
            assert self.everything(engine) == self.everything(self.engine)
            assert vars(engine).keys() == vars(self.engine).keys()
            before = {name: value for name, value in vars(self.engine).items() if name not in ("dynos", "profile")}
            assert before == {name: vars(engine)[name] for name in before}

    def replay_reproduces(self):
        engine = self.make()
        for event, now, effects in self.history:
            assert typed(engine.handle(event, now)) == typed(effects)
        assert self.everything(engine) == self.everything(self.engine)

    def the_order_of_the_wish_does_not_matter(self):
        """The same effects, in whatever order, from formations listed backwards; only lists of names may differ."""
        engine = self.make()
        for event, now, effects in self.history:
            if isinstance(event, FormationChanged):
                event = event._replace(formation=dict(reversed(event.formation.items())))  # noqa: PLW2901
            mirrored = engine.handle(event, now)
            assert sorted(map(repr, about_dynos(mirrored))) == sorted(map(repr, about_dynos(effects)))
        assert engine.snapshot() == self.engine.snapshot()

    @staticmethod
    def everything(engine: Engine) -> tuple:
        """All that the engine knows."""
        dynos = {name: dict(vars(dyno)) for name, dyno in engine.dynos.items()}
        return dynos, engine.snapshot(), engine.deadline(), engine.closing, engine.quit, dict(engine.failures)


POSSIBLE = {(state, event) for state, row in TABLE.items() for event, cell in row.items() if cell is not impossible}


def typed(effects: list[Effect]) -> list[tuple[type, Effect]]:
    """Effects that compare unequal when only their fields agree: they are tuples."""
    return [(type(effect), effect) for effect in effects]


def about_dynos(effects: list[Effect]) -> list[Effect]:
    return [effect for effect in effects if not (isinstance(effect, Say) and effect.dyno is None)]


def test_engine_under_random_schedules():
    """Most cells that can be reached are: the schedules are as wild as the table is wide.

    The transcripts reach each single one; what chance finds differs between versions of Python and Hypothesis.
    """
    more = settings(max_examples=5 * settings().max_examples, suppress_health_check=list(HealthCheck))
    with counted_cells() as reached:
        run_state_machine_as_test(EngineMachine, settings=more)
    missed = POSSIBLE - set(reached)
    assert len(missed) <= len(POSSIBLE) // 6, sorted((state.value, event.__name__) for state, event in missed)
