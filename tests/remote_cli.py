"""Command lines to a server, for tests: the real API over HTTP; behind it a runtime that runs nothing."""

import sys

import pytest

from procman.cli.main import dispatch
from procman.core.records import Slug
from procman.store import tables
from tests.git_server import Threaded
from tests.server_fakes import Platform

PROCMAN = (sys.executable, "-m", "procman")


@pytest.fixture(name="shared", scope="module")
def make_shared(tmp_path_factory):
    platform = Platform(tmp_path_factory.mktemp("data"))
    server = Threaded(platform.api, host="127.0.0.1", port=0)
    platform.url = f"http://127.0.0.1:{server.port}"
    platform.host.settings = platform.host.settings._replace(api_url=platform.url, git_host="127.0.0.1:5001")
    yield platform
    server.close()
    platform.db.close()


@pytest.fixture(name="cli")
def make_cli(shared, monkeypatch, tmp_path, capfdbinary):
    """Type a command line; its status, and what it printed."""
    monkeypatch.chdir(tmp_path)
    for name in ("HEROKU_APP", "HEROKU_GIT_HOST", "PROCMAN_DATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("HEROKU_HOST", shared.url)
    monkeypatch.setenv("HEROKU_API_KEY", shared.key)

    def run(*words, status=0):
        capfdbinary.readouterr()
        found = dispatch(list(words))
        out, err = (text.decode() for text in capfdbinary.readouterr())
        assert found == status, out + err
        return out + err

    run.set = monkeypatch.setenv
    return run


@pytest.fixture(name="demo")
def make_demo(cli, shared):
    """An app with code, removed afterwards."""
    cli("apps:create", "demo")
    app = shared.db.call(lambda tx: tables.apps.get(tx, name="demo"))
    slug = Slug(
        shared.host.new_id(), app.id, "ready", {"web": "serve", "worker": "work"}, "1a2b3c4d5e", None, None, 1 << 20,
        "heroku-24", "Python", {}, shared.now(), shared.now(),
    )
    shared.db.call(lambda tx: tables.slugs.insert(tx, slug))
    from procman.cli.remote.target import server

    server().call("POST", "/apps/demo/releases", {"slug": slug.id})
    cli("ps:wait", "-a", "demo")
    yield "demo"
    cli("destroy", "demo", "--confirm", "demo")
