"""What `procman forever` asks of the core: runs counted in all, long lives spared, another first signal."""

from procman.cli.forever.program import profile
from procman.core.effects import Kill, Say, Spawn, Terminate
from procman.core.engine import Engine
from procman.core.events import Emptied, Exited, FormationChanged, RestartRequested, ShutdownRequested, Spawned, Tick
from procman.core.model import DynoName, Exit

DYNO = DynoName("app", 1)


class Lives:
    """One program on an engine, its lives by length and status."""

    def __init__(self, most="", min_uptime="", spin_sleep="", kill_ttl="", kill_signal=""):
        held_to = profile(most, min_uptime, spin_sleep, kill_ttl, kill_signal)
        self.engine = Engine(lambda process_type: held_to)
        self.now = 0.0
        self.said: list[str] = []
        self.post(FormationChanged({"app": 1}))

    def post(self, event):
        effects = self.engine.handle(event, self.now)
        self.said += [effect.text for effect in effects if isinstance(effect, Say)]
        return effects

    def live(self, seconds: float, status: int = 1) -> float:
        """One life; returns how long after it the next one is asked for, or infinity."""
        run = self.engine.dynos[DYNO].run
        self.post(Spawned(DYNO, run, 100 + run))
        self.now += seconds
        self.post(Exited(DYNO, run, Exit(status)))
        effects = self.post(Emptied(DYNO, run))
        if any(isinstance(effect, Spawn) for effect in effects):
            return 0.0
        due = self.engine.deadline()
        if due == float("inf"):
            return due
        wait, self.now = due - self.now, due
        assert any(isinstance(effect, Spawn) for effect in self.post(Tick()))
        return wait


def test_a_long_life_is_followed_at_once_and_a_short_one_by_the_pause():
    lives = Lives(min_uptime="2000", spin_sleep="500")
    assert [round(lives.live(seconds), 6) for seconds in (2.0, 1.9, 1.0, 3.0, 5.0, 0.0)] == [0, 0.5, 0.5, 0, 0, 0.5]


def test_without_a_pause_of_its_own_short_lives_back_off_for_ever():
    lives = Lives()
    waits = [lives.live(0.1) for _ in range(60)]
    assert waits[0] == 0
    assert all(0 < wait < 36 for wait in waits[1:])
    assert waits[-1] > 25
    assert lives.live(1.0) == 0


def test_min_uptime_0_never_waits():
    lives = Lives(min_uptime="0")
    assert {lives.live(0.0) for _ in range(100)} == {0}


def test_runs_are_counted_in_all_whatever_their_length_and_those_asked_for_too():
    lives = Lives(most="4", min_uptime="1000")
    assert lives.live(100.0) == 0
    lives.post(Spawned(DYNO, 2, 102))
    lives.post(RestartRequested((DYNO,)))
    lives.post(Exited(DYNO, 2, Exit(143)))
    lives.post(Emptied(DYNO, 2))
    assert lives.live(100.0) == 0
    assert lives.live(100.0, status=6) == float("inf")
    assert lives.engine.quit.status == 6
    assert "Not restarted (policy -m 4): exited with status 6" in lives.said


def test_a_last_run_that_ends_well_ends_all_well():
    lives = Lives(most="2")
    lives.live(0.0, status=3)
    lives.live(0.0, status=0)
    assert lives.engine.quit.status == 0


def test_another_signal_comes_first_and_sigkill_all_the_same():
    lives = Lives(kill_signal="SIGINT", kill_ttl="2500")
    lives.post(Spawned(DYNO, 1, 101))
    effects = lives.post(ShutdownRequested(0, "enough"))
    assert Terminate(DYNO, 1, "SIGINT") in effects
    assert "Stopping all processes with SIGINT" in lives.said
    lives.now = 2.5
    assert Kill(DYNO, 1) in lives.post(Tick())
    assert any(words.endswith("failed to exit within 2.5 seconds of SIGINT") for words in lives.said)
