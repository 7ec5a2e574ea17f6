"""A JSON array in the foreground: several programs, each with a supervisor of its own, one to signal."""

import json
import os
import signal

import pytest

from tests.forever import STEADY, script
from tests.proc import is_alive

POLITE = "trap 'echo $NAME told; exit 0' TERM; sleep 1000 & echo $NAME up $$; while :; do wait; done\n"


def both(workshop, **more) -> None:
    """Two programs in all.json: uids one and two."""
    entries = [{"uid": uid, "script": "app.sh", "env": {"NAME": uid}, **more} for uid in ("one", "two")]
    (workshop.directory / "all.json").write_text(json.dumps(entries))


def begin(forever):
    running = forever.run("all.json")
    pids = {}
    while len(pids) < 2:
        found = running.wait_for(r"^(one|two) up (\d+)")
        pids[found[1].decode()] = int(found[2])
    return running, pids


@pytest.mark.parametrize(("signum", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_all_are_kept_here_and_a_signal_stops_all_gracefully(forever, workshop, signum, status):
    script(workshop, POLITE)
    both(workshop)
    running, pids = begin(forever)
    assert {row["uid"] for row in forever.list()} == {"one", "two"}
    os.kill(pids["one"], signal.SIGKILL)
    assert int(running.wait_for(r"^one up (\d+)")[1]) != pids["one"]
    assert running.finish(signum) == status
    assert {"one told", "two told"} <= set(running.text().split("\n"))
    assert workshop.processes() == []


def test_one_can_be_stopped_alone_and_the_rest_goes_on(forever, workshop):
    script(workshop, POLITE)
    both(workshop)
    running, pids = begin(forever)
    assert forever("stop", "one").returncode == 0
    assert (is_alive(pids["one"]), is_alive(pids["two"])) == (False, True)
    assert forever("stop", "two").returncode == 0
    assert running.finish() == 0


def test_the_first_status_that_is_not_0_is_ours_when_all_are_used_up(forever, workshop):
    script(workshop, "[ $NAME = one ] || exit 5\n")
    both(workshop, max=1)
    assert forever("all.json").returncode == 5


def test_one_that_cannot_begin_says_why_and_the_others_run(forever, workshop):
    script(workshop, POLITE)
    both(workshop)
    script(workshop, STEADY, "other.sh")
    assert forever.begin("--uid", "one", "other.sh").returncode == 0
    running = forever.run("all.json")
    running.wait_for("^two up")
    assert forever("stop", "two").returncode == 0
    assert running.finish() == 1
    assert "cannot start app.sh: other.sh (uid one) runs already" in running.errors()


def test_it_is_killed_and_nothing_is_left(forever, workshop):
    script(workshop, POLITE)
    both(workshop)
    running, _ = begin(forever)
    running.finish(signal.SIGKILL)
    assert workshop.wait_until_gone() == []
    assert {"one told", "two told"} <= set(running.text().split("\n")), "told, and not killed"


def test_other_signals_are_the_programs(forever, workshop):
    script(workshop, POLITE.replace("trap", "trap 'echo $NAME hears' USR2; trap", 1))
    both(workshop)
    running, _ = begin(forever)
    running.signal(signal.SIGUSR2)
    for _ in range(2):
        running.wait_for("^(one|two) hears$")
    assert running.finish(signal.SIGTERM) == 143
