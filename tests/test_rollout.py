"""A rollout, on a stage: the engine and the rollout as the supervisor joins them, with a clock that stands still."""

from procman.core.dyno import AT_REST, State
from procman.core.effects import Spawn, Terminate
from procman.core.engine import Engine
from procman.core.events import Bound, Emptied, Exited, FormationChanged, Spawned, SpawnFailed, StopRequested, Tick
from procman.core.model import DynoName, Exit, profile_of
from procman.core.restart import HEROKU, NEVER
from procman.core.rollout import Phase, Rollout, Trial

OLD = {"web": 1, "worker": 1, "clock": 1}


class Stage:
    """Generation 4 runs; ``roll_out`` brings up 5. Processes are as obedient as the test says."""

    def __init__(self, old=None):
        self.now = 0.0
        self.engine = Engine(self.profile, "none")
        self.rollout = None
        self.running = {}
        self.log = []
        self.passed, self.sick = set(), {}
        if old:
            self.post(FormationChanged(old, 4))
            self.boot("web.1", generation=4)
            self.post(Tick(), at=100.0)

    @staticmethod
    def profile(dyno):
        policy = HEROKU._replace(limit=0) if dyno.generation == 5 else HEROKU
        return profile_of(dyno.process_type, policy)

    def roll_out(self, formation, apart=(), **trial):
        older = dict(self.engine.formations)
        self.rollout = Rollout(5, formation, older, apart, Trial(**trial))
        self.perform(self.rollout.begin())
        self.look()

    def perform(self, wishes):
        for wish in wishes:
            self.post(wish)

    def post(self, event, at=None):
        self.now = self.now if at is None else at
        for effect in self.engine.handle(event, self.now):
            if isinstance(effect, Spawn):
                self.log.append(f"start {effect.dyno.full()}")
                self.running[effect.dyno] = effect.run
                self.post(Spawned(effect.dyno, effect.run, 7))
            elif isinstance(effect, Terminate):
                self.log.append(f"stop {effect.dyno.full()}")

    def look(self, at=None):
        self.now = self.now if at is None else at
        while wishes := self.rollout.step(self.engine.dynos, self.now, self.passed, self.sick):
            self.perform(wishes)

    def named(self, word, generation=5):
        kind, number = word.split(".")
        return DynoName(kind, int(number), generation)

    def boot(self, word, generation=5, at=None):
        name = self.named(word, generation)
        self.post(Bound(name, self.running[name]), at)
        if self.rollout:
            self.look()

    def end(self, word, generation=5, status=1, empty=True):
        name = self.named(word, generation)
        run = self.engine.dynos[name].run
        self.post(Exited(name, run, Exit(status)))
        self.look()
        if empty:
            self.post(Emptied(name, run))
            self.look()

    def states(self, generation):
        dynos = self.engine.dynos.items()
        return {str(name): dyno.state.value for name, dyno in dynos if name.generation == generation}


def test_a_rollout_is_ready_when_all_are_healthy_and_the_old_still_run():
    stage = Stage(OLD)
    stage.roll_out({"web": 2, "worker": 1})
    assert stage.rollout.phase is Phase.BOOTING
    stage.boot("web.1", at=101.0)
    stage.boot("web.2", at=102.0)
    assert stage.rollout.healthy == [stage.named("web.1"), stage.named("web.2")]
    assert stage.rollout.deadline() == 105.0
    stage.look(at=104.9)
    assert stage.rollout.phase is Phase.BOOTING
    stage.look(at=105.0)
    assert stage.rollout.phase is Phase.READY
    assert stage.rollout.deadline() == NEVER
    assert stage.states(4) == {"web.1": "up", "worker.1": "up", "clock.1": "up"}
    assert [line for line in stage.log if line.startswith("stop")] == []


def test_what_may_not_overlap_changes_hands_at_last_and_is_watched():
    stage = Stage(OLD)
    stage.roll_out(OLD, apart=["clock"])
    assert "start clock.1@5" not in stage.log
    stage.boot("web.1", at=101.0)
    stage.look(at=105.0)
    assert stage.rollout.phase is Phase.YIELDING
    assert stage.log[-1] == "stop clock.1@4"
    stage.end("clock.1", generation=4, status=0, empty=False)
    assert "start clock.1@5" not in stage.log
    stage.post(Emptied(stage.named("clock.1", 4), 1), at=107.0)
    stage.look()
    assert stage.log[-1] == "start clock.1@5"
    assert stage.rollout.phase is Phase.WATCHED
    stage.look(at=112.0)
    assert stage.rollout.deadline() == 117.0
    stage.look(at=117.0)
    assert stage.rollout.phase is Phase.READY
    assert stage.states(4) == {"web.1": "up", "worker.1": "up"}


