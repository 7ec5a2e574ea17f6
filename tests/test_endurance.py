"""What only shows with time: nothing wakes an idle procman, and nothing grows. ``benchmarks.soak`` is the long run."""

import os
import select
import signal
import subprocess
from pathlib import Path

import pytest

from benchmarks.soak import soak
from procman.control.client import Client

WINDOW_S = 4.0  # in which nothing may happen: the time that is measured, not one that is waited for


def switches(pid: int) -> int:
    """How often a process has gone to sleep, which is how often it was woken."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("\nvoluntary_ctxt_switches:")[2].split()[0])


@pytest.mark.slow
def test_nothing_wakes_an_idle_formation(workshop):
    """A hundred dynos, one that waits for its next try, somebody who follows the log, and an unread half line."""
    workshop.procfile("w: echo ready; exec sleep 1000\nbad: exit 1\npartial: printf half; exec sleep 1000\n")
    running = workshop.start("-m", "w=98", "--restart", "bad=heroku", "--name", "idle")
    for _ in range(98):
        running.wait_for(r"\| ready\n")
    running.wait_for(r"Next try in 10 min")
    path = str(workshop.directory / ".local/state/procman/apps/idle/control.sock")
    with Client(path) as follower, Client(path) as client:
        follower.socket.sendall(b'{"verb":"follow"}\n')
        assert follower.socket.recv(4096)
        assert len(client.call("ps")["dynos"]) == 100
        children = Path(f"/proc/{running.pid}/task/{running.pid}/children").read_text().split()
        (lifeline,) = (int(pid) for pid in children if Path(f"/proc/{pid}/comm").read_text().startswith("python"))
        pids = [running.pid, lifeline]
        quiet(follower.socket, running.process.stdout)  # until the last of it has been said
        before = [switches(pid) for pid in pids]
        assert not select.select([follower.socket, running.fd], [], [], WINDOW_S)[0]
        assert [switches(pid) for pid in pids] == before
    running.finish(signal.SIGTERM)


def quiet(*peers) -> None:
    """Read on until nothing comes for longer than it takes until a half line is shown."""
    while ready := select.select([peer.fileno() for peer in peers], [], [], 0.5)[0]:
        for fd in ready:
            assert os.read(fd, 4096)


@pytest.mark.slow
def test_restarts_and_lines_in_great_number(workshop):
    env = {**workshop.env, "XDG_STATE_HOME": str(workshop.directory / "state")}
    verdict = soak(workshop.directory, env, dynos=6, lives=60, lines=200)
    assert verdict.wrong == []
    assert (verdict.restarts, verdict.lines) == (360, 72_000)
    assert verdict.memory < verdict.warm + 1024
    assert verdict.descriptors <= verdict.held + 2  # a dyno that is between two lives holds less
    assert verdict.descriptors < 2 * 6 + 20


def test_a_storm_of_deaths_holds_nobody_up(workshop):
    """Dynos that end as fast as they are started: procman still answers, and hears that it shall end."""
    workshop.procfile("w: exit 0\n")
    running = workshop.start("-m", "w=10", "--restart", "always", "--name", "storm", stdout=subprocess.DEVNULL)
    path = workshop.directory / ".local/state/procman/apps/storm/control.sock"
    handle = os.pidfd_open(running.pid)
    while not path.exists():
        assert not select.select([handle], [], [], 0.01)[0]
    restarts = 0
    while restarts < 1000:
        with Client(str(path), 2.0) as client:
            restarts = sum(row["restarts"] for row in client.call("ps")["dynos"])
    running.signal(signal.SIGTERM)
    assert select.select([handle], [], [], 2.0)[0]
    os.close(handle)
    assert running.finish() == 143


def test_the_history_of_a_crash_loop_stays_small_and_whole(tmp_path):
    from procman.supervisor.history import LIMIT, History

    path = tmp_path / "history"
    history = History(str(path))
    path.write_bytes(b"\xff torn " + b"x" * (LIMIT - 50))  # what a power cut left
    for run in range(10_000):
        history.add({"dyno": f"w.{run % 2}", "run": run, "words": "exited with status 1", "status": 1})
    assert path.stat().st_size <= LIMIT + 200
    assert path.stat().st_mode & 0o777 == 0o600
    runs = [life["run"] for life in history.lives("w.1")]
    assert runs == list(range(runs[0], 10_000, 2))
    assert len(runs) > 1000
    assert os.listdir(tmp_path) == ["history"]
