"""Every verb that looks at a running formation or commands it, from a second process; what it says is then true."""

import json
import os
import pty
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from procman.control.client import Client
from tests.harness import Running, Workshop

POLITE = "exec python $CHILDREN/polite.py"
SLEEP = "echo ready $$; exec sleep 1000"
TWO = f"web: {SLEEP}\nworker: {SLEEP}\n"


def socket_of(workshop: Workshop) -> str:
    (path,) = workshop.directory.glob(".local/state/procman/apps/*/control.sock")
    return str(path)


def rows(workshop: Workshop) -> dict[str, dict]:
    """What `ps` says, by dyno."""
    with Client(socket_of(workshop)) as client:
        return {row["dyno"]: row for row in client.call("ps")["dynos"]}


def states(workshop: Workshop) -> dict[str, str]:
    return {name: row["state"] for name, row in rows(workshop).items()}


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] not in "ZX"
    except OSError:
        return False


def begin(workshop: Workshop, procfile: str, *args: str, dynos: int = 2, **options) -> Running:
    """Start it in the foreground and wait for so many ready dynos. What it prints shows that the socket is open."""
    workshop.procfile(procfile)
    running = workshop.start(*args, **options)
    for _ in range(dynos):
        running.wait_for(r"\| .*ready.*\n")
    return running


def listening(workshop: Workshop) -> None:
    """Write a program that binds `$PORT` at once."""
    (workshop.directory / "web.py").write_text(
        "import os, signal, socket\n"
        "server = socket.create_server(('127.0.0.1', int(os.environ['PORT'])))\n"
        "print('ready', flush=True)\n"
        "signal.pause()\n"
    )


# -- ps --


def test_ps_shows_every_dyno_in_a_table(workshop):
    running = begin(workshop, f"worker: {SLEEP}\nweb: {SLEEP}\nbad: exit 3\n", "--restart", "bad=never")
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
    assert answer["pid"] == str(running.pid)
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


# -- scale --


def test_scale_sets_adds_and_takes_away(workshop):
    running = begin(workshop, f"my-worker: {SLEEP}\nb: {SLEEP}\n", "-m", "b=1")
    before = rows(workshop)["b.1"]["pid"]
    done = workshop.call("scale", "my-worker=3")
    assert (done.stdout, done.returncode) == ("Formation: my-worker=3 b=1\n", 0)
    assert list(rows(workshop)) == ["my-worker.1", "my-worker.2", "my-worker.3", "b.1"]
    gone = rows(workshop)["my-worker.3"]["pid"]
    assert workshop.call("scale", "my-worker-1", "b+1").stdout == "Formation: my-worker=2 b=2\n"
    assert not is_alive(gone)
    assert list(rows(workshop)) == ["my-worker.1", "my-worker.2", "b.1", "b.2"]
    assert rows(workshop)["b.1"]["pid"] == before
    done = workshop.call("scale", "--json", "my-worker=0", "b=0")
    assert json.loads(done.stdout)["formation"] == {"my-worker": 0, "b": 0}
    assert rows(workshop) == {}
    assert workshop.call("ps").stdout.startswith("No dynos")
    assert workshop.call("scale", "b+1").returncode == 0
    assert states(workshop) == {"b.1": "up"}
    running.finish(signal.SIGTERM)


@pytest.mark.parametrize(
    ("word", "status", "why"),
    [
        ("nobody=1", 1, "cannot scale nobody: no such process type"),
        ("web=1001", 1, "over 1000 dynos"),
        ("web=99999999999999999999", 1, "not a number"),
        ("web", 2, "TYPE=N is wanted"),
        ("web=two", 2, "TYPE=N is wanted"),
        ("web=", 2, "TYPE=N is wanted"),
    ],
)
def test_a_scale_that_cannot_be_changes_nothing(workshop, word, status, why):
    running = begin(workshop, TWO)
    before = rows(workshop)
    refused = workshop.call("scale", "worker=3", word)
    assert refused.returncode == status
    assert why in refused.stderr
    assert {name: row["pid"] for name, row in rows(workshop).items()} == {n: r["pid"] for n, r in before.items()}
    running.finish(signal.SIGTERM)


