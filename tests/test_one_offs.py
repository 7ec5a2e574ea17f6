"""One-off dynos of a served app: attached with and without a terminal, detached, and what becomes of them."""

import os
import re
import select

import pytest

from tests.harness import DEADLINE_S
from tests.proc import environment
from tests.served import Served, all_gone, kind, read_all


@pytest.fixture
def served(workshop):
    """An app that runs one worker."""
    app = Served(workshop)
    app.plan(1)
    running = app.start()
    app.call("apply")
    app.call("switch", generation=1)
    yield app
    assert app.end(running) == 0


def attach(served, command, dyno="run.1", **more):
    """A client that is attached, with the answer read."""
    client = served.client()
    [answer] = client.ask("run", **{"dyno": dyno, "command": command, "attach": True, "tty": True, **more})
    assert answer["ok"], answer
    return client, answer["pid"]


def read_until(client, wanted: bytes) -> bytes:
    seen = client.raw()
    while wanted not in seen:
        chunk = client.socket.recv(1 << 16)
        assert chunk, f"ended before {wanted!r}; seen: {seen!r}"
        seen += chunk
    return seen


def test_a_terminal_is_joined_both_ways_and_nothing_is_logged(served):
    client, _ = attach(served, "tty; stty size; read word; echo got $word; exit 3", size=[30, 100])
    seen = read_until(client, b"30 100\r\n")
    assert re.match(rb"/dev/pts/\d+\r\n30 100\r\n", seen)
    client.socket.sendall(b"hello\n")
    assert read_all(client) == b"hello\r\ngot hello\r\n"
    served.wait_until(lambda message: all(row["dyno"] != "run.1" for row in message["dynos"]))
    assert served.lines("run.1") == [
        "Starting process with command `tty; stty size; read word; echo got $word; exit 3`",
        "State changed from starting to up",
        "Process exited with status 3",
        "State changed from up to complete",
    ]
    assert served.lines("run.1", "app") == []


def test_its_environment_is_the_plans_and_its_own(served):
    served.plan(1, env={"FOO": "config", "BAR": "config"})
    client, pid = attach(served, "echo on; read x", env={"TERM": "xterm", "BAR": "mine", "COLUMNS": "80"})
    read_until(client, b"on")
    env = environment(pid)
    found = [env[name] for name in ("DYNO", "FOO", "BAR", "TERM", "COLUMNS")]
    assert found == ["run.1", "config", "mine", "xterm", "80"]
    assert env["HOME"] == env["PWD"] == str(served.slug)
    assert env["PATH"] == "/usr/local/bin:/usr/bin:/bin"
    assert "PS1" in env
    assert int(env["PORT"]) in range(served.base, served.base + 20)
    client.socket.sendall(b"\n")
    read_all(client)


