"""The core piece by piece: the table, the policies' numbers, ports, reconcile, and the words people read."""

from itertools import pairwise
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from procman.core import table as table_module
from procman.core.cells import describe
from procman.core.dyno import AT_REST, PUBLIC, Dyno, State
from procman.core.effects import Say, Spawn
from procman.core.engine import Engine
from procman.core.events import (
    Adopted,
    Bound,
    CheckFailed,
    CheckPassed,
    DynoEvent,
    Emptied,
    Exited,
    FormationChanged,
    Hurried,
    NeedsMet,
    Postponed,
    Spawned,
    SpawnFailed,
    Superseded,
    Tick,
    Unwanted,
    Wanted,
)
from procman.core.formation import list_words, port_of, reconcile, wanted_dynos
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
    cycle_s,
    limited,
)
from procman.core.table import TABLE, handle, impossible

WEB, WORKER = DynoName("web", 1), DynoName("worker", 1)
MINUTE = 60.0


# -- the table --


def test_every_state_has_a_named_cell_for_every_event():
    assert list(TABLE) == list(State)
    for row in TABLE.values():
        assert set(row) == set(get_args(DynoEvent))
        assert all(getattr(table_module, cell.__name__) is cell for cell in row.values())


def test_every_cell_function_says_what_it_does():
    assert all(cell.__doc__ for row in TABLE.values() for cell in row.values())


@pytest.mark.parametrize("state", [state for state in State if state in AT_REST], ids=lambda state: state.value)
@pytest.mark.parametrize("event", [Spawned, SpawnFailed, Bound, CheckPassed, CheckFailed, Exited, Emptied])
def test_at_rest_there_is_no_process_to_hear_of(state, event):
    assert TABLE[state][event] is impossible


@pytest.mark.parametrize("state", list(State), ids=lambda state: state.value)
def test_the_impossible_changes_nothing(state):
    events = {
        Wanted: Wanted(WEB),
        Unwanted: Unwanted(WEB),
        Superseded: Superseded(WEB, False),
        Hurried: Hurried(WEB),
        Adopted: Adopted(WEB, 1, 9, 1.0, True),
        Spawned: Spawned(WEB, 0, 9),
        SpawnFailed: SpawnFailed(WEB, 0, Exit(127)),
        NeedsMet: NeedsMet(WEB),
        Postponed: Postponed(WEB),
        Bound: Bound(WEB, 0),
        CheckPassed: CheckPassed(WEB, 0),
        CheckFailed: CheckFailed(WEB, 0, "GET / was answered with 500"),
        Exited: Exited(WEB, 0, Exit(1)),
        Emptied: Emptied(WEB, 0),
        Tick: Tick(),
    }
    for kind, cell in TABLE[state].items():
        if cell is impossible:
            dyno = Dyno(WEB, profile_of("web", DEV), 0.0)
            dyno.state = state
            before = dict(vars(dyno))
            assert handle(dyno, events[kind], 5.0) == []
            assert vars(dyno) == before


def test_each_state_has_a_public_word_of_herokus():
    assert set(PUBLIC) == set(State) - {State.STOPPING, State.KILLING}  # those two read as where they go
    assert set(PUBLIC.values()) <= {"starting", "up", "crashed", "down", "complete"}


# -- restart policies --


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


# -- ports --

types_and_base = st.tuples(st.integers(1, 6), st.integers(1024, 9000))


@given(types_and_base, st.lists(st.integers(0, 350), min_size=6, max_size=6))
def test_no_two_dynos_share_a_port_whatever_their_quantities(types_and_base, quantities):
    count, base = types_and_base
    types = [f"type{number}" for number in range(count)]
    dynos = wanted_dynos(dict(zip(types, quantities, strict=False)))
    ports = [port_of(dyno, types, base) for dyno in dynos]
    assert len(set(ports)) == len(ports)
    assert all(port >= base for port in ports)


@given(types_and_base, st.integers(0, 5), st.integers(1, 100))
def test_the_first_hundred_are_foremans(types_and_base, position, number):
    count, base = types_and_base
    types = [f"type{index}" for index in range(count)]
    position %= count
    assert port_of(DynoName(types[position], number), types, base) == base + 100 * position + number - 1


def test_numbers_over_a_hundred_go_above_all_hundreds():
    types = ["web", "worker"]
    numbered = [("web", 100), ("worker", 100), ("web", 101), ("worker", 101), ("web", 102)]
    assert [port_of(DynoName(*name), types, 5000) for name in numbered] == [5099, 5199, 5200, 5201, 5202]


# -- formation --

formations = st.dictionaries(st.sampled_from(["web", "worker", "clock"]), st.integers(0, 5))


@given(formations, formations)
def test_reconcile_closes_the_gap_and_no_more(before, after):
    present = wanted_dynos(before)
    starts, stops = reconcile(after, present)
    assert not set(starts) & set(present)
    assert set(stops) <= set(present)
    assert (set(present) - set(stops)) | set(starts) == set(wanted_dynos(after))
    assert reconcile(after, wanted_dynos(after)) == ([], [])


@given(formations, st.permutations(wanted_dynos({"web": 3, "worker": 3, "clock": 3})))
def test_reconcile_does_not_care_in_what_order_dynos_are_held(formation, present):
    assert reconcile(formation, present) == reconcile(formation, sorted(present))