def test_scale_refuses_a_port_that_somebody_holds(workshop, port):
    running = begin(workshop, TWO, "-p", str(port))
    with socket.create_server(("127.0.0.1", port + 1)):
        refused = workshop.call("scale", "web=2")
    assert refused.returncode == 1
    assert f"cannot start web.2: port {port + 1} is taken" in refused.stderr
    assert list(rows(workshop)) == ["web.1", "worker.1"]
    running.finish(signal.SIGTERM)


def test_wait_means_up_and_crashing_is_not(workshop, port):
    listening(workshop)
    web = f"test -e broken && exit 4; exec {sys.executable} web.py"
    running = begin(workshop, f"web: {web}\nworker: test $DYNO = worker.1 || exit 5; {SLEEP}\n", "-p", str(port))
    assert workshop.call("scale", "web=2", "--wait").returncode == 0
    assert states(workshop)["web.2"] == "up"
    (workshop.directory / "broken").touch()
    crashed = workshop.call("scale", "web=3", "--wait")
    assert crashed.returncode == 1
    assert "web.3 did not stay up: exited with status 4" in crashed.stderr
    assert "procman explain web.3" in crashed.stderr
    crashed = workshop.call("restart", "web.1", "--wait")
    assert (crashed.returncode, "web.1 did not stay up: exited with status 4" in crashed.stderr) == (1, True)
    # Types that bind no port are up at once; to be told that they stayed so for a moment is what waiting is for.
    crashed = workshop.call("scale", "worker=2", "--wait")
    assert (crashed.returncode, "worker.2 did not stay up: exited with status 5" in crashed.stderr) == (1, True)
    assert workshop.call("restart", "worker.1", "--wait").returncode == 0
    running.finish(signal.SIGTERM)


# -- restart, stop, start, kill --


def test_restart_replaces_all_or_those_named(workshop):
    running = begin(workshop, TWO, "-m", "worker=2", dynos=3)
    first = {name: row["pid"] for name, row in rows(workshop).items()}
    done = workshop.call("restart", "worker.2", "web")
    assert done.stdout == "Restarted worker.2, web.1\n"
    second = {name: row["pid"] for name, row in rows(workshop).items()}
    assert first["worker.1"] == second["worker.1"]
    assert {first["worker.2"], first["web.1"]}.isdisjoint(second.values())
    assert not is_alive(first["web.1"])
    workshop.call("stop", "web")
    assert workshop.call("restart").stdout == "Restarted worker.1, worker.2\n"
    third = rows(workshop)
    assert third["web.1"]["state"] == "down"
    assert not set(first.values()) & {row["pid"] for row in third.values()}
    assert workshop.call("restart", "web", "--json").returncode == 0
    assert rows(workshop)["web.1"]["state"] == "starting"
    running.finish(signal.SIGTERM)


def test_restart_ends_the_cool_off(workshop):
    workshop.procfile("worker: exit 1\n")
    running = workshop.start("--restart", "heroku")
    running.wait_for("Next try in 10 min")
    workshop.procfile(f"worker: {SLEEP}\n")
    assert workshop.call("reload").returncode == 0
    running.wait_for("ready")
    assert rows(workshop)["worker.1"]["crashes"] == 0
    running.finish(signal.SIGTERM)


def test_stop_and_start_while_the_rest_goes_on(workshop):
    running = begin(workshop, f"a: {POLITE} a\nb: {POLITE} b\n", "-m", "a=2", dynos=3)
    first = rows(workshop)
    assert workshop.call("stop", "a.2", "b").stdout == "Stopped a.2, b.1\n"
    assert states(workshop) == {"a.1": "up", "a.2": "down", "b.1": "down"}
    assert not is_alive(first["a.2"]["pid"])
    assert not is_alive(first["b.1"]["pid"])
    assert running.lines("b.1") == ["b ready"] or running.wait_for("b-term")
    assert workshop.call("stop", "b.1").returncode == 0  # it is stopped: true
    assert workshop.call("scale", "a=3").returncode == 0  # and stays so
    assert states(workshop) == {"a.1": "up", "a.2": "down", "a.3": "up", "b.1": "down"}
    assert "Started b.1 in " in workshop.call("start", "b").stdout
    assert "Started a.2 in " in workshop.call("start", "a.2").stdout
    assert set(states(workshop).values()) == {"up"}
    assert rows(workshop)["a.1"]["pid"] == first["a.1"]["pid"]
    assert "Started a.1, a.2, a.3 in " in workshop.call("start", "a").stdout  # they run: true
    assert rows(workshop)["a.1"]["pid"] == first["a.1"]["pid"]
    assert workshop.call("stop", "nobody").returncode == 1
    assert workshop.call("stop").returncode == 2
    running.finish(signal.SIGTERM)


