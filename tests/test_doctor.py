"""What is wrong with a data directory is named, with what to type; nothing is changed by looking."""

import json
import os
import socket

import pytest

from procman.platform.layout import Layout
from procman.server.doctor import of_data, of_formations, of_git, of_room
from procman.store.database import Database


@pytest.fixture
def layout(tmp_path):
    layout = Layout(str(tmp_path / "data"))
    layout.make()
    Database(layout.database).close()
    return layout


def findings(layout):
    return [(finding.severity, finding.what) for finding in of_data(layout) if "MB are free" not in finding.what]


def test_nothing_is_wrong_with_a_new_one_and_nothing_is_made(layout):
    before = sorted(os.listdir(layout.data))
    assert findings(layout) == []
    assert sorted(os.listdir(layout.data)) == before


@pytest.mark.parametrize(
    ("said", "old"), [("git version 2.34.1", True), ("git version 2.39.5 (Apple Git-154)", False), ("odd", False)]
)
def test_a_git_that_looks_names_up_again(tmp_path, monkeypatch, said, old):
    (tmp_path / "git").write_text(f"#!/bin/sh\necho '{said}'\n")
    (tmp_path / "git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    what = "git is 2.34: before 2.37 it looks up again where buildpacks and submodules are"
    assert [(finding.severity, finding.what) for finding in of_git()] == [("warning", what)] * old


@pytest.mark.parametrize(("free", "severities"), [(1 << 40, []), (900 << 20, ["warning"]), (49 << 20, ["error"])])
def test_a_disk_that_fills_is_a_warning_and_one_without_room_for_a_build_an_error(free, severities):
    assert [finding.severity for finding in of_room(free, "/data")] == severities


def test_a_secret_that_others_may_read(layout):
    os.chmod(layout.database, 0o644)
    assert findings(layout) == [("error", f"{layout.database} is open to others (mode 644)")]


def test_a_database_that_is_none(layout):
    with open(layout.database, "wb") as file:
        file.write(b"words" * 1000)
    assert findings(layout) == [("error", "the database cannot be read: file is not a database")]


def test_a_home_of_no_app(layout):
    os.mkdir(layout.home("gone"))
    assert findings(layout) == [("warning", f"{layout.home('gone')} is of no app that the server knows: a stale home")]


def test_a_port_that_another_has(layout):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with open(layout.path("addresses.json"), "w") as file:
            json.dump({"api": f"http://127.0.0.1:{port}"}, file)
        ((severity, what),) = findings(layout)
    assert severity == "error"
    assert f"port {port} is taken by" in what
    assert f"(pid {os.getpid()})" in what


def test_a_supervisor_that_was_killed(tmp_path):
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "lock").write_text("pid 999999999\nstarted 1\nroot /srv/demo\n")
    (finding,) = of_formations(str(tmp_path))
    assert "the supervisor of demo (pid 999999999) has ended" in finding.what
    assert finding.hint == "procman start, in /srv/demo"


def test_the_verb_ends_with_1_for_an_error(workshop, tmp_path):
    done = workshop.call("doctor", "--json", "--data", str(tmp_path / "none"))
    assert done.returncode == 1, done.stderr
    answer = json.loads(done.stdout)
    assert not answer["ok"]
    assert any("there is no procman.db" in finding["what"] for finding in answer["findings"])
