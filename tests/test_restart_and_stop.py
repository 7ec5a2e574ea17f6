"""Single dynos are replaced, stopped, started and signalled while the rest goes on."""

import re
import signal

from tests.formations import POLITE, SLEEP, TWO, begin, rows, states
from tests.proc import is_alive


def test_restart_replaces_all_or_those_named(workshop):
    running = begin(workshop, TWO, "-m", "worker=2", dynos=3)
    first = {name: row["pid"] for name, row in rows(workshop).items()}
    done = workshop.call("restart", "worker.2", "web")
    assert done.stdout == "Restarted worker.2, web.1\n"
    second = {name: row["pid"] for name, row in rows(workshop).items()}
    assert first["worker.1"] == second["worker.1"]
    assert {first["worker.2"], first["web.1"]}.isdisjoint(second.values())
    assert not is_alive(first["web.1"])
    workshop.call("stop", "web")
    assert workshop.call("restart").stdout == "Restarted worker.1, worker.2\n"
    third = rows(workshop)
    assert third["web.1"]["state"] == "down"
    assert not set(first.values()) & {row["pid"] for row in third.values()}
    assert workshop.call("restart", "web", "--json").returncode == 0
    assert rows(workshop)["web.1"]["state"] == "starting"
    running.finish(signal.SIGTERM)


def test_restart_ends_the_cool_off(workshop):
    workshop.procfile("worker: exit 1\n")
    running = workshop.start("--restart", "heroku")
    running.wait_for("Next try in 10 min")
    workshop.procfile(f"worker: {SLEEP}\n")
    assert workshop.call("reload").returncode == 0
    running.wait_for("ready")
    assert rows(workshop)["worker.1"]["crashes"] == 0
    running.finish(signal.SIGTERM)


def test_stop_and_start_while_the_rest_goes_on(workshop):
    running = begin(workshop, f"a: {POLITE} a\nb: {POLITE} b\n", "-m", "a=2", dynos=3)
    first = rows(workshop)
    assert workshop.call("stop", "a.2", "b").stdout == "Stopped a.2, b.1\n"
    assert states(workshop) == {"a.1": "up", "a.2": "down", "b.1": "down"}
    assert not is_alive(first["a.2"]["pid"])
    assert not is_alive(first["b.1"]["pid"])
    assert running.lines("b.1") == ["b ready"] or running.wait_for("b-term")
    assert workshop.call("stop", "b.1").returncode == 0  # it is stopped: true
    assert workshop.call("scale", "a=3").returncode == 0  # and stays so
    assert states(workshop) == {"a.1": "up", "a.2": "down", "a.3": "up", "b.1": "down"}
    assert "Started b.1 in " in workshop.call("start", "b").stdout
    assert "Started a.2 in " in workshop.call("start", "a.2").stdout
    assert set(states(workshop).values()) == {"up"}
    assert rows(workshop)["a.1"]["pid"] == first["a.1"]["pid"]
    assert workshop.call("start", "a").stdout.startswith("a.1, a.2, a.3 ran already in ")
    assert rows(workshop)["a.1"]["pid"] == first["a.1"]["pid"]
    assert workshop.call("stop", "nobody").returncode == 1
    assert workshop.call("stop").returncode == 2
    running.finish(signal.SIGTERM)


def test_a_formation_goes_on_when_everything_is_stopped_by_hand(workshop):
    running = begin(workshop, TWO, "--restart", "never")
    assert workshop.call("stop", "all").stdout == "Stopped web.1, worker.1\n"
    assert set(states(workshop).values()) == {"down"}
    assert workshop.call("start", "worker").returncode == 0
    assert states(workshop) == {"web.1": "down", "worker.1": "up"}
    assert "Started web.1; worker.1 ran already in " in workshop.call("start", "all").stdout
    assert workshop.call("restart", "all").stdout == "Restarted web.1, worker.1\n"
    workshop.call("stop", "web")
    assert workshop.call("restart", "all").stdout == workshop.call("restart").stdout == "Restarted worker.1\n"
    assert workshop.call("restart", "all", "web").stdout == "Restarted worker.1, web.1\n"
    workshop.call("stop", "all")
    for words in ([], ["all"]):
        refused = workshop.call("restart", *words)
        told = "procman: cannot restart: web.1 and worker.1 are stopped\n  hint: procman start all\n"
        assert (refused.returncode, refused.stderr) == (1, told)
    running.finish(signal.SIGTERM)