def test_a_formation_goes_on_when_everything_is_stopped_by_hand(workshop):
    running = begin(workshop, TWO, "--restart", "never")
    assert workshop.call("stop", "web", "worker").returncode == 0
    assert set(states(workshop).values()) == {"down"}
    assert workshop.call("start", "worker").returncode == 0
    assert states(workshop) == {"web.1": "down", "worker.1": "up"}
    running.finish(signal.SIGTERM)


def test_start_of_a_type_that_has_no_dynos_makes_one(workshop):
    running = begin(workshop, f"{TWO}clock: {SLEEP}\n", "-x", "clock")
    assert "Started clock.1 in " in workshop.call("start", "clock").stdout
    assert states(workshop)["clock.1"] == "up"
    refused = workshop.call("start", "clock=2")
    assert refused.returncode == 1
    assert "hint: procman scale clock=2" in refused.stderr
    refused = workshop.call("start", "nobody")
    assert refused.returncode != 0
    assert "nobody" in refused.stderr
    running.finish(signal.SIGTERM)


def test_kill_sends_any_signal_and_nothing_else(workshop):
    trap = "trap 'echo got it' HUP; echo ready; while :; do sleep 1000 & wait; done"
    running = begin(workshop, f"a: {trap}\nb: {SLEEP}\n")
    assert workshop.call("kill", "-s", "HUP", "a.1").stdout == "Sent SIGHUP to a.1\n"
    running.wait_for("got it")
    workshop.call("kill", "-s", "1", "a")
    running.wait_for("got it")
    assert workshop.call("kill", "-s", "sigkill", "b").returncode == 0
    running.wait_for("Process was killed by SIGKILL")
    running.wait_for("ready")
    assert workshop.call("kill", "-s", "nothing", "a").returncode == 2
    workshop.call("stop", "b")
    refused = workshop.call("kill", "b")
    assert (refused.returncode, "none of these dynos runs" in refused.stderr) == (1, True)
    running.finish(signal.SIGTERM)


# -- reload --


def pids(workshop: Workshop) -> dict[str, int]:
    return {name: row["pid"] for name, row in rows(workshop).items()}


def test_reload_changes_what_changed_and_nothing_else(workshop):
    names = ("same", "removed", "changed")
    same, removed, changed = (f"{name}: echo ready {name} $WORD; exec sleep 1000\n" for name in names)
    running = begin(workshop, same + removed + changed, dynos=3)
    before = pids(workshop)
    assert workshop.call("reload").stdout == "Reloaded: nothing started anew, nothing removed\n"
    assert pids(workshop) == before
    workshop.procfile(same + "changed: echo other; exec sleep 1000\nnew: echo new; exec sleep 1000\n")
    assert workshop.call("reload").stdout == "Reloaded: new.1, changed.1 started anew, removed.1 removed\n"
    after = pids(workshop)
    assert list(after) == ["same.1", "changed.1", "new.1"]
    assert after["same.1"] == before["same.1"]
    assert after["changed.1"] != before["changed.1"]
    assert not is_alive(before["removed.1"])
    running.wait_for("other")
    (workshop.directory / ".env").write_text("WORD=hello\n")
    assert workshop.call("reload", "--json").returncode == 0
    running.wait_for("ready same hello")
    assert not set(after.values()) & set(pids(workshop).values())
    running.finish(signal.SIGTERM)


