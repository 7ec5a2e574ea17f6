"""A reload changes what has changed in the files, and a mistake in them changes nothing."""

import os
import signal
import socket

import pytest

from procman.control.client import Client
from tests.formations import SLEEP, TWO, begin, listening, pids, rows, socket_of, states
from tests.proc import is_alive


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


def test_a_type_that_is_reloaded_away_keeps_nothing_going(workshop):
    (workshop.directory / "gate").touch()
    workshop.procfile("web: echo ready; exec sleep 1000\njob: while test -e gate; do sleep 0.02; done\n")
    running = workshop.start("--restart", "never")
    running.wait_for("ready")
    workshop.procfile("job: while test -e gate; do sleep 0.02; done\n")
    assert workshop.call("reload").returncode == 0
    (workshop.directory / "gate").unlink()
    assert running.finish(None) == 0
    assert "every dyno has completed" in running.text()


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


def test_a_reload_with_another_base_port_asks_for_the_ports_of_dynos_that_run(workshop, port):
    listening(workshop)
    listen = "exec python web.py"
    (workshop.directory / ".env").write_text(f"PORT={port}\n")
    running = begin(workshop, f"web: {listen}\nworker: {listen}\n")
    before = pids(workshop)
    (workshop.directory / ".env").write_text(f"PORT={port + 300}\n")
    with socket.create_server(("127.0.0.1", port + 300)):
        refused = workshop.call("reload")
    assert refused.returncode == 1
    assert f"cannot start web.1: port {port + 300} is taken by" in refused.stderr
    assert pids(workshop) == before
    assert rows(workshop)["web.1"]["port"] == port
    # The port that another dyno of ours has now comes free.
    (workshop.directory / ".env").write_text(f"PORT={port + 100}\n")
    assert workshop.call("reload", "--wait").returncode == 0
    assert {name: row["port"] for name, row in rows(workshop).items()} == {"web.1": port + 100, "worker.1": port + 200}
    running.finish(signal.SIGTERM)
