"""Which formation a command means, who runs it, and what a killed one leaves."""

import errno
import json
import os
import re
import signal

import pytest

from procman.cli.target import absence
from procman.supervisor.home import Home
from tests.formations import TWO, begin, pids, rows, socket_of
from tests.harness import free_port
from tests.proc import is_alive


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


def test_no_name_is_no_formation(workshop):
    workshop.procfile(TWO)
    for verb in ("ps", "start"):
        refused = workshop.call(verb, "--name", "")
        assert (refused.returncode, "cannot use --name: '' is no name" in refused.stderr) == (2, True)


def test_hints_name_the_formation_as_it_was_named(workshop):
    workshop.procfile(TWO)
    assert "hint: procman start --name one, or procman list for" in workshop.call("ps", "--name", "one").stderr
    running = begin(workshop, TWO, "--name", "one", "-x", "web", dynos=1)
    for verb in ("restart", "stop", "kill"):
        assert "hint: procman start web --name one\n" in workshop.call(verb, "web", "--name", "one").stderr
    refused = workshop.call("attach", "worker", "--name", "one")
    assert "hint: start the formation with procman start --tty --name one\n" in refused.stderr
    running.finish(signal.SIGKILL)
    hint = "hint: procman start --detach{0}, to go on with what it left, or procman start{0}, to begin anew\n"
    for verb in (["ps"], ["shutdown"], ["logs", "-t"], ["attach", "worker"], ["run", "true"]):
        refused = workshop.call(verb[0], "--name", "one", *verb[1:])
        assert (refused.returncode, hint.format(" --name one") in refused.stderr) == (3, True)
    home = workshop.directory / ".local/state/procman/apps/one"
    (home / "forever.json").write_text("{}")
    assert "hint: procman forever start, with its script" in workshop.call("ps", "--name", "one").stderr


def test_formations_are_found_by_name_socket_and_directory(workshop):
    workshop.procfile(TWO)
    one, two = workshop.start("--name", "one"), workshop.start("--name", "two", "-p", str(free_port()))
    for running in (one, two):
        running.wait_for("ready")
    apps = workshop.directory / ".local/state/procman/apps"
    assert json.loads(workshop.call("ps", "--json", "--name", "one").stdout)["pid"] == one.pid
    by_socket = workshop.call("ps", "--json", "--socket", str(apps / "two/control.sock"))
    assert json.loads(by_socket.stdout)["pid"] == two.pid
    assert workshop.call("ps", "--name", "three").returncode == 3
    assert workshop.call("ps").returncode == 3
    (workshop.directory / ".procman.toml").write_text('name = "two"\n')
    assert json.loads(workshop.call("ps", "--json").stdout)["pid"] == two.pid
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
        assert re.search(r"hint: procman logs -t --name (\S+), or procman shutdown --name \1; a second one", errors)
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


def test_a_supervisor_without_its_socket_is_told_from_none(workshop):
    running = begin(workshop, TWO)
    os.unlink(socket_of(workshop))
    for verb in ("ps", "shutdown"):
        refused = workshop.call(verb)
        assert f"it runs (pid {running.pid}), but its socket is gone, or not there yet\n" in refused.stderr
        assert (refused.returncode, f"hint: kill {running.pid}, if it stays so" in refused.stderr) == (3, True)
    running.finish(signal.SIGTERM)
    assert "is not running" in workshop.call("ps").stderr


def test_the_socket_of_another_user_is_not_called_dead(tmp_path):
    told = absence(Home(str(tmp_path), "shop"), "/run/theirs/control.sock", errno.EACCES)
    assert (told.exit_code, told.what) == (
        1,
        "cannot reach /run/theirs/control.sock: permission denied: it is another user's",
    )


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
