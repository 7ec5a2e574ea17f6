"""`procman start --detach`: it answers when it can be reached, and holds nothing of its starter."""

import json
import os
import pty
import re
import signal
import socket
import subprocess
import sys

import pytest

from procman.control.client import Client
from tests.formations import POLITE, TWO, pids, socket_of, states, stored
from tests.harness import DEADLINE_S, Workshop
from tests.proc import is_alive


def detached_pid(workshop: Workshop) -> int:
    with Client(socket_of(workshop)) as client:
        return int(client.call("ps")["pid"])


def end(workshop: Workshop, pid: int) -> None:
    handle = os.pidfd_open(pid)
    assert workshop.call("shutdown").returncode == 0
    os.close(handle)
    assert not is_alive(pid)
    assert workshop.processes() == []


def test_detach_returns_once_it_can_be_reached(workshop):
    workshop.procfile(TWO)
    done = workshop.call("start", "--detach")
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith(f" runs; its socket is {socket_of(workshop)}\n")
    assert states(workshop) == {"web.1": "starting", "worker.1": "up"}
    pid = detached_pid(workshop)
    assert os.getsid(pid) == pid
    refused = workshop.call("start", "--detach")
    assert (refused.returncode, f"it runs already (pid {pid})" in refused.stderr) == (1, True)
    end(workshop, pid)


def test_detached_outlives_terminal_and_session_and_holds_nothing_of_theirs(workshop):
    workshop.procfile(TWO)
    master, slave = pty.openpty()
    reader, writer = os.pipe()
    shell = subprocess.Popen(
        ["/bin/sh", "-c", f"{sys.executable} -m procman start --detach; echo done; read line"],
        cwd=workshop.directory,
        env=workshop.env,
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
        pass_fds=[writer],
    )
    os.close(slave)
    os.close(writer)
    seen = b""
    while b"done" not in seen:
        seen += os.read(master, 4096)
    pid = detached_pid(workshop)
    os.killpg(shell.pid, signal.SIGHUP)
    os.close(master)
    shell.wait()
    assert os.read(reader, 1) == b""  # nobody has the other end of our pipe any more
    os.close(reader)
    assert states(workshop)["worker.1"] == "up"
    assert {os.readlink(f"/proc/{pid}/fd/{fd}") for fd in (0, 1)} == {"/dev/null"}
    end(workshop, pid)


@pytest.mark.parametrize("case", ["port", "procfile", "type", "settings", "socket"])
def test_a_detach_that_fails_says_why_and_leaves_nothing(workshop, case, port):
    workshop.procfile("what is this\n" if case == "procfile" else TWO)
    args = {"type": ["nobody"], "port": ["-p", str(port)], "settings": ["--restart", "sometimes"]}.get(case, [])
    if case == "socket":
        (workshop.directory / ".local/state/procman/apps/app/control.sock").mkdir(parents=True)
        args = ["--name", "app"]
    with socket.create_server(("127.0.0.1", port)):
        failed = workshop.call("start", "--detach", *args)
    assert failed.returncode == (2 if case in ("settings", "type") else 1)
    assert failed.stdout == ""
    why = {
        "port": f"port {port} is taken",
        "procfile": "Procfile:1",
        "type": "no process type 'nobody'",
        "settings": "'sometimes' is not a restart policy",
        "socket": "cannot open the control socket",
    }
    assert why[case] in failed.stderr
    assert "Traceback" not in failed.stderr
    assert workshop.wait_until_gone() == []
    if case != "socket":
        assert json.loads(workshop.call("list", "--json").stdout)["formations"] == []


def test_a_foreground_start_without_a_socket_starts_nothing(workshop):
    workshop.procfile(f"a: {POLITE} a\n")
    (workshop.directory / ".local/state/procman/apps/app/control.sock").mkdir(parents=True)
    running = workshop.start("--name", "app")
    assert running.finish() == 1
    assert "cannot open the control socket" in running.errors()
    assert running.text() == ""
    assert workshop.processes() == []


def test_a_killed_detached_supervisor_can_be_started_again(workshop):
    workshop.procfile(TWO)
    assert workshop.call("start", "--detach").returncode == 0
    before, pid = pids(workshop), detached_pid(workshop)
    stored(workshop)
    handle = os.pidfd_open(pid)
    os.kill(pid, signal.SIGKILL)
    os.close(handle)
    assert workshop.call("start", "--detach").returncode == 0
    assert pids(workshop) == before, "its dynos went on, and the next supervisor goes on with them"
    assert states(workshop)["worker.1"] == "up"
    end(workshop, detached_pid(workshop))


@pytest.mark.parametrize("value", ["0", "5x", "-1"])
def test_a_time_limit_that_cannot_be_starts_nothing(workshop, value):
    workshop.procfile(TWO)
    refused = workshop.call("start", "--detach", f"--wait-timeout={value}")
    assert (refused.returncode, f"cannot use --wait-timeout {value}: " in refused.stderr) == (2, True)
    assert workshop.processes() == []


def test_who_waits_hears_of_the_crash_that_ends_it_all(workshop):
    workshop.procfile("web: read line <gate; exit 2\n")
    os.mkfifo(workshop.directory / "gate")
    assert workshop.call("start", "--detach", "--restart", "never").returncode == 0
    with Client(socket_of(workshop), DEADLINE_S) as client:
        client.socket.sendall(b'{"verb":"wait","wait":true}\n')
        assert states(workshop) == {"web.1": "starting"}  # and the other request came before this one
        (workshop.directory / "gate").write_text("\n")
        answer = json.loads(client.socket.recv(4096))
    assert (answer["ok"], answer["error"]) == (False, "web.1 did not stay up: exited with status 2")
    assert workshop.wait_until_gone() == []


def test_who_asks_when_it_is_over_is_told_that(workshop):
    workshop.procfile("web: exit 2\n")
    for words in ([], ["--json"]):
        done = workshop.call("start", "--detach", "--wait", "--restart", "never", *words)
        assert done.returncode == 1
        assert re.search(r"web\.1 did not stay up: exited with status 2\n|has ended already\n  hint: p", done.stderr)
        assert workshop.wait_until_gone() == []
