"""The table of states and events; and of the engine, what no single transcript says."""

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from procman.core import table as table_module
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
from procman.core.model import DynoName, Exit, profile_of
from procman.core.restart import (
    DEV,
    NEVER,
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
