"""`procman supervise`: the verb that a server knows and nobody else needs to."""

import json
import os
import select
import signal
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from procman.core.model import DynoName
from procman.supervisor.child import Child
from procman.supervisor.one_offs import GONE, HANGUP_S, R16, OneOffs, Session
from tests.harness import DEADLINE_S, poll
from tests.proc import environment
from tests.served import Served, kind, read_all
from tests.test_one_offs import attach, read_until

ROOT = Path(__file__).parent.parent


@pytest.fixture
def served(workshop):
    return Served(workshop)


def test_it_is_in_no_help_and_no_manual(workshop):
    for words in (["--help"], ["help", "--man"], ["help", "--markdown"], []):
        assert "supervise " not in workshop.call(*words).stdout
    assert "supervise HOME" not in (ROOT / "docs" / "commands.md").read_text()


@pytest.mark.parametrize("words", [[], ["one", "two"]])
def test_it_wants_one_home(workshop, words):
    done = workshop.call("supervise", *words)
    assert (done.returncode, done.stdout) == (2, "")


def test_a_home_without_a_plan_is_refused(served):
    running = served.shop.procman("supervise", str(served.home))
    assert running.finish() == 1
    assert running.text() == "error: cannot read plan.json: No such file or directory\n"
    assert served.shop.processes() == []


def test_a_socket_that_cannot_be_opened_leaves_nothing_running(served):
    served.plan(1)
    (served.home / "control.sock").mkdir()
    running = served.shop.procman("supervise", str(served.home))
    assert running.finish() == 1
    assert running.text().startswith("error: cannot open the control socket")
    assert served.shop.processes() == []


def test_sigterm_ends_all_and_sighup_nothing(served):
    served.plan(1)
    running = served.start()
    running.signal(signal.SIGHUP)
    assert served.rows()["worker.1", 1]["state"] == "up"
    assert running.finish(signal.SIGTERM) == 143
    assert served.shop.processes() == []


def test_a_dyno_finds_what_heroku_gives_it_and_nothing_of_ours(served):
    types = {"web": kind("exec $PY -u -m http.server --bind 127.0.0.1 $PORT")}
    served.plan(1, types=types, env={"FOO": "bar", "HOME": "/nowhere", "PORT": "1", "DYNO": "x"})
    running = served.start()
    served.call("apply")
    row = served.rows()["web.1", 1]
    env = environment(row["pid"])
    assert (env["FOO"], env["HOME"], env["PORT"], env["DYNO"]) == ("bar", str(served.slug), str(row["port"]), "web.1")
    assert {"PATH": env["PATH"], "LANG": env["LANG"]} == {"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8"}
    assert not {"PYTHONPATH", "XDG_STATE_HOME"} & env.keys()
    assert {os.readlink(f"/proc/{row['pid']}/fd/{fd}").split(":")[0] for fd in (0, 1, 2)} == {
        "/dev/null", str(served.home / "pipes" / "web.1@1.1.out"),
    }  # fmt: skip
    assert served.end(running) == 0


def test_the_files_of_a_home_are_its_users_alone(served):
    served.plan(1, env={"SECRET": "hunter2"})
    running = served.start()
    served.call("apply")
    served.call("switch", generation=1)
    served.call("ps")
    for path in [*served.home.glob("*"), *served.home.glob("p*/*"), *served.home.glob("log/*")]:
        if path.is_file() or path.is_fifo():
            assert path.stat().st_mode & 0o077 == 0 or path.name == "plan.json", path
    ledger = served.home / "ledger.json"
    poll(ledger.exists)
    assert "hunter2" not in ledger.read_text()
    assert "hunter2" not in served.log()
    assert "hunter2" not in Path(f"/proc/{running.pid}/cmdline").read_text()
    assert served.end(running) == 0


def test_a_follower_that_does_not_read_hears_the_latest(served):
    served.plan(1)
    running = served.start()
    states = served.states()
    assert next(states)["dynos"][0]["run"] == 1
    for _ in range(3):
        served.call("restart", dynos=["worker.1"])
    heard = next(message for message in states if message["dynos"][0]["run"] == 4)
    assert heard["dynos"][0]["state"] in ("starting", "up")
    states.close()
    assert served.end(running) == 0