@pytest.mark.parametrize(
    ("name", "text", "where"),
    [
        ("Procfile", f"{TWO}what is this\n", "Procfile:3"),
        ("Procfile", "", "Procfile"),
        (".env", "A=1\nB='unclosed\n", ".env:2"),
        (".procman.toml", "port = 'none'\n", ".procman.toml:1"),
    ],
)
def test_a_broken_file_changes_nothing_and_says_where(workshop, name, text, where):
    running = begin(workshop, TWO)
    before = pids(workshop)
    path = workshop.directory / name
    good = path.read_text() if path.exists() else ""
    path.write_text(text)
    with Client(socket_of(workshop)) as client:
        refused = client.call("reload")
    assert not refused["ok"]
    assert where in refused["error"]
    assert pids(workshop) == before
    path.write_text(good)
    os.kill(before["worker.1"], signal.SIGKILL)
    running.wait_for("ready")
    assert workshop.call("reload").stdout == "Reloaded: nothing started anew, nothing removed\n"
    running.finish(signal.SIGTERM)


def test_a_reload_onto_a_taken_port_changes_nothing(workshop, port):
    running = begin(workshop, f"worker: {SLEEP}\n", "-p", str(port), dynos=1)
    before = pids(workshop)
    workshop.procfile(f"worker: echo other; {SLEEP}\nweb: {SLEEP}\n")
    with socket.create_server(("127.0.0.1", port + 100)):
        refused = workshop.call("reload")
    assert refused.returncode == 1
    assert f"port {port + 100} is taken" in refused.stderr
    assert pids(workshop) == before
    assert rows(workshop)["worker.1"]["command"] == SLEEP
    assert "worker.1, web.1" in workshop.call("reload").stdout.replace("web.1, worker.1", "worker.1, web.1")
    running.finish(signal.SIGTERM)


def test_reload_keeps_what_was_scaled_and_stopped_by_hand(workshop):
    running = begin(workshop, TWO)
    workshop.call("scale", "worker=2")
    workshop.call("stop", "web")
    workshop.procfile(TWO.replace("echo ready", "echo again"))
    assert workshop.call("reload").stdout == "Reloaded: worker.1, worker.2 started anew, nothing removed\n"
    assert states(workshop) == {"web.1": "down", "worker.1": "up", "worker.2": "up"}
    running.finish(signal.SIGTERM)


def test_reload_takes_new_settings_and_works_from_anywhere(workshop, tmp_path_factory):
    running = begin(workshop, TWO, "-t", "77")
    assert states(workshop)["worker.1"] == "up"
    (workshop.directory / ".procman.toml").write_text('restart = "never"\n')
    assert workshop.call("reload").returncode == 0
    assert {row["policy"] for row in rows(workshop).values()} == {"never"}
    running.finish(signal.SIGTERM)


def test_an_app_that_was_started_from_outside_can_be_reloaded(workshop):
    app = workshop.directory / "app"
    app.mkdir()
    (app / "Procfile").write_text(TWO)
    running = workshop.start("-d", "app")
    running.wait_for("ready")
    assert workshop.call("ps", "-d", "app").returncode == 0
    assert workshop.call("ps").returncode == 3
    (app / "Procfile").write_text(f"{TWO}clock: {SLEEP}\n")
    done = workshop.call("reload", "-d", "app")
    assert done.stdout == "Reloaded: clock.1 started anew, nothing removed\n", done.stderr
    running.finish(signal.SIGTERM)


# -- shutdown, and nobody there --


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


@pytest.mark.parametrize(
    "verb",
    [["ps"], ["ps", "--json"], ["scale", "a=1"], ["restart"], ["stop", "a"], ["kill", "a"], ["reload"], ["shutdown"]],
    ids=" ".join,
)
def test_without_a_supervisor_every_verb_exits_with_3_and_a_hint(workshop, verb):
    workshop.procfile("a: true\n")
    refused = workshop.call(*verb)
    assert (refused.returncode, refused.stdout) == (3, "")
    assert "is not running" in refused.stderr
    assert "hint: procman start" in refused.stderr


