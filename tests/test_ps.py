"""What `procman ps` shows is what is."""

import json
import os
import re
import signal
import time

from procman.cli.screen import fitted
from tests.formations import SLEEP, TWO, begin, rows, socket_of
from tests.proc import is_alive


def test_ps_shows_every_dyno_in_a_table(workshop):
    os.mkfifo(workshop.directory / "gate")
    running = begin(workshop, f"worker: {SLEEP}\nweb: {SLEEP}\nbad: read x < gate; exit 3\n", "--restart", "bad=never")
    (workshop.directory / "gate").write_text("\n")
    running.wait_for(r"Not restarted")
    shown = workshop.call("ps")
    heading, *lines = shown.stdout.splitlines()
    assert heading.split("  ")[0] == "DYNO"
    assert [line.split()[:2] for line in lines] == [["worker.1", "up"], ["web.1", "starting"], ["bad.1", "crashed"]]
    assert "exited with status 3" in lines[2]
    assert SLEEP in lines[0]
    one = workshop.call("ps", "bad.1").stdout
    assert re.search(r"^ *last exit +exited with status 3$", one, re.MULTILINE)
    assert workshop.call("ps", "web").stdout.splitlines()[1].split()[0] == "web.1"
    unknown = workshop.call("ps", "nobody")
    assert (unknown.returncode, unknown.stdout) == (1, "")
    assert "cannot find nobody" in unknown.stderr
    assert "worker.1, web.1, bad.1" in unknown.stderr
    running.finish(signal.SIGTERM)


def test_ps_json_has_the_facts(workshop, port):
    running = begin(workshop, TWO, "-p", str(port))
    answer = json.loads(workshop.call("ps", "--json").stdout)
    assert answer["pid"] == running.pid
    assert 0 <= time.time() - answer["since"] < 60
    assert answer["socket"] == socket_of(workshop)
    web, worker = answer["dynos"]
    assert (web["dyno"], web["type"], web["state"], web["port"], web["run"]) == ("web.1", "web", "starting", port, 1)
    assert (worker["dyno"], worker["state"], worker["restarts"], worker["exit"]) == ("worker.1", "up", 0, None)
    assert is_alive(worker["pid"])
    assert worker["memory"] > 0
    assert worker["processes"] == 1
    assert worker["next_try"] is None
    os.kill(worker["pid"], signal.SIGKILL)
    running.wait_for(r"\| ready")
    again = rows(workshop)["worker.1"]
    assert (again["restarts"], again["exit"], again["status"]) == (1, "killed by SIGKILL", 137)
    running.finish(signal.SIGTERM)


def test_ps_of_a_crash_loop_says_when_the_next_try_comes(workshop):
    workshop.procfile("worker: exit 1\n")
    running = workshop.start("--restart", "heroku")
    running.wait_for("Next try in 10 min")
    line = workshop.call("ps").stdout.splitlines()[1]
    assert re.search(r"crashed .* exited with status 1 +in 10m", line)
    running.finish(signal.SIGTERM)


def test_a_low_screen_says_how_much_it_leaves_out():
    lines = ["heading", "one", "two", "three"]
    assert fitted(lines, 4, 4) == ["head", "one", "two", "thre"]
    assert fitted(lines, 80, 3) == ["heading", "one", "... 2 more"]
    assert fitted(lines, 80, 1) == ["heading"]


def test_ps_watch_prints_no_json(workshop):
    refused = workshop.call("ps", "--watch", "--json")
    assert (refused.returncode, "cannot use --json with --watch" in refused.stderr) == (2, True)


def test_ps_watch_shows_it_anew_until_ctrl_c(workshop):
    running = begin(workshop, TWO)
    watching = workshop.procman("ps", "--watch", columns=60)
    for state in ("up", "down"):
        shown = watching.wait_for(rf"\x1b\[H\x1b\[JDYNO .*\n(.*\n)*?worker\.1 +{state} ")[0].decode()
        assert max(len(line) for line in shown.splitlines()) <= 60 + len("\x1b[H\x1b[J")
        workshop.call("stop", "worker")
    assert watching.finish(signal.SIGINT) == 130
    running.finish(signal.SIGTERM)