def test_since_when_is_told_in_seconds_since_the_epoch(served):
    served.plan(1)
    before = time.time()
    running = served.start()
    [row] = next(served.states())["dynos"]
    assert before - 0.1 <= row["since"] <= time.time() + 0.1
    assert served.call("upgrade")["ok"]
    [again] = next(served.states())["dynos"]
    assert abs(again["since"] - row["since"]) < 0.1
    assert served.end(running) == 0


def test_ports_run_out_with_a_reason(served):
    served.plan(1, types={"worker": kind(quantity=2)}, ports=(served.base, 1))
    running = served.start()
    served.wait_for_log(r"worker.2\]: Process exited with status 126")
    assert "no port is free" in served.log()
    assert served.rows()["worker.1", 1]["state"] == "up"
    assert served.end(running) == 0


class FakeLoop:
    """Time that a test lets pass."""

    def __init__(self):
        self.time = 100.0
        self.deadlines = []

    def now(self):
        return self.time

    def on_deadline(self, deadline, callback):
        self.deadlines.append((deadline, callback))

    def watch(self, fd, callback, writable=False):
        pass

    def unwatch(self, fd):
        pass


def test_who_does_not_heed_sighup_is_hung_up_three_times_and_then_stopped():
    loop, told = FakeLoop(), []
    child = Child(DynoName("run", 1), 1, 7, [])
    child.pty = 7
    supervisor = SimpleNamespace(
        loop=loop,
        now=loop.now,
        on_emptied=[],
        hold=lambda child, held: None,
        output=SimpleNamespace(say=lambda dyno, text: told.append(text)),
        processes=SimpleNamespace(terminate=lambda children, signum: told.append(signal.Signals(signum).name)),
        post=lambda event: told.append(type(event).__name__),
        tap=lambda *args, **more: None,
    )
    one_offs = OneOffs(supervisor, None)
    connection = SimpleNamespace(closed=False, resumed=False, send=lambda message: None, hold=lambda held: None)
    session = one_offs._sessions[child] = Session(child, connection, float("inf"))
    one_offs._join(session, connection)
    connection.on_close()
    assert told == [GONE, "SIGHUP"]
    [(deadline, look)] = loop.deadlines
    for _ in range(3):
        assert deadline() == loop.time + HANGUP_S
        loop.time = deadline()
        look(loop.time)
    assert told == [GONE, "SIGHUP", "SIGHUP", "SIGHUP", R16, "StopRequested"]
    assert deadline() == float("inf")


def test_chaos_leaves_the_formation_and_the_numbers_in_order(served):
    """Supervisors and dynos are killed in turn, with orders in between; then all is as wished, and once."""
    count = "exec $PY -u $CHILDREN/count.py"
    served.plan(1, types={"worker": kind(count, 3), "clock": kind()}, policy="always")
    running = served.start()
    served.call("apply")
    served.call("switch", generation=1)
    for turn in range(6):
        rows = served.rows()
        if turn % 3 == 0:
            kill(rows["worker.2", 1]["pid"])
        if turn % 3 == 1:
            answer = served.call("upgrade")
            assert answer["ok"], answer
        if turn % 3 == 2:
            served.call("restart", dynos=["clock"])
        served.call("ps")
        running.finish(signal.SIGKILL)
        pids = [entry["pid"] for entry in json.loads((served.home / "ledger.json").read_text())["dynos"]]
        assert len(pids) == len(set(pids))
        running = served.start()
    served.wait_until(lambda message: all(row["state"] == "up" for row in message["dynos"]))
    rows = served.rows()
    assert set(rows) == {("worker.1", 1), ("worker.2", 1), ("worker.3", 1), ("clock.1", 1)}
    assert len({row["port"] for row in rows.values()}) == 4
    os.kill(rows["worker.1", 1]["pid"], signal.SIGUSR1)
    served.wait_for_log(r"app\[worker.1\]: 20$")
    assert [int(line) for line in served.lines("worker.1", "app")] == list(range(1, 21))
    assert served.end(running) == 0
    assert served.shop.processes() == []


def kill(pid: int) -> None:
    handle = os.pidfd_open(pid)
    os.kill(pid, signal.SIGKILL)
    assert select.select([handle], [], [], DEADLINE_S)[0]
    os.close(handle)


def test_an_attached_dyno_is_like_at_heroku_a_terminal_with_carriage_returns(served):
    served.plan(1)
    running = served.start()
    client, _ = attach(served, "echo one; echo two; read x")
    assert read_until(client, b"two").startswith(b"one\r\ntwo")
    client.socket.sendall(b"\n")
    read_all(client)
    assert served.end(running) == 0