def test_formations_are_found_by_name_socket_and_directory(workshop):
    workshop.procfile(TWO)
    one, two = workshop.start("--name", "one"), workshop.start("--name", "two", "-p", "45000")
    for running in (one, two):
        running.wait_for("ready")
    apps = workshop.directory / ".local/state/procman/apps"
    assert json.loads(workshop.call("ps", "--json", "--name", "one").stdout)["pid"] == str(one.pid)
    by_socket = workshop.call("ps", "--json", "--socket", str(apps / "two/control.sock"))
    assert json.loads(by_socket.stdout)["pid"] == str(two.pid)
    assert workshop.call("ps", "--name", "three").returncode == 3
    assert workshop.call("ps").returncode == 3
    (workshop.directory / ".procman.toml").write_text('name = "two"\n')
    assert json.loads(workshop.call("ps", "--json").stdout)["pid"] == str(two.pid)
    listed = workshop.call("list").stdout.splitlines()
    assert [line.split()[:2] for line in listed[1:]] == [["one", "running"], ["two", "running"]]
    assert str(workshop.directory) in listed[1]
    assert workshop.call("shutdown", "--name", "one").returncode == 0
    rest = json.loads(workshop.call("list", "--json").stdout)["formations"]
    assert [(row["name"], row["running"], row["pid"]) for row in rest] == [("one", False, None), ("two", True, two.pid)]
    one.finish()
    two.finish(signal.SIGTERM)


def test_list_is_not_held_up_by_a_stopped_supervisor(workshop):
    running = begin(workshop, TWO)
    running.signal(signal.SIGSTOP)
    listed = json.loads(workshop.call("list", "--json").stdout)["formations"]
    assert [(row["running"], row["dynos"]) for row in listed] == [(True, None)]
    running.signal(signal.SIGCONT)
    running.finish(signal.SIGTERM)


# -- who holds it --


def test_two_starts_at_the_same_instant(workshop):
    workshop.procfile("a: echo ready; exec sleep 1000\n")
    for _ in range(3):
        rivals = [workshop.start(), workshop.start()]
        handles = {os.pidfd_open(rival.pid): rival for rival in rivals}
        import select

        (ended, *more), _, _ = select.select(list(handles), [], [], 20)
        assert not more
        loser = handles.pop(ended)
        (winner,) = handles.values()
        assert loser.finish() == 1
        errors = loser.errors()
        assert f"it runs already (pid {winner.pid})" in errors
        assert "--name" in errors
        winner.wait_for("ready")
        assert winner.finish(signal.SIGTERM) == 143
        for handle in (ended, *handles):
            os.close(handle)


def test_a_killed_supervisor_leaves_nothing_that_needs_a_human(workshop):
    running = begin(workshop, TWO)
    before = pids(workshop)
    path = socket_of(workshop)
    running.finish(signal.SIGKILL)
    assert os.path.exists(path)
    assert workshop.call("ps").returncode == 3
    assert json.loads(workshop.call("list", "--json").stdout)["formations"][0]["running"] is False
    second = workshop.start()
    second.wait_for(r"\| ready")
    assert not any(is_alive(pid) for pid in before.values())
    assert rows(workshop)["worker.1"]["state"] == "up"
    second.finish(signal.SIGTERM)
    assert not os.path.exists(path)


def test_a_garbled_lock_file_needs_no_human(workshop):
    workshop.procfile(TWO)
    home = workshop.directory / ".local/state/procman/apps/app"
    home.mkdir(parents=True)
    (home / "lock").write_bytes(b"pid \xff\nstarted soon\nleft\n\0\0\0")
    (home / "control.sock").write_text("no socket")
    (home / "history").write_bytes(b"\xff" * 100)
    assert workshop.call("list").returncode == 0
    assert workshop.call("ps", "--name", "app").returncode == 3
    running = begin(workshop, TWO, "--name", "app")
    assert workshop.call("ps", "--name", "app").returncode == 0
    running.finish(signal.SIGTERM)


# -- detached --


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


def test_a_foreground_start_without_a_socket_stops_what_it_started(workshop):
    workshop.procfile(f"a: {POLITE} a\n")
    (workshop.directory / ".local/state/procman/apps/app/control.sock").mkdir(parents=True)
    running = workshop.start("--name", "app")
    assert running.finish() == 1
    assert "cannot open the control socket" in running.errors()
    assert workshop.processes() == []


def test_a_killed_detached_supervisor_can_be_started_again(workshop):
    workshop.procfile(TWO)
    assert workshop.call("start", "--detach").returncode == 0
    before, pid = pids(workshop), detached_pid(workshop)
    handle = os.pidfd_open(pid)
    os.kill(pid, signal.SIGKILL)
    os.close(handle)
    assert workshop.call("start", "--detach").returncode == 0
    assert not any(is_alive(dyno) for dyno in before.values())
    assert states(workshop)["worker.1"] == "up"
    end(workshop, detached_pid(workshop))