def test_without_a_terminal_bytes_go_through_as_they_are(served):
    size = 3 << 20
    client, _ = attach(served, "cat", tty=False)
    data = bytes(range(256)) * (size // 256)
    sent, seen = 0, b""
    client.socket.setblocking(False)
    while len(seen) < size:
        readable, writable, _ = select.select([client.socket], [client.socket] if sent < size else [], [], DEADLINE_S)
        assert readable or writable
        if readable:
            seen += client.socket.recv(1 << 16)
        if writable:
            sent += client.socket.send(data[sent : sent + (1 << 16)])
    assert seen == data
    client.socket.setblocking(True)
    client.socket.sendall(b"\x04")
    assert read_all(client) == b""


def test_the_end_of_the_input_may_come_with_the_last_of_it(served):
    client, _ = attach(served, "sort; echo end", tty=False)
    client.socket.sendall(b"b\na\n\x04")
    assert read_all(client) == b"a\nb\nend\n"
    client, _ = attach(served, "read -r -n 3 word; printf %s \"$word\" | od -An -c", dyno="run.2", tty=False)
    client.socket.sendall(b"a\x04")
    client.socket.sendall(b"b\n")
    assert read_all(client).split() == [b"a", b"004", b"b"]


def test_a_client_that_reads_slowly_holds_its_dyno_and_loses_nothing(served):
    client, _ = attach(served, "head -c 30000000 /dev/zero | tr '\\0' x; echo; echo end", tty=False)
    served.call("ps")
    seen = read_all(client)
    assert len(seen) == 30_000_000 + 5
    assert seen.endswith(b"x\nend\n")


def test_detached_its_output_is_logged_and_its_status_told(served):
    answer = served.call("run", dyno="scheduler.7", command="echo working; exit 4")
    assert answer["ok"]
    served.wait_for_log("State changed from up to complete")
    assert served.lines("scheduler.7", "app") == ["working"]
    assert served.lines("scheduler.7")[-2:] == ["Process exited with status 4", "State changed from up to complete"]


def test_followers_hear_of_its_end_once(served):
    states = served.states()
    next(states)
    served.call("run", dyno="release.5", command="exit 2")
    heard = [next(states)]
    while not any(row["dyno"] == "release.5" and row["state"] == "complete" for row in heard[-1]["dynos"]):
        heard.append(next(states))
    row = next(row for row in heard[-1]["dynos"] if row["dyno"] == "release.5")
    assert (row["status"], row["exit"], row["one_off"], row["pid"]) == (2, "exited with status 2", True, None)
    assert (row["command"], row["release"], row["type"]) == ("exit 2", 1, "release")
    assert all(row["dyno"] != "release.5" for row in next(states)["dynos"])
    states.close()


def test_it_is_touched_by_no_rollout_no_restart_and_no_scaling(served):
    client, pid = attach(served, "read x; echo still here")
    assert served.apply(2)["ready"]
    served.wait_until(lambda message: [row["generation"] for row in message["dynos"] if not row["one_off"]] == [2])
    assert served.call("restart")["ok"]
    assert served.apply(2, types={})["ok"]
    assert served.call("restart", dynos=["run.1"])["ok"] is False
    row = served.rows()["run.1", 1]
    assert (row["pid"], row["release"]) == (pid, 1), "it keeps its release"
    client.socket.sendall(b"\n")
    assert b"still here" in read_all(client)
    served.apply(3)


def test_it_can_be_stopped(served):
    client, _ = attach(served, "exec sleep 1000")
    assert served.call("stop", dynos=["run.1"])["ok"]
    assert read_all(client) == b""
    assert served.lines("run.1")[-3:] == [
        "Stopping all processes with SIGTERM",
        "Process exited with status 143",
        "State changed from up to complete",
    ]


def test_its_time_may_be_limited(served):
    assert served.call("run", dyno="run.9", command="exec sleep 1000", ttl=0.1)["ok"]
    served.wait_for_log(r"run.9\]: State changed from up to complete")
    assert "Process exited with status 143" in served.lines("run.9")


def test_a_client_that_goes_hangs_up(served):
    client, _ = attach(served, "trap 'exit 42' HUP; echo ready; while :; do sleep 0.05; done")
    read_until(client, b"ready")
    client.close()
    served.wait_for_log(r"run.1\]: State changed from up to complete")
    assert "Client connection closed. Sending SIGHUP to all processes" in served.lines("run.1")
    assert "Process exited with status 42" in served.lines("run.1")


def test_all_of_it_ends_with_the_app(workshop):
    app = Served(workshop)
    app.plan(1)
    running = app.start()
    client, _ = attach(app, "echo ready; exec sleep 1000")
    read_until(client, b"ready")
    assert app.end(running) == 0
    read_all(client)


def test_a_terminal_can_be_resized(served):
    client, _ = attach(served, "trap 'stty size' WINCH; echo ready; while :; do sleep 0.05; done", size=[24, 80])
    read_until(client, b"ready")
    assert served.call("resize", dynos=["run.1"], size=[40, 120])["ok"]
    read_until(client, b"40 120")
    served.call("stop", dynos=["run.1"])


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        ({"dyno": "run"}, "cannot run: 'dyno' must be a name such as run.1234"),
        ({"dyno": "run.01"}, "cannot run: 'dyno' must be a name such as run.1234"),
        ({"dyno": 7}, "cannot run: 'dyno' must be a text"),
        ({"dyno": "worker.1"}, "cannot run worker.1: there is one"),
        ({"command": ""}, "cannot run: 'command' must be what it shall run"),
        ({"command": "a\0b"}, "cannot run: 'command' must be a text"),
        ({"plan": "../plan.json"}, "cannot run: 'plan' must be the name of a plan's file"),
        ({"plan": "other.json"}, "cannot read other.json: No such file or directory"),
        ({"env": {"A=B": "x"}}, "cannot run: 'env' must be names with a text each"),
        ({"env": ["A"]}, "cannot run: 'env' must be names with a text each"),
        ({"ttl": -1}, "cannot run: 'ttl' must be a number of seconds"),
        ({"size": [0, 0]}, "cannot run: 'size' must be rows and columns"),
    ],
)
def test_what_cannot_be_run_is_refused(served, request_, error):
    answer = served.call("run", **{"dyno": "run.5", "command": "true", **request_})
    assert (answer["ok"], answer["error"]) == (False, error)


def test_it_may_be_made_of_another_plan(served):
    other = served.slug.parent / "slug-2"
    other.mkdir()
    served.plan(2, name="plan-2.json", directory=str(other), env={"FOO": "two"})
    client, pid = attach(served, "pwd; read x", plan="plan-2.json")
    read_until(client, str(other).encode())
    assert environment(pid)["FOO"] == "two"
    assert served.rows()["run.1", 2]["release"] == 2
    client.socket.sendall(b"\n")
    read_all(client)
    assert served.apply(3)["ready"]
    served.wait_until(all_gone(1))


def test_login_files_are_read_before_the_command(served):
    (served.slug / ".profile.d").mkdir()
    (served.slug / ".profile.d" / "10-a.sh").write_text("export A=1; export ORDER=a\n")
    (served.slug / ".profile.d" / "20-b.sh").write_text("export A=$((A + 1)); ORDER=${ORDER}b\n")
    (served.slug / ".profile").write_text("export ORDER=${ORDER}p\n")
    client, _ = attach(served, "echo $A $ORDER", tty=False)
    assert read_all(client) == b"2 abp\n"


def test_it_is_shown_by_ps_and_has_a_port_of_its_own(served):
    served.plan(1, types={"worker": kind()})
    client, pid = attach(served, "read x")
    rows = {row["dyno"]: row for row in served.call("ps")["dynos"]}
    assert rows["run.1"]["pid"] == pid
    assert rows["run.1"]["port"] != rows["worker.1"]["port"]
    assert os.path.exists(f"/proc/{pid}")
    client.socket.sendall(b"\n")
    read_all(client)
