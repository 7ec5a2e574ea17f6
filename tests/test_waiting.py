"""An answer with `--wait` comes when it is true, cannot become true any more, or at the time limit."""

import json
import os
import re
import signal
import sys

import pytest

from procman.control.client import Client
from tests.formations import SLEEP, TWO, begin, listening, socket_of, states
from tests.harness import Workshop


def test_wait_means_up_and_crashing_is_not(workshop, port):
    listening(workshop)
    web = f"test -e broken && exit 4; exec {sys.executable} web.py"
    running = begin(workshop, f"web: {web}\nworker: test $DYNO = worker.1 || exit 5; {SLEEP}\n", "-p", str(port))
    assert workshop.call("scale", "web=2", "--wait").returncode == 0
    assert states(workshop)["web.2"] == "up"
    (workshop.directory / "broken").touch()
    crashed = workshop.call("scale", "web=3", "--wait")
    assert crashed.returncode == 1
    assert "web.3 did not stay up: exited with status 4" in crashed.stderr
    assert "procman explain web.3" in crashed.stderr
    crashed = workshop.call("restart", "web.1", "--wait")
    assert (crashed.returncode, "web.1 did not stay up: exited with status 4" in crashed.stderr) == (1, True)
    # Types that bind no port are up at once; to be told that they stayed so for a moment is what waiting is for.
    crashed = workshop.call("scale", "worker=2", "--wait")
    assert (crashed.returncode, "worker.2 did not stay up: exited with status 5" in crashed.stderr) == (1, True)
    assert workshop.call("restart", "worker.1", "--wait").returncode == 0
    running.finish(signal.SIGTERM)


DEAF = "exec sleep 1000"  # a web process that binds no port


def test_a_time_limit_ends_the_waiting_and_nothing_else(workshop):
    running = begin(workshop, f"web: {DEAF}\nworker: {SLEEP}\n", dynos=1)
    late = workshop.call("restart", "--wait-timeout", "200ms")
    assert (late.returncode, late.stdout) == (1, "")
    # On a machine that stands still for a while, worker.1 has been there for its second when the time is over.
    assert re.search(r"web\.1 is not up after 0\.2s(, nor worker\.1)?; it goes on", late.stderr)
    assert "procman explain web.1" in late.stderr
    assert workshop.call("restart", "worker", "--wait-timeout", "1m").stdout == "Restarted worker.1\n"
    for words in (["scale", "web=2"], ["start", "web"]):
        late = workshop.call(*words, "--wait-timeout", "0.1")
        assert (late.returncode, "is not up after 0.1s" in late.stderr) == (1, True), words
    workshop.procfile(f"web: {DEAF}; true\nworker: {SLEEP}\n")
    assert "web.1 is not up after 0.1s" in workshop.call("reload", "--wait-timeout", "0.1").stderr
    assert states(workshop) == {"web.1": "starting", "web.2": "starting", "worker.1": "up"}
    running.finish(signal.SIGTERM)


def test_what_has_to_end_is_waited_for_as_long(workshop):
    running = begin(workshop, f"a: trap '' TERM; {SLEEP}\nb: {SLEEP}\n", "-t", "1h")
    late = workshop.call("scale", "a=0", "--wait-timeout", "0.1")
    assert (late.returncode, "a.1 has not ended after 0.1s; it goes on" in late.stderr) == (1, True)
    assert workshop.call("shutdown", "--now").returncode == 0
    assert running.finish() == 0


@pytest.mark.parametrize(
    ("value", "why"),
    [("soon", "not a duration such as 30, 30s, 500ms or 5m"), ("0", "nothing is up at once"), ("-1", "not a duration")],
)
def test_a_limit_that_is_none_is_refused(workshop, value, why):
    running = begin(workshop, TWO)
    refused = workshop.call("restart", f"--wait-timeout={value}")
    assert (refused.returncode, why in refused.stderr) == (2, True)
    running.finish(signal.SIGTERM)


@pytest.mark.parametrize("value", ["soon", 0, -1, True, [1], 1e300])
def test_so_is_one_that_a_client_makes_up(workshop, value):
    running = begin(workshop, TWO)
    with Client(socket_of(workshop)) as client:
        assert "'patience' must be a number of seconds" in client.call("restart", patience=value)["error"]
    running.finish(signal.SIGTERM)


def test_a_supervisor_that_does_not_answer_at_all_is_told_of(workshop, monkeypatch):
    from procman.cli import request
    from procman.errors import ProcmanError
    from procman.supervisor.home import Home

    running = begin(workshop, TWO)
    os.kill(running.pid, signal.SIGSTOP)
    monkeypatch.setattr(request, "ANSWER_S", 0.1)
    apps, name = os.path.split(os.path.dirname(socket_of(workshop)))
    with pytest.raises(ProcmanError, match="it does not answer"):
        request.ask_at(Home(apps, name), "restart", patience=0.1)
    os.kill(running.pid, signal.SIGCONT)
    running.finish(signal.SIGTERM)


def test_start_of_a_type_in_what_runs_waits_too_and_answers_in_json(workshop):
    running = begin(workshop, f"a: {SLEEP}\nb: test -e ok || exit 7; {SLEEP}\n", "a=1", dynos=1)
    crashed = workshop.call("start", "b", "--wait")
    assert (crashed.returncode, "b.1 did not stay up: exited with status 7" in crashed.stderr) == (1, True)
    (workshop.directory / "ok").touch()
    started = workshop.call("start", "b", "--wait", "--json")
    answer = json.loads(started.stdout)
    assert (answer["ok"], answer["dynos"]) == (True, ["b.1"])
    assert answer["started"] in ([], ["b.1"]), "nothing, if it was tried again just then"
    running.finish(signal.SIGTERM)


def end(workshop: Workshop) -> None:
    assert workshop.call("shutdown", "--now").returncode == 0


def test_a_detached_start_waits_until_all_are_up_or_complete(workshop):
    listening(workshop)
    web = f"exec {sys.executable} web.py"
    workshop.procfile(f"web: {web}\nonce: exit 0\n")
    done = workshop.call("start", "--detach", "--wait", "--json", "--restart", "once=on-failure")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["ok"], sorted(told["dynos"])) == (True, ["once.1", "web.1"])
    assert told["socket"] == socket_of(workshop)
    assert states(workshop) == {"web.1": "up", "once.1": "complete"}
    end(workshop)


def test_a_detached_start_that_does_not_come_up_says_so_and_goes_on(workshop):
    workshop.procfile(f"web: {DEAF}\n")
    late = workshop.call("start", "--detach", "--wait-timeout", "0.1s")
    assert late.returncode == 1
    assert " runs; its socket is " in late.stdout
    assert "web.1 is not up after 0.1s; it goes on" in late.stderr
    assert states(workshop) == {"web.1": "starting"}
    end(workshop)
    workshop.procfile("worker: exit 3\n")
    crashed = workshop.call("start", "--detach", "--wait")
    assert (crashed.returncode, "worker.1 did not stay up: exited with status 3" in crashed.stderr) == (1, True)
    end(workshop)


@pytest.mark.parametrize("flag", ["--wait", "--wait-timeout=5", "--json"])
def test_in_the_foreground_nothing_can_be_waited_for(workshop, flag):
    workshop.procfile(TWO)
    refused = workshop.call("start", flag)
    assert refused.returncode == 2
    assert f"cannot use {flag.partition('=')[0]} in the foreground" in refused.stderr
    assert workshop.processes() == []
    running = workshop.start()  # nothing is left that would be in the way
    running.wait_for("ready")
    running.finish(signal.SIGTERM)