def test_an_exit_ends_the_new_generation_and_leaves_the_old_alone():
    stage = Stage(OLD)
    before = stage.states(4)
    stage.roll_out({"web": 2}, apart=["clock"])
    stage.boot("web.1", at=101.0)
    stage.end("web.2", status=3)
    assert stage.rollout.failure == (stage.named("web.2"), "exited with status 3")
    assert stage.rollout.phase is Phase.FAILING
    stage.end("web.1", status=143)
    assert stage.rollout.phase is Phase.FAILED
    assert stage.states(4) == before
    assert not stage.states(5)
    assert [line for line in stage.log if line.endswith("@4")][3:] == []


def test_what_had_to_yield_comes_back_but_not_before_the_new_is_gone():
    stage = Stage(OLD)
    stage.roll_out(OLD, apart=["clock"], steady_s=0.0)
    stage.boot("web.1", at=101.0)
    stage.end("clock.1", generation=4, status=0)
    stage.end("worker.1", status=9)
    assert set(stage.log[-2:]) == {"stop web.1@5", "stop clock.1@5"}
    stage.end("web.1", status=143)
    assert "clock.1" not in stage.states(4)
    stage.end("clock.1", status=143)
    assert stage.log[-1] == "start clock.1@4"
    assert stage.rollout.phase is Phase.FAILED
    assert stage.states(4) == {"web.1": "up", "worker.1": "up", "clock.1": "up"}


def test_a_boot_timeout_is_a_failure():
    stage = Stage(OLD)
    stage.roll_out({"web": 1})
    stage.post(Tick(), at=160.0)
    stage.look()
    stage.end("web.1", status=137)
    assert stage.rollout.failure == (stage.named("web.1"), "it did not bind $PORT within 60 seconds (R10)")
    assert stage.rollout.phase is Phase.FAILED


def test_a_dyno_that_cannot_start_is_a_failure():
    stage = Stage(OLD)
    stage.rollout = Rollout(5, {"worker": 1}, {}, (), Trial())
    effects = stage.engine.handle(stage.rollout.begin()[0], 100.0)
    assert any(isinstance(effect, Spawn) for effect in effects)
    stage.post(SpawnFailed(stage.named("worker.1"), 1, Exit(127, reason="no shell")), at=100.0)
    stage.look()
    assert stage.rollout.failure.why == "exited with status 127 (no shell)"
    assert stage.rollout.phase is Phase.FAILED


def test_a_check_has_to_be_passed_and_may_be_failed():
    stage = Stage(OLD)
    stage.roll_out({"web": 1}, checked=frozenset({"web"}))
    stage.boot("web.1", at=101.0)
    assert stage.rollout.phase is Phase.BOOTING
    stage.passed.add(stage.named("web.1"))
    stage.look()
    assert stage.rollout.phase is Phase.READY
    stage = Stage(OLD)
    stage.roll_out({"web": 1}, checked=frozenset({"web"}))
    stage.boot("web.1", at=101.0)
    stage.sick[stage.named("web.1")] = "GET /health was answered with 503"
    stage.look()
    assert stage.rollout.failure.why == "GET /health was answered with 503"


def test_what_is_stopped_by_hand_does_not_come_up():
    stage = Stage(OLD)
    stage.roll_out({"worker": 1})
    stage.post(StopRequested((stage.named("worker.1"),)))
    stage.look()
    assert stage.rollout.phase is Phase.BOOTING
    stage.end("worker.1", status=143)
    assert stage.rollout.failure.why == "it was stopped"


def test_a_ready_rollout_can_be_abandoned_and_all_is_as_before():
    stage = Stage(OLD)
    stage.roll_out(OLD, apart=["clock"], steady_s=0.0, watch_s=0.0)
    stage.boot("web.1", at=101.0)
    stage.end("clock.1", generation=4, status=0)
    assert stage.rollout.phase is Phase.READY
    stage.perform(stage.rollout.abandon("a newer one was applied"))
    assert stage.rollout.abandon("again") == []
    for dyno in ("web.1", "worker.1", "clock.1"):
        stage.end(dyno, status=143)
    assert stage.rollout.phase is Phase.FAILED
    assert stage.rollout.failure == (None, "a newer one was applied")
    assert stage.states(4) == {"web.1": "up", "worker.1": "up", "clock.1": "up"}


def test_the_first_generation_of_all_waits_for_nobody():
    stage = Stage()
    stage.roll_out({"worker": 1, "clock": 1}, apart=["clock"])
    assert stage.log == ["start worker.1@5", "start clock.1@5"]
    stage.look(at=5.0)
    assert stage.rollout.phase is Phase.READY
    stage = Stage()
    stage.roll_out({"web": 0})
    assert stage.rollout.phase is Phase.READY, "nothing to wait for"


def test_other_quantities_may_be_wanted_on_the_way():
    stage = Stage(OLD)
    stage.roll_out({"web": 1})
    stage.perform(stage.rollout.reform({"web": 2}))
    stage.boot("web.1", at=101.0)
    assert stage.rollout.phase is Phase.BOOTING
    stage.boot("web.2")
    assert stage.rollout.phase is Phase.READY
    assert all(dyno.state is State.UP for dyno in stage.engine.dynos.values())
    assert not any(dyno.state in AT_REST for dyno in stage.engine.dynos.values())
