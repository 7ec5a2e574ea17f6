"""Nothing runs twice, no stranger is signalled: starts at one instant, copies, reboots, reused pids, failed starts."""

import json
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from procman.supervisor.adoption import find
from procman.supervisor.home import Home, homes
from procman.supervisor.ledger import Ledger, encode, process_of, write
from tests.harness import DEADLINE_S, Workshop
from tests.proc import environment
from tests.served import Served, by_name
from tests.test_outliving import TWO, detach, end, kill, log, pids, rows

START = (sys.executable, "-m", "procman", "start", "--detach")
# Not by a shell, which would add PWD.
GATED = (sys.executable, "-c", "import os, sys; input(); os.execv(sys.argv[1], sys.argv[1:])", *START)
RACES = 20


@pytest.fixture
def stranger():
    """A process that has nothing to do with anything here."""
    process = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    yield process
    assert process.poll() is None, "a stranger was signalled"
    process.stdin.close()
    assert process.wait(DEADLINE_S) == 0


def home_in(shop: Workshop) -> Home:
    (home,) = homes(f"{shop.directory}/.local/state/procman/apps")
    return home


@pytest.mark.slow
def test_of_two_starts_at_one_instant_exactly_one_wins_and_the_other_says_who_did(workshop):
    """Each time after the last winner was killed, so that both would also adopt its dynos."""
    workshop.procfile(TWO)
    supervisor = detach(workshop)
    before = pids(workshop)
    for _ in range(RACES):
        kill(supervisor)
        both = [race(workshop) for _ in range(2)]
        for each in both:
            each.stdin.write("\n")
            each.stdin.flush()
        told = {each.pid: each.communicate(timeout=DEADLINE_S)[1] for each in both}
        assert sorted(each.returncode for each in both) == [0, 1], told
        winner, loser = sorted(both, key=lambda each: each.returncode)
        supervisor = int(home_in(workshop).facts()["pid"])
        words = told[loser.pid].splitlines()[0]
        assert any(f"it runs already (pid {pid})" in words for pid in (supervisor, winner.pid)), words
    assert pids(workshop) == before
    assert [row["restarts"] for row in rows(workshop).values()] == [0, 0]
    end(workshop)


def race(shop: Workshop) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        GATED,
        cwd=shop.directory,
        env=shop.env,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_copy_of_a_running_formations_state_starts_its_own_and_ends_nothing(workshop):
    """As `cp -a` makes it, sockets and pipes included where they can be copied."""
    workshop.procfile("worker: echo ready; exec sleep 1000\n")
    detach(workshop)
    before = pids(workshop)
    state = workshop.directory / ".local/state"
    copy = workshop.directory / "copy"
    subprocess.run(["cp", "-a", str(state), str(copy)], check=True)
    other = {"XDG_STATE_HOME": str(copy)}
    done = workshop.call("start", "--detach", env=other)
    assert done.returncode == 0, done.stderr
    assert pids(workshop) == before
    there = json.loads(workshop.call("ps", "--json", env=other).stdout)["dynos"]
    assert there[0]["pid"] not in before.values()
    assert workshop.call("shutdown", env=other).returncode == 0
    assert pids(workshop) == before
    assert rows(workshop)["worker.1"]["restarts"] == 0
    end(workshop)


def test_a_number_that_is_a_strangers_by_now_is_neither_adopted_nor_signalled(workshop, stranger):
    workshop.procfile(TWO)
    kill(detach(workshop))
    path = Path(home_in(workshop).ledger)
    ledger = json.loads(path.read_text())
    pid = stranger.pid
    old = [entry["pid"] for entry in ledger["dynos"]]
    for entry in ledger["dynos"]:
        entry["pid"] = pid
    path.write_text(json.dumps(ledger))
    detach(workshop)
    found = pids(workshop)
    assert not set(found.values()) & {*old, pid}
    assert not set(old) & set(workshop.processes()), "they bear their token, and must not run beside the next"
    end(workshop)


def test_after_a_reboot_nothing_is_adopted_and_nobody_signalled(workshop, stranger):
    """What the books and the lock name are other processes now."""
    workshop.procfile(TWO)
    kill(detach(workshop))
    for pid in workshop.processes():
        kill(pid)
    home = home_in(workshop)
    pid, start = process_of(stranger.pid)
    ledger = json.loads(Path(home.ledger).read_text())
    for entry in ledger["dynos"]:
        entry.update(pid=pid, start=start)
    Path(home.ledger).write_text(json.dumps({**ledger, "boot": "another", "holder": [pid, start + 1]}))
    lock = Path(home.path, "lock")
    lock.write_text(lock.read_text().replace(f"pid {home.facts()['pid']}", f"pid {pid}"))
    detach(workshop)
    assert "Took over" not in log(workshop)
    assert pid not in pids(workshop).values()
    assert [row["run"] for row in rows(workshop).values()] == [1, 1]
    end(workshop)


def test_a_start_that_comes_to_nothing_forgets_no_dynos(workshop):
    workshop.procfile(TWO)
    kill(detach(workshop))
    left = {pid for pid in workshop.processes() if "DYNO" in environment(pid)}
    workshop.procfile(TWO + "more: echo $PORT; exec sleep 1000\n")
    with socket.create_server(("127.0.0.1", int(workshop.env["PORT"]) + 200)):
        refused = workshop.call("start", "--detach")
    assert refused.returncode == 1
    assert "is taken by" in refused.stderr
    detach(workshop)
    assert left < set(pids(workshop).values())
    end(workshop)


def test_a_served_start_that_comes_to_nothing_forgets_no_dynos(workshop):
    served = Served(workshop)
    served.plan(1)
    running = served.start()
    pid = served.rows()["worker.1", 1]["pid"]
    assert running.finish(signal.SIGKILL) == 137
    plan = served.home / "plan.json"
    shutil.copy(plan, workshop.directory)
    plan.write_text("{")
    failed = workshop.procman("supervise", str(served.home))
    assert failed.finish() == 1
    assert failed.text().startswith("error: ")
    shutil.copy(workshop.directory / "plan.json", plan)
    running = served.start()
    assert by_name(next(served.states()))["worker.1", 1]["pid"] == pid
    assert served.end(running) == 0


def test_whoever_held_pipes_for_supervisors_killed_in_a_row_is_sent_home(tmp_path):
    """The one of the books, and one of a supervisor that was killed before it kept any."""
    home = Home(str(tmp_path / "apps"), "app")
    home.take()
    held = [subprocess.Popen(["sleep", "1000"]) for _ in range(2)]
    write(home.ledger, encode(Ledger(holder=process_of(held[0].pid)), home.place()))
    named = "{}-{}".format(*process_of(held[1].pid))
    find(home, {"pid": "1", "started": "0", "holder": f"nonsense {named}"}, lambda entry: True)
    assert [each.wait(DEADLINE_S) for each in held] == [-signal.SIGKILL] * 2
    home.leave()
