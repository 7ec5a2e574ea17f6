"""The restart policies: how long each waits, what it forgives, and when it gives up."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from procman.core.dyno import Dyno, State
from procman.core.events import Emptied, Exited, Spawned, Tick, Wanted
from procman.core.model import DynoName, Exit, Profile, profile_of
from procman.core.restart import (
    ALWAYS,
    DEV,
    FOREMAN,
    HEROKU,
    NAMED,
    NEVER,
    NEVER_RESTART,
    ON_FAILURE,
    RestartPolicy,
    limited,
)
from procman.core.table import handle

WEB, WORKER = DynoName("web", 1), DynoName("worker", 1)
MINUTE = 60.0


def waits(policy: RestartPolicy, crashes: int) -> list[float]:
    """Cool-offs after the first so many crashes in a row, without jitter."""
    return [policy._replace(jitter=0.0).cool_off(crash, "any") for crash in range(1, crashes + 1)]


def test_heroku_restarts_at_once_then_waits_ten_minutes_doubling_to_a_day():
    minutes = [0, 10, 20, 40, 80, 160, 320, 640, 1280, 1440, 1440, 1440]
    assert waits(HEROKU, 12) == [m * MINUTE for m in minutes]
    assert HEROKU.jitter == 0


def test_dev_restarts_at_once_then_waits_half_a_second_doubling_to_thirty():
    assert waits(DEV, 10) == [0, 0.5, 1, 2, 4, 8, 16, 30, 30, 30]


@given(crash=st.integers(1, 12), dyno=st.sampled_from(["web.1", "worker.7"]), run=st.integers(1, 10_000))
def test_the_jitter_of_dev_is_fifteen_percent_and_the_same_each_time(crash, dyno, run):
    plain, wait = waits(DEV, crash)[-1], DEV.cool_off(crash, f"{dyno}#{run}")
    assert 0.85 * plain <= wait <= 1.15 * plain
    assert wait == DEV.cool_off(crash, f"{dyno}#{run}")


def test_the_jitter_is_spread_over_the_dynos():
    drawn = sorted(DEV.cool_off(8, f"web.{number}#9") for number in range(1, 201))
    assert drawn[0] < 26.5
    assert drawn[-1] > 33.5
    assert max(after - before for before, after in pairwise(drawn)) < 1


def test_always_never_waits():
    assert waits(ALWAYS, 50) == [0.0] * 50


@pytest.mark.parametrize("policy", [NEVER_RESTART, FOREMAN])
def test_never_and_foreman_give_up_at_once(policy):
    assert waits(policy, 2) == [NEVER, NEVER]


@pytest.mark.parametrize("times", [0, 1, 2, 5])
def test_max_gives_up_after_so_many_restarts_in_a_row(times):
    policy = limited(times)
    assert policy.name == f"max={times}"
    assert waits(policy, times) == waits(DEV, times)
    assert waits(policy, times + 3)[times:] == [NEVER] * 3


def test_on_failure_is_dev_that_takes_status_0_for_an_end():
    assert DEV._replace(name="on-failure", on_failure_only=True) == ON_FAILURE


def test_only_foreman_stops_all_and_only_heroku_kills_on_a_boot_timeout():
    assert [policy.name for policy in NAMED.values() if policy.stops_all] == ["foreman"]
    assert [policy.name for policy in NAMED.values() if policy.boot_kills] == ["heroku"]


def test_policies_go_by_their_names():
    assert set(NAMED) == {"dev", "heroku", "always", "on-failure", "never", "foreman"}
    assert all(policy.name == name for name, policy in NAMED.items())


def test_grace_is_the_policys_unless_given_and_only_web_has_to_boot():
    assert profile_of("web", HEROKU) == Profile(HEROKU, 30.0, 60.0)
    assert profile_of("worker", DEV) == Profile(DEV, 10.0, None)
    assert profile_of("worker", HEROKU, 0.0).grace == 0.0


def crash_after(policy: RestartPolicy, *lives: float) -> float:
    """The cool-off after lives of these lengths, each ended by a crash."""
    dyno, now = Dyno(WORKER, profile_of("worker", policy._replace(jitter=0.0)), 0.0), 0.0
    handle(dyno, Wanted(WORKER), now)
    for life in lives:
        handle(dyno, Spawned(WORKER, dyno.run, 1), now)
        now += life
        handle(dyno, Exited(WORKER, dyno.run, Exit(1)), now)
        handle(dyno, Emptied(WORKER, dyno.run), now)
        wait = dyno.cool_off()
        if dyno.state is State.CRASHED:
            now = dyno.deadline()
            handle(dyno, Tick(), now)
    return wait


@pytest.mark.parametrize(
    ("policy", "lives", "wait"),
    [
        (DEV, (1, 1, 1), 1.0),
        (DEV, (1, 1, 1, 1, 1, 1, 1, 1, 1), 30.0),
        (DEV, (1, 1, 9.9), 1.0),
        (DEV, (1, 1, 10), 0.0),
        (DEV, (1, 1, 10, 1), 0.5),
        (HEROKU, (1, 1, 599), 20 * MINUTE),
        (HEROKU, (1, 1, 600), 0.0),
        (HEROKU, (1, 1, 600, 1), 10 * MINUTE),
    ],
)
def test_a_long_enough_life_is_forgiven(policy, lives, wait):
    assert crash_after(policy, *lives) == wait


@given(policy=st.sampled_from(list(NAMED.values())), crashes=st.integers(1, 40))
def test_an_unborn_dyno_is_never_tried_again_at_once(policy, crashes):
    dyno = Dyno(WEB, profile_of("web", policy), 0.0)
    dyno.unborn, dyno.crashes = True, crashes
    assert dyno.cool_off() >= 0.5