def test_starts_come_as_listed_and_stops_from_the_top():
    starts, stops = reconcile({"web": 2, "clock": 1}, [DynoName("worker", number) for number in (1, 2, 3)])
    assert [str(name) for name in starts] == ["web.1", "web.2", "clock.1"]
    assert [str(name) for name in stops] == ["worker.3", "worker.2", "worker.1"]


# -- words --


@pytest.mark.parametrize(
    ("ended", "words"),
    [
        (Exit(3), "exited with status 3"),
        (Exit(137, "SIGKILL"), "killed by SIGKILL"),
        (Exit(137, "SIGKILL", "out of memory"), "killed by SIGKILL (out of memory)"),
        (Exit(127, reason="cannot start /bin/zsh"), "exited with status 127 (cannot start /bin/zsh)"),
    ],
)
def test_how_it_ended(ended, words):
    assert ended.words() == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.5, "0.5 s"),
        (30, "30 s"),
        (119, "119 s"),
        (600, "10 min"),
        (86_400, "24.0 h"),
    ],
)
def test_how_long(seconds, words):
    assert describe(seconds) == words


@pytest.mark.parametrize(
    ("names", "words"), [([], ""), ("a", "a"), ("ab", "a and b"), ("abc", "a, b and c")]
)
def test_lists_read_as_a_person_would_say_them(names, words):
    assert list_words(names) == words


# -- what no single transcript says --


def engine_of(policy: RestartPolicy, exit_with: str | None = None) -> Engine:
    return Engine(lambda dyno: profile_of(dyno.process_type, policy), exit_with)


def spawns(effects: list) -> list[Spawn]:
    return [effect for effect in effects if isinstance(effect, Spawn)]


def test_run_numbers_go_on_when_a_dyno_is_scaled_away_and_back():
    engine = engine_of(DEV)
    engine.handle(FormationChanged({"worker": 1}), 0.0)
    engine.handle(Spawned(WORKER, 1, 7), 0.0)
    engine.handle(FormationChanged({"worker": 0}), 1.0)
    engine.handle(Exited(WORKER, 1, Exit(143, "SIGTERM")), 1.0)
    engine.handle(Emptied(WORKER, 1), 1.0)
    assert engine.snapshot() == {}
    assert spawns(engine.handle(FormationChanged({"worker": 1}), 2.0)) == [Spawn(WORKER, 2)]
    before = engine.snapshot()
    assert engine.handle(Spawned(WORKER, 1, 8), 3.0) == []
    assert engine.snapshot() == before


def test_a_generation_that_was_given_up_leaves_nothing_to_remember():
    engine = engine_of(DEV)
    engine.handle(FormationChanged({"worker": 1}, 7), 0.0)
    worker = WORKER._replace(generation=7)
    engine.handle(SpawnFailed(worker, 1, Exit(127)), 0.0)
    engine.handle(FormationChanged({}, 7), 1.0)
    assert (engine.formations, engine.dynos, engine.generation) == ({}, {}, 0)
    assert spawns(engine.handle(FormationChanged({"worker": 1}, 7), 2.0)) == [Spawn(worker, 1)]


def test_dynos_of_two_generations_go_by_one_name_and_are_told_apart():
    old, new = DynoName("web", 1, 4), DynoName("web", 1, 5)
    assert str(old) == str(new) == "web.1"
    assert (old.full(), new.full(), WEB.full()) == ("web.1@4", "web.1@5", "web.1")


@given(st.text(max_size=5), st.integers(1, 100))
def test_a_dyno_is_cycled_after_24_hours_and_at_most_216_minutes_more(salt, number):
    assert 86_400 <= cycle_s(f"{salt}/web.{number}#1") <= 86_400 + 216 * MINUTE


def test_the_daily_restarts_are_spread_over_the_dynos():
    drawn = {cycle_s(f"app/web.{number}#1") // (24 * MINUTE) for number in range(1, 101)}
    assert len(drawn) >= 8


def test_a_thousand_dynos_start_at_once_and_in_order():
    engine = engine_of(DEV)
    wanted = spawns(engine.handle(FormationChanged({"worker": 1000}), 0.0))
    assert [spawn.dyno.number for spawn in wanted] == list(range(1, 1001))


def test_an_engine_without_a_wish_just_waits():
    engine = engine_of(DEV)
    assert engine.handle(FormationChanged({}), 0.0) == []
    assert engine.deadline() == NEVER
    assert engine.handle(Tick(), 9.0) == []


def test_waits_are_told_with_the_reason():
    dyno = Dyno(WORKER, profile_of("worker", limited(1)), 0.0)
    handle(dyno, Wanted(WORKER), 0.0)
    for run in (1, 2):
        handle(dyno, Spawned(WORKER, run, 9), 0.0)
        handle(dyno, Exited(WORKER, run, Exit(137, "SIGKILL", "out of memory")), 0.0)
        effects = handle(dyno, Emptied(WORKER, run), 0.0)
    said = [effect.text for effect in effects if isinstance(effect, Say)]
    assert said == ["Not restarted (policy max=1): killed by SIGKILL (out of memory)"]
