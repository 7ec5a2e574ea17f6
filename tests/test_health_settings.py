"""What is asked of dynos, out of settings files and app.json, and what a plan makes of it. Pure."""

import json

import pytest

from procman.core.health import Checks, Probe, from_plain, held_to, plain
from procman.core.model import profile_of
from procman.core.plan import Health
from procman.core.restart import DEV
from procman.formats import app_json
from procman.formats.health import flatten, parse, texts_of
from procman.formats.plan import decode, encode
from procman.platform import plans
from tests.test_plan import PLAN

HTTP = Probe(http="/health")
ALIVE = Probe(command="test -e 'a b'", timeout=2.0)
EVERY = [Checks(HTTP), Checks(ALIVE, HTTP, 1.5, 2.5, 7), Checks(None, Probe(notify=True)), Checks(Probe(notify=True))]


def read(**healthchecks) -> app_json.AppJson:
    return app_json.parse(json.dumps({"healthchecks": healthchecks}).encode())


def test_a_table_asks_once_or_for_ever():
    table = {"web": {"http": "/health", "timeout": "500ms", "within": 5}, "db": {"command": "x=1, y", "liveness": True}}
    command = Probe(command="x=1, y")
    assert parse(flatten(table)) == {
        "web": Checks(Probe(http="/health", timeout=0.5), within=5.0),
        "db": Checks(command, command),
    }


def test_two_tables_ask_different_things():
    table = {"web": {"ready": {"http": "/ready"}, "live": {"command": "true"}, "every": "1m", "failures": 1}}
    live = Probe(command="true")
    assert parse(flatten(table)) == {"web": Checks(Probe(http="/ready"), live, every=60.0, failures=1)}


@pytest.mark.parametrize(
    ("keys", "why"),
    [
        ({"ready": {"http": "/", "within": 3}}, "there is no 'ready.within'"),
        ({"soon": {"http": "/"}}, "there is no 'soon.http'"),
        ({"http": "/", "live": {"http": "/"}}, "http belongs to either ready or live"),
        ({"ready": {"timeout": 3}}, "one of http, command and notify is wanted, not none"),
        ({"notify": False}, "one of http, command and notify is wanted, not none"),
        ({"http": ["/"]}, "web.http: a text, a number, true or false is wanted"),
        ({"http": "/", "every": 0}, "web.every: no time at all"),
        ({"http": "/", "failures": 0}, "web.failures: '0' is no number from 1 to 1000"),
        ({"http": "/ x"}, "web.http: '/ x' is no path"),
        ({"command": " "}, "web.command: a command is wanted"),
        ({"http": "/", "liveness": "yes"}, "web.liveness: must be true or false"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(keys, why):
    with pytest.raises(ValueError, match="web") as error:
        parse(flatten({"web": keys}))
    assert why in str(error.value)


@pytest.mark.parametrize("checks", EVERY)
def test_checks_come_through_every_form(checks):
    assert parse(texts_of({"web": checks})) == {"web": checks}
    assert from_plain(json.loads(json.dumps(plain(checks)))) == checks
    types = {name: kind._replace(checks=checks, needs=("db",)) for name, kind in PLAN.types.items()}
    assert decode(encode(PLAN._replace(types=types))).types == types


def test_a_plan_without_checks_reads_to_earlier_supervisors_as_ever():
    assert b"checks" not in encode(PLAN)
    assert b"needs" not in encode(PLAN)


def test_app_json_is_read_in_dokkus_form():
    found = read(
        web=[
            {"type": "startup", "path": "/up"},
            {"type": "readiness", "path": "/ready", "timeout": 2, "within": 30},
            {"type": "liveness", "command": ["test", "-e", "a b"], "timeout": 2, "attempts": 5, "wait": 7},
        ],
        db={"type": "readiness", "notify": True},
    )
    assert not found.diagnostics
    assert found.checks == {"web": app_json.Check("/up")}
    assert found.probes == {
        "web": Checks(Probe(http="/ready", timeout=2.0), ALIVE, 30.0, 7.0, 5),
        "db": Checks(Probe(notify=True)),
    }


@pytest.mark.parametrize(
    ("row", "place"),
    [
        ({"type": "readiness"}, "healthchecks.web.readiness"),
        ({"type": "readiness", "path": "ready"}, "healthchecks.web.readiness"),
        ({"type": "liveness", "path": "/", "attempts": 0}, "healthchecks.web.liveness.attempts"),
        ({"type": "liveness", "path": "/", "wait": "soon"}, "healthchecks.web.liveness.every"),
        ({"type": "liveness", "path": "/", "timeout": -1}, "healthchecks.web.liveness.timeout"),
    ],
)
def test_what_is_wrong_in_app_json_is_told_by_place_and_ignored(row, place):
    (finding,) = read(web=[row]).diagnostics
    assert finding.message.startswith(f"{place} is ignored: ")


def test_types_that_need_each_other_are_told_of_at_a_build_and_held_up_by_nothing():
    formation = {"web": {"needs": ["db"]}, "db": {"needs": ["web"]}, "clock": {"needs": ["clock", 3]}}
    found = app_json.parse(json.dumps({"formation": formation}).encode())
    told = [finding.message for finding in found.diagnostics]
    assert [words.partition(" is ignored")[0] for words in told] == [
        "formation.clock.needs[0]",
        "formation.clock.needs[1]",
        "needs",
    ]
    assert plans.needs(found.facts(), "web", ["web", "db"]) == ()


def test_what_app_json_said_is_in_the_plan():
    formation = {"web": {"needs": ["db", "gone"]}}
    rows = {"web": [{"type": "readiness", "path": "/ready"}], "db": [{"type": "startup", "path": "/up"}]}
    facts = app_json.parse(json.dumps({"formation": formation, "healthchecks": rows}).encode()).facts()
    facts = json.loads(json.dumps(facts))  # as the store has it
    assert plans.checks(facts, "web") == Checks(Probe(http="/ready"))
    assert plans.checks(facts, "db") is None
    assert plans.health(facts, "web") is None, "it is asked already before it is up"
    assert plans.health(facts, "db") == Health("/up")
    assert plans.needs(facts, "web", ["web", "db"]) == ("db",)


def test_a_profile_says_how_long_a_dyno_may_take_and_how_often_it_may_fail():
    worker = profile_of("worker", DEV)
    ready = held_to(worker, Checks(HTTP, within=9.0))
    assert (ready.boot_timeout, ready.ported, ready.failures) == (9.0, True, 0)
    live = held_to(worker, Checks(None, ALIVE, failures=4))
    assert (live.boot_timeout, live.check, live.failures) == (None, "", 4)
    assert not held_to(worker, Checks(ALIVE)).ported
    assert held_to(worker._replace(one_off=True), Checks(HTTP)).check == ""
    assert held_to(worker, None) == worker
