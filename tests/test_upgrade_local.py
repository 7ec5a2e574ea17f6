"""`procman start` replaces its program in place, in the terminal and detached."""

import os
import signal
from pathlib import Path

from procman.control.client import Client
from procman.supervisor.terminal import set_size
from tests.harness import DEADLINE_S
from tests.test_outliving import detach, end, kill, log, pids

TWO = "web: exec python3 -u -m http.server --bind 127.0.0.1 $PORT\nworker: echo ready; exec sleep 1000\n"


def upgrade(shop) -> dict:
    (path,) = shop.directory.glob(".local/state/procman/apps/*/control.sock")
    with Client(str(path), DEADLINE_S) as client:
        return client.call("upgrade")


def test_in_the_foreground_all_goes_on(workshop):
    workshop.procfile(TWO)
    running = workshop.start()
    running.wait_for_all(r"worker.1 +\| ready", "web.1 .*up")
    before = pids(workshop)
    assert upgrade(workshop) == {"ok": True, "pid": running.pid}
    assert pids(workshop) == before
    running.wait_for("Replacing the program")
    os.kill(before["worker.1"], signal.SIGKILL)
    running.wait_for("Process was killed by SIGKILL")
    running.wait_for(r"worker.1 +\| ready")
    assert running.finish(signal.SIGTERM) == 143
    assert workshop.wait_until_gone() == []


def test_the_lifeline_still_holds_afterwards(workshop):
    workshop.procfile(TWO)
    running = workshop.start()
    running.wait_for(r"worker.1 +\| ready")
    running.signal(signal.SIGUSR2)
    running.wait_for("Replacing the program")
    assert upgrade(workshop)["ok"]
    assert running.finish(signal.SIGKILL) == 137
    assert workshop.wait_until_gone() == []


def test_no_line_of_a_flood_is_lost_or_torn(workshop):
    workshop.procfile("many: exec python3 $CHILDREN/write.py count 30000 n\n")
    running = workshop.start("--restart", "never", "--exit-with", "none")
    running.wait_for("n 0000000")
    assert upgrade(workshop)["ok"]
    running.wait_for("Not restarted")
    assert running.finish(signal.SIGTERM) == 143
    numbers = [int(line.split()[1]) for line in running.lines("many.1")]
    assert numbers == list(range(30_000))


def test_terminals_stay(workshop):
    workshop.procfile("one: exec python3 $CHILDREN/window.py\n")
    running = workshop.start(columns=100)
    running.wait_for("ready")
    assert upgrade(workshop)["ok"]
    set_size(running.terminal, 30, 120)
    running.signal(signal.SIGWINCH)
    running.wait_for("size 30")
    assert running.finish(signal.SIGTERM) == 143


def test_detached_it_is_the_same_and_may_be_killed_afterwards(workshop):
    workshop.procfile(TWO)
    pid = detach(workshop)
    before = pids(workshop)
    assert upgrade(workshop) == {"ok": True, "pid": pid}
    assert pids(workshop) == before
    assert "Took over" not in log(workshop)
    kill(pid)
    detach(workshop)
    assert pids(workshop) == before
    assert upgrade(workshop)["ok"]
    assert pids(workshop) == before
    end(workshop)


def test_a_procfile_that_cannot_be_used_refuses_it(workshop):
    workshop.procfile(TWO)
    pid = detach(workshop)
    (workshop.directory / "Procfile").unlink()
    done = workshop.call("upgrade")
    assert done.returncode == 1
    assert "cannot upgrade: the new program cannot go on: cannot use Procfile: not found" in done.stderr
    assert Path(f"/proc/{pid}").exists()
    workshop.procfile(TWO)
    assert workshop.call("upgrade").stdout == f"Upgraded: the supervisor (pid {pid}) runs what is installed now\n"
    end(workshop)


def test_attached_terminals_stay(workshop):
    workshop.procfile("shell: echo ready; while read word; do echo got $word; done\n")
    assert workshop.call("start", "--detach", "--tty").returncode == 0
    (path,) = workshop.directory.glob(".local/state/procman/apps/*/control.sock")
    client = Client(str(path), DEADLINE_S)
    assert [answer["ok"] for answer in client.ask("attach", dynos=["shell.1"])] == [True]
    assert upgrade(workshop)["ok"]
    client.socket.sendall(b"word\n")
    seen = client.raw()
    while b"got word" not in seen:
        chunk = client.socket.recv(4096)
        assert chunk
        seen += chunk
    client.close()
    end(workshop)