def test_a_process_type_that_is_called_all_is_no_other(workshop):
    running = begin(workshop, f"web: {SLEEP}\nall: {SLEEP}\n", "web", dynos=1)
    for verb in ("stop", "restart", "kill"):
        refused = workshop.call(verb, "all")
        assert (refused.returncode, "the formation has no dyno of it" in refused.stderr) == (1, True)
    assert "Started all.1 in " in workshop.call("start", "all").stdout
    assert workshop.call("stop", "all").stdout == "Stopped all.1\n"
    running.finish(signal.SIGTERM)


def test_start_of_a_type_that_has_no_dynos_makes_one(workshop):
    running = begin(workshop, f"{TWO}clock: {SLEEP}\n", "-x", "clock")
    refused = workshop.call("start", "clock", "web.7")
    assert (refused.returncode, "cannot find web.7: no such dyno" in refused.stderr) == (1, True)
    assert "clock.1" not in states(workshop), "half of it is done"
    assert "Started clock.1 in " in workshop.call("start", "clock").stdout
    assert states(workshop)["clock.1"] == "up"
    refused = workshop.call("start", "clock=2")
    assert refused.returncode == 1
    assert "hint: procman scale clock=2" in refused.stderr
    refused = workshop.call("start", "clock=1.5")
    assert (refused.returncode, "'1.5' is not a whole number" in refused.stderr) == (2, True)
    refused = workshop.call("start", "nobody")
    assert refused.returncode != 0
    assert "nobody" in refused.stderr
    running.finish(signal.SIGTERM)


def test_a_type_without_dynos_is_called_just_that(workshop):
    running = begin(workshop, TWO)
    workshop.call("scale", "worker=0")
    for verb in ("restart", "stop", "kill", "ps"):
        refused = workshop.call(verb, "worker")
        assert (refused.returncode, refused.stderr) == (
            1,
            "procman: cannot find worker: the formation has no dyno of it\n  hint: procman start worker\n",
        )
    told = workshop.call("explain", "web").stdout
    assert re.match(r"web\.1 has been starting for \d+s, 0 restarts\n", told)
    assert "\nIts last 1 line:\n" in told
    running.finish(signal.SIGTERM)


def test_kill_sends_any_signal_and_nothing_else(workshop):
    trap = "trap 'echo got it' HUP; echo ready; while :; do sleep 1000 & wait; done"
    running = begin(workshop, f"a: {trap}\nb: {SLEEP}\n")
    assert workshop.call("kill", "-s", "HUP", "a.1").stdout == "Sent SIGHUP to a.1\n"
    running.wait_for("got it")
    workshop.call("kill", "-s", "1", "a")
    running.wait_for("got it")
    assert workshop.call("kill", "-HUP", "a.1").stdout == "Sent SIGHUP to a.1\n"
    running.wait_for("got it")
    assert workshop.call("kill", "a.1", "-1").stdout == "Sent SIGHUP to a.1\n"
    running.wait_for("got it")
    assert workshop.call("kill", "-s", "sigkill", "b").returncode == 0
    running.wait_for("Process was killed by SIGKILL")
    running.wait_for("ready")
    assert workshop.call("kill", "-s", "nothing", "a").returncode == 2
    workshop.call("stop", "b")
    refused = workshop.call("kill", "b")
    assert (refused.returncode, "none of these dynos runs" in refused.stderr) == (1, True)
    running.finish(signal.SIGTERM)
