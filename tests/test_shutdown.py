"""`procman shutdown`: when it returns, it is over."""

import os
import signal
import subprocess

from procman.control.client import Client
from tests.formations import rows, socket_of


def test_shutdown_returns_when_everything_has_gone(workshop):
    workshop.procfile("a: python $CHILDREN/stubborn.py & exec python $CHILDREN/stubborn.py\n")
    running = workshop.start("-t", "0.2")
    running.wait_for("ready")
    done = workshop.call("shutdown")
    assert done.returncode == 0
    assert done.stdout.endswith(" is down\n")
    assert workshop.processes() == []
    assert running.finish() == 0
    again = workshop.start("-t", "0.2")  # the lock is free at once
    again.wait_for("ready")
    assert again.finish(signal.SIGINT) == 130


PATIENT = "trap 'echo asked; read x < gate; echo done; exit 0' TERM; echo ready; sleep 1000 & wait"


def test_a_second_shutdown_waits_for_the_same_end(workshop):
    os.mkfifo(workshop.directory / "gate")
    workshop.procfile(f"a: {PATIENT}\n")
    running = workshop.start("-t", "1h")
    running.wait_for(r"\| ready")
    with Client(socket_of(workshop)) as one, Client(socket_of(workshop)) as another:
        for client in (one, another):
            client.socket.sendall(b'{"verb":"shutdown"}\n')
        running.wait_for(r"\| asked")
        assert list(rows(workshop)) == ["a.1"]  # both have been heard
        for verb in ("restart", "start"):
            late = workshop.call(verb, "a")
            words = "procman: the formation was shut down meanwhile: shutdown was asked for\n"
            assert (late.returncode, late.stderr) == (1, words)
        waiting = workshop.procman("shutdown", stdout=subprocess.PIPE)
        (workshop.directory / "gate").write_text("\n")
        assert running.finish() == 0
        assert [client.socket.recv(1) for client in (one, another)] == [b"", b""]
        assert waiting.finish() in (0, 3)  # 3: it came when all was over
    assert running.lines("a.1") == ["ready", "asked", "done"]


def test_now_means_now(workshop):
    workshop.procfile("a: exec python $CHILDREN/stubborn.py\n")
    running = workshop.start("-t", "1h")
    running.wait_for(r"\| ready")
    waiting = workshop.procman("shutdown", stdout=subprocess.PIPE)
    running.wait_for("Stopping all processes with SIGTERM")
    assert workshop.call("shutdown", "--now").returncode == 0
    assert waiting.finish() == 0
    assert running.finish() == 0
    assert "Stopping remaining processes with SIGKILL" in running.system("a.1")
