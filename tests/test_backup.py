"""A server's data as one file: taken while it runs, put back elsewhere, and refused when it is not whole."""

import gzip
import io
import json
import os
import sqlite3
import stat
import tarfile

import httpx
import pytest

from procman.errors import ProcmanError
from procman.platform.layout import Layout
from procman.server.backup import back_up, restore
from procman.store.database import Database
from tests.harness import DEADLINE_S, poll
from tests.platform_server import WEB, PlatformServer


@pytest.fixture
def data(tmp_path):
    """A data directory as a server leaves it, without apps."""
    path = tmp_path / "data"
    layout = Layout(str(path))
    layout.make()
    Database(layout.database).close()
    (path / "owner.key").write_text("a key\n")
    (path / "tls" / "ca.key").write_text("another key\n")
    repository = path / "repos" / "one.git"
    (repository / "objects").mkdir(parents=True)
    (repository / "HEAD").write_text("ref: refs/heads/main\n")
    return path


def serve_elsewhere(workshop, data) -> PlatformServer:
    server = PlatformServer(workshop)
    server.data = data
    server.flags = ("--data", str(data), "--port", str(server.port), "--no-router")
    return server


def page(server: PlatformServer, app: str) -> str:
    (port,) = [env["PORT"] for env in server.roots() if env.get("APP") == app]
    return httpx.get(f"http://127.0.0.1:{port}/index.html", trust_env=False, timeout=DEADLINE_S).text


def test_a_server_goes_on_elsewhere_from_a_backup_taken_while_it_ran(workshop, tmp_path):
    first = PlatformServer(workshop)
    second = serve_elsewhere(workshop, tmp_path / "elsewhere")
    try:
        first.start()
        first.create("demo")
        for words in (b"old\n", b"older than now\n", b"hello\n"):
            first.deploy("demo", {"web": WEB}, {"index.html": words})
        first.wait_for_dynos("demo", web_1="up")
        done = workshop.call("backup", "all.tgz", "--data", str(first.data))
        assert done.returncode == 0, done.stderr
        assert page(first, "demo") == "hello\n"
        key, before = first.key, first.call("GET", "/apps/demo/config-vars")
        assert first.stop() == 0
        first.close()

        done = workshop.call("restore", "all.tgz", "--data", str(second.data))
        assert done.returncode == 0, done.stderr
        second.start()
        second.wait_for_dynos("demo", web_1="up")
        assert page(second, "demo") == "hello\n"
        assert second.key == key
        assert second.call("GET", "/apps/demo/config-vars") == before
        releases = second.call("GET", "/apps/demo/releases")
        back = second.call("POST", "/apps/demo/releases", {"release": releases[-2]["id"]})
        assert second.wait_for_release("demo", back["version"]) == "succeeded"
        poll(lambda: len([env for env in second.roots() if env.get("APP") == "demo"]) == 1)
        second.wait_for_dynos("demo", web_1="up")
        assert page(second, "demo") == "older than now\n"
    finally:
        first.close()
        second.close()


def test_a_backup_is_for_its_owner_alone_and_replaces_nothing(data, tmp_path):
    path = tmp_path / "all.tgz"
    back_up(str(data), str(path))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(ProcmanError, match="it is there already"):
        back_up(str(data), str(path))
    assert not [name for name in os.listdir(tmp_path) if name.startswith(".procman")]


def test_what_is_restored_is_what_was_there(data, tmp_path):
    path, there = tmp_path / "all.tgz", tmp_path / "there"
    back_up(str(data), str(path))
    restore(str(path), str(there))
    for name in ("owner.key", "tls/ca.key", "repos/one.git/HEAD"):
        assert (there / name).read_bytes() == (data / name).read_bytes()
    assert stat.S_IMODE(there.stat().st_mode) == 0o700
    with sqlite3.connect(there / "procman.db") as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_directory_that_holds_something_is_left_alone(data, tmp_path):
    path = tmp_path / "all.tgz"
    back_up(str(data), str(path))
    with pytest.raises(ProcmanError, match="it is not empty"):
        restore(str(path), str(data))
    assert (data / "owner.key").read_text() == "a key\n"


def changed(path, change) -> str:
    """The backup again, each member and its bytes as ``change`` says; None leaves one out."""
    made = path.with_suffix(".changed")
    with tarfile.open(path) as source, tarfile.open(made, "w:gz") as target:
        for member in source:
            file = source.extractfile(member)
            bytes_ = change(member, file.read() if file else b"")
            if bytes_ is not None:
                member.size = len(bytes_)
                target.addfile(member, io.BytesIO(bytes_))
    return str(made)


def damaged(member, bytes_):
    return b"b key\n" if member.name.endswith("owner.key") else bytes_


def without_key(member, bytes_):
    return None if member.name.endswith("owner.key") else bytes_


def without_end(member, bytes_):
    return None if member.name == "checksums.json" else bytes_


def newer(member, bytes_):
    return json.dumps({**json.loads(bytes_), "schema": 9999}).encode() if member.name == "manifest.json" else bytes_


def outside(member, bytes_):
    if member.name.endswith("owner.key"):
        member.name = "data/../../outside"
    return bytes_


def through_a_link(member, bytes_):
    if member.name.endswith("ca.key"):  # which comes after owner.key: the link is there by then
        member.name = "data/owner.key"
    elif member.name.endswith("owner.key"):
        member.type, member.linkname = tarfile.SYMTYPE, "../../outside"
        return b""
    return bytes_


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (damaged, "'owner.key' is damaged"),
        (without_key, "'owner.key' is missing"),
        (without_end, "it is not complete"),
        (newer, "its schema 9999 is newer"),
        (outside, r"'data/\.\./\.\./outside' leads out of the backup"),
        (through_a_link, "'data/owner.key' leads out of the backup"),
    ],
)
def test_a_backup_that_is_not_whole_makes_nothing(data, tmp_path, change, words):
    path, there = tmp_path / "all.tgz", tmp_path / "below" / "there"
    back_up(str(data), str(path))
    with pytest.raises(ProcmanError, match=words):
        restore(changed(path, change), str(there))
    assert os.listdir(tmp_path / "below") == []


@pytest.mark.parametrize("content", [b"", b"words", gzip.compress(b"words", mtime=0)])
def test_what_is_no_backup_is_refused(tmp_path, content):
    path = tmp_path / "words.tgz"
    path.write_bytes(content)
    with pytest.raises(ProcmanError, match="cannot restore"):
        restore(str(path), str(tmp_path / "there"))


def test_a_backup_that_ends_too_soon_is_refused(data, tmp_path):
    path = tmp_path / "all.tgz"
    back_up(str(data), str(path))
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(ProcmanError, match="cannot restore"):
        restore(str(path), str(tmp_path / "there"))


def test_there_has_to_be_a_server_to_back_up(tmp_path):
    with pytest.raises(ProcmanError, match=r"there is no procman\.db"):
        back_up(str(tmp_path), str(tmp_path / "all.tgz"))
