"""A detached formation's dynos outlive its supervisor, and the next start --detach goes on with them."""

import json
import os
import select
import signal

from tests.formations import stored
from tests.harness import DEADLINE_S

TWO = "web: exec python3 -u -m http.server --bind 127.0.0.1 $PORT\nworker: echo ready; exec sleep 1000\n"


def detach(shop, *args: str) -> int:
    """Start it; the supervisor's pid."""
    done = shop.call("start", "--detach", *args)
    assert done.returncode == 0, done.stderr
    stored(shop)
    return supervisor_of(shop)


def supervisor_of(shop) -> int:
    return int(json.loads(shop.call("list", "--json").stdout)["formations"][0]["pid"])


def rows(shop) -> dict[str, dict]:
    return {row["dyno"]: row for row in json.loads(shop.call("ps", "--json").stdout)["dynos"]}


def pids(shop) -> dict[str, int]:
    return {name: row["pid"] for name, row in rows(shop).items()}


def kill(pid: int) -> None:
    """By SIGKILL; returns when it has gone."""
    handle = os.pidfd_open(pid)
    os.kill(pid, signal.SIGKILL)
    assert select.select([handle], [], [], DEADLINE_S)[0]
    os.close(handle)


def end(shop) -> None:
    assert shop.call("shutdown").returncode == 0
    assert shop.wait_until_gone() == []


def log(shop) -> str:
    return shop.call("logs", "-n", "1000").stdout


def test_the_next_detached_start_goes_on_with_the_dynos(workshop):
    workshop.procfile(TWO)
    pid = detach(workshop)
    before = pids(workshop)
    kill(pid)
    told = workshop.call("ps")
    assert (told.returncode, "its supervisor was killed\n  hint: procman start --detach" in told.stderr) == (3, True)
    _, row = workshop.call("list").stdout.splitlines()
    assert (row.split()[1], row.split()[-1]) == ("killed", str(workshop.directory))
    detach(workshop)
    assert pids(workshop) == before
    assert [row["restarts"] for row in rows(workshop).values()] == [0, 0]
    assert "Took over web.1 and worker.1" in log(workshop)
    end(workshop)


def test_another_terminal_is_no_change(workshop):
    workshop.procfile(TWO)
    (workshop.directory / ".env").write_text("TERM=dumb\n")
    workshop.env |= {"SSH_CLIENT": "10.0.0.7 50122 22", "TERM": "xterm", "_": "/usr/bin/procman", "OTHER": "first"}
    pid = detach(workshop)
    before = pids(workshop)
    kill(pid)
    late = {"TERM": "screen", "SSH_CLIENT": "10.0.0.7 50999 22", "_": "/usr/bin/nohup", "TMUX": "/tmp/tmux"}
    workshop.env = {**late, **{name: value for name, value in workshop.env.items() if name not in late}}
    pid = detach(workshop)
    assert pids(workshop) == before
    kill(pid)
    (workshop.directory / ".env").write_text("TERM=vt100\n")
    detach(workshop)
    assert {*pids(workshop).values()}.isdisjoint(before.values())
    end(workshop)


def test_what_has_changed_meanwhile_is_restarted_and_what_is_gone_ends(workshop):
    workshop.procfile(TWO + "old: exec sleep 1000\n")
    pid = detach(workshop)
    before = pids(workshop)
    kill(pid)
    workshop.procfile(TWO.replace("echo ready", "echo changed") + "new: exec sleep 1000\n")
    detach(workshop)
    after = pids(workshop)
    assert set(after) == {"web.1", "worker.1", "new.1"}
    assert after["web.1"] == before["web.1"]
    assert after["worker.1"] != before["worker.1"]
    assert "changed" in log(workshop)
    end(workshop)


def test_a_start_in_the_terminal_ends_what_was_left_and_starts_anew(workshop):
    workshop.procfile(TWO)
    pid = detach(workshop)
    before = pids(workshop)
    kill(pid)
    running = workshop.start()
    running.wait_for("Ended 2 processes that an earlier procman left behind")
    running.wait_for(r"worker.1 +\| ready")
    assert before["worker.1"] not in workshop.processes()
    assert running.finish(signal.SIGTERM) == 143
    assert workshop.wait_until_gone() == []


def test_a_start_in_the_terminal_still_takes_its_dynos_with_it(workshop):
    workshop.procfile(TWO)
    running = workshop.start()
    running.wait_for(r"worker.1 +\| ready")
    assert running.finish(signal.SIGKILL) == 137
    assert workshop.wait_until_gone() == []


def test_a_shutdown_ends_what_was_taken_over_and_its_offspring(workshop):
    workshop.procfile("family: exec python3 $CHILDREN/family.py\n")
    pid = detach(workshop, "--timeout", "1")
    kill(pid)
    detach(workshop, "--timeout", "1")
    os.kill(bare(workshop), signal.SIGKILL)  # its parent is dead and it bears no token: nobody can tell whose it is
    end(workshop)


def bare(shop) -> int:
    """The one that cleared its environment, by its own words."""
    return int(next(line.split()[-1] for line in log(shop).splitlines() if "bare-daemon" in line))
