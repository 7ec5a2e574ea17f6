"""The verbs that speak to a server, against the real API over HTTP; behind it a runtime that runs nothing."""

import json
import os
import re
import socket
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from procman.cli.main import dispatch
from procman.cli.options import VERBS, read_fast
from procman.cli.remote.logs import wanted
from procman.cli.remote.sides import chosen
from procman.cli.remote.verbs import ALIASES, BOTH, REMOTE_VERBS, SIDES, Side
from procman.core.records import Build, Slug
from procman.errors import UsageError
from procman.store import tables
from tests.api_cases import certificate
from tests.git_server import Threaded
from tests.server_fakes import Platform

PROCMAN = (sys.executable, "-m", "procman")


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    platform = Platform(tmp_path_factory.mktemp("data"))
    server = Threaded(platform.api, host="127.0.0.1", port=0)
    platform.url = f"http://127.0.0.1:{server.port}"
    platform.host.settings = platform.host.settings._replace(api_url=platform.url, git_host="127.0.0.1:5001")
    yield platform
    server.close()
    platform.db.close()


@pytest.fixture
def cli(shared, monkeypatch, tmp_path, capfdbinary):
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


@pytest.fixture
def demo(cli, shared):
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


def test_create_prints_what_heroku_prints_and_makes_the_remote(cli, tmp_path):
    subprocess.run(["git", "init", "--quiet", "."], check=True)
    assert cli("create", "shop") == (
        "Creating shop... done\nhttp://shop.localhost:5080/ | https://127.0.0.1:5001/shop.git\n"
    )
    assert subprocess.check_output(["git", "remote", "get-url", "heroku"], text=True).strip().endswith("/shop.git")
    cli.set("HEROKU_GIT_HOST", "127.0.0.1:5001")
    assert "=== shop\n" in cli("apps:info")
    assert "Renaming shop to mall... done" in cli("rename", "mall")
    assert "=== mall\n" in cli("info")
    assert cli("apps") == "mall\n"
    assert "not confirmed" in cli("destroy", "-a", "mall", "--confirm", "shop", status=1)
    assert cli("destroy", "-a", "mall", "--confirm", "mall") == "Destroying mall... done\n"


def test_git_remotes_follow_their_app_alone(cli):
    def remotes():
        said = subprocess.check_output(["git", "remote", "-v"], text=True)
        return dict(re.findall(r"(\S+)\t(\S+) \(push\)", said))

    subprocess.run(["git", "init", "--quiet", "."], check=True)
    github, ours = "git@github.com:ann/shop.git", "https://127.0.0.1:5001/"
    subprocess.run(["git", "remote", "add", "origin", github], check=True)
    cli("create", "shop")
    told = cli("create", "other")
    assert "the git remote heroku leads elsewhere, and stays so\n  hint: procman git:remote -a other" in told
    cli("create", "third", "--remote", "staging")
    assert remotes() == {"origin": github, "heroku": f"{ours}shop.git", "staging": f"{ours}third.git"}
    cli("rename", "-a", "shop", "mall")
    assert remotes() == {"origin": github, "heroku": f"{ours}mall.git", "staging": f"{ours}third.git"}
    for app in ("mall", "other", "third"):
        cli("destroy", "-a", app, "--confirm", app)
    assert remotes() == {"origin": github}


def test_config_vars_are_set_shown_and_removed(cli, demo):
    assert cli("config:set", "-a", demo, "A=1", "B=two words") == (
        "Setting A, B and restarting demo... done, v4\nv4 comes up now: procman ps:wait -a demo\n"
    )
    assert cli("config:get", "-a", demo, "B") == "two words\n"
    assert cli("config", "-a", demo) == "=== demo Config Vars\nA:  1\nB:  two words\n"
    assert cli("config", "-a", demo, "-s") == "A=1\nB='two words'\n"
    assert json.loads(cli("config", "-a", demo, "--json")) == {"A": "1", "B": "two words"}
    assert cli("config:unset", "-a", demo, "A").startswith("Unsetting A and restarting demo... done, v5\n")
    assert cli("config:unset", "-a", demo, "NOPE") == "Nothing changed on demo: NOPE not set.\n"
    assert cli("config:set", "-a", demo, "B=two words") == "Nothing changed on demo: B as before.\n"
    assert cli("config:get", "-a", demo, "A", status=1) == ""
    refused = cli("config:set", "-a", demo, "secret-without-equals", status=2)
    assert "KEY=VALUE is wanted" in refused


@pytest.fixture
def editor(cli, tmp_path):
    """An editor that is the rest of a shell script; its file's name is in ``edited`` afterwards."""

    def write(script):
        path = tmp_path / "editor"
        path.write_text(f'#!/bin/sh\necho "$1" > {tmp_path}/edited\n{script}\n')
        path.chmod(0o755)
        cli.set("VISUAL", str(path))

    write.file = lambda: Path((tmp_path / "edited").read_text().strip())
    return write


def test_config_edit_changes_what_the_editor_changed(cli, demo, editor):
    cli("config:set", "-a", demo, "A=1", "B=2")
    editor('printf "A=1\\nC=3\\n" > "$1"')
    assert cli("config:edit", "-a", demo).startswith("Setting C, unsetting B and restarting demo... done, v5\n")
    assert json.loads(cli("config", "-a", demo, "--json")) == {"A": "1", "C": "3"}
    assert not editor.file().exists()
    editor("true")
    assert cli("config:edit", "-a", demo) == "Nothing changed.\n"


def test_config_edit_keeps_what_was_typed_when_it_cannot_be_used(cli, demo, editor):
    cli("config:set", "-a", demo, "A=1")
    editor('printf "A=1\\nB 2\\n" > "$1"')
    text = cli("config:edit", "-a", demo, status=1)
    assert ".env:2: error: no '='" in text and f"hint: what was typed is in {editor.file()}" in text
    assert editor.file().read_text() == "A=1\nB 2\n" and editor.file().stat().st_mode & 0o777 == 0o600
    editor.file().unlink()
    editor('echo HEROKU_X=1 >> "$1"')
    assert "HEROKU_ is the platform's" in cli("config:edit", "-a", demo, status=1)
    editor.file().unlink()


def test_config_edit_removes_nothing_by_an_empty_file_or_an_editor_that_fails(cli, demo, editor):
    cli("config:set", "-a", demo, "A=1")
    editor(': > "$1"')
    text = cli("config:edit", "-a", demo, status=1)
    assert "the editor left nothing\n  hint: procman config:unset -a demo A" in text
    editor("exit 5")
    assert "ended with status 5" in cli("config:edit", "-a", demo, status=1)
    assert not editor.file().exists()
    for missing in ("no-such-editor -f", "'"):
        cli.set("VISUAL", missing)
        assert f"cannot start the editor '{missing}': No " in cli("config:edit", "-a", demo, status=1)
    assert cli("config:get", "-a", demo, "A") == "1\n"


@pytest.mark.parametrize("signal", ["TERM", "HUP"])
def test_config_edit_that_is_ended_leaves_no_file(cli, demo, editor, signal):
    editor(f"kill -{signal} $PPID\nexec sleep 1000")
    ended = subprocess.run([*PROCMAN, "config:edit", "-a", demo], check=False)
    assert ended.returncode in (128 + 15, 128 + 1) and not editor.file().exists()


def test_dynos_are_shown_scaled_sized_and_restarted(cli, demo, shared):
    for verb in ("ps:scale", "scale"):
        assert cli(verb, "-a", demo) == "web=1:Basic worker=0:Basic\n"
    assert "must be a number of 6 digits at most" in cli("ps:scale", "-a", demo, "web=99999999999999999999", status=1)
    text = cli("scale", "-a", demo, "web=2", "worker+1:standard-2x")
    assert text == "Scaling dynos... done, now running web at 2:Basic, worker at 1:Standard-2X\n"
    cli("ps:wait", "-a", demo)
    cli.set("HEROKU_APP", demo)
    shown = cli("ps")
    assert "=== web (Basic): serve (2)\nweb.1: up " in shown
    assert "=== worker (Standard-2X): work (1)\nworker.1: up " in shown
    assert "Standard-1X" in cli("ps:type", "web=standard-1x")
    how = "How it goes: procman logs -a demo --tail\n"
    assert cli("restart", "web.1") == f"Restarting web.1 on demo... begun\n{how}"
    assert cli("ps:restart") == f"Restarting all dynos on demo... begun\n{how}"
    assert ("restart", ("web.1",)) in shared.runtime.calls
    assert cli("ps:stop", "-p", "worker") == "Stopping worker on demo... done\n"
    assert ("stop", "worker.1") in shared.runtime.calls
    assert "Couldn't find that process type (foo)." in cli("scale", "foo=1", status=1)
    assert "TYPE=N is wanted" in cli("scale", "web", status=2)


def test_an_app_is_transferred_and_hints_are_of_our_verbs(cli, demo, shared):
    cli("users:add", "bob@example.com")
    assert "There is no user x@example.com" in cli("apps:transfer", "-a", demo, "x@example.com", status=1)
    text = cli("apps:transfer", "-a", demo, "bob@example.com")
    assert text == "Transferring demo to bob@example.com... done\n"
    text = cli("users:remove", "bob@example.com", status=1)
    assert "bob@example.com owns demo: procman apps:transfer -a demo\n" in text
    hint = "comes with the app and cannot be changed: procman apps:rename"
    assert hint in cli("domains:remove", "-a", demo, "demo.localhost", status=1)
    cli("apps:transfer", "-a", demo, "dev@example.com")
    cli("access:remove", "-a", demo, "bob@example.com")
    cli("users:remove", "bob@example.com")


def test_where_an_app_is_served_is_only_printed_where_no_browser_can_open(cli, demo, monkeypatch, tmp_path):
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "lynx").write_text(f"#!/bin/sh\necho opened > {tmp_path}/opened\n")
    (tmp_path / "lynx").chmod(0o755)
    env = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "BROWSER": str(tmp_path / "lynx")}
    printed = subprocess.run([*PROCMAN, "open", "-a", demo], env=env, capture_output=True, text=True, check=True)
    assert printed.stdout == "http://demo.localhost:5080/\n" and not (tmp_path / "opened").exists()


def test_what_is_no_dyno_and_no_type_of_the_app_is_refused(cli, demo):
    assert "cannot show nope: demo has no such dyno" in cli("ps", "-a", demo, "web", "nope", status=1)
    assert cli("ps", "-a", demo, "worker") == "No dynos on demo\n"
    assert "cannot wait for nope: demo has no such dyno" in cli("ps:wait", "-a", demo, "-p", "nope", status=1)
    assert cli("ps:wait", "-a", demo, "-p", "web") == "All web dynos of demo are up, v3\n"


def test_a_wait_ends_when_what_it_waits_for_cannot_come_true(cli, demo, shared):
    shared.runtime.crashed["web.1"] = "Process exited with status 3"
    try:
        text = cli("ps:wait", "-a", demo, status=1)
        assert "cannot wait for web.1: it crashed (Process exited with status 3)\n" in text
        assert "hint: procman logs -a demo web.1" in text
    finally:
        shared.runtime.crashed.clear()
    app = shared.db.call(lambda tx: tables.apps.get(tx, name=demo))
    current = shared.db.call(lambda tx: tables.releases.get(tx, id=app.release_id))
    newer = current._replace(id=shared.host.new_id(), version=4, status="pending", description="Deploy 2b")
    shared.db.call(lambda tx: tables.releases.insert(tx, newer))
    text = cli("ps:wait", "-a", demo, "--wait-timeout", "1ms", status=1)
    assert "cannot wait longer than 1ms for v4: web.1 did not come up by then" in text
    shared.db.call(lambda tx: tables.releases.update(tx, newer.id, status="failed"))
    assert "cannot wait for v4: it failed\n  hint: procman logs -a demo" in cli("ps:wait", "-a", demo, status=1)
    assert cli("releases:retry", "-a", demo).startswith("Retrying v4 on demo... done, v5\n")
    assert "Retry of v4: Deploy 2b" in cli("releases", "-a", demo, "-n", "1")
    cli("ps:wait", "-a", demo)
    assert "cannot retry v5: it did not fail" in cli("releases:retry", "-a", demo, status=1)
    assert "cannot retry v1: it has no code" in cli("releases:retry", "-a", demo, "v1", status=1)


def test_releases_are_listed_and_rolled_back(cli, demo):
    cli("config:set", "-a", demo, "A=1")
    cli("ps:wait", "-a", demo)
    text = cli("releases", "-a", demo, "-n", "2")
    assert text.startswith("=== demo Releases - Current: v4\nv4  Set A config vars")
    assert "A:  1" in cli("releases:info", "-a", demo, "v4")
    assert cli("rollback", "-a", demo) == (
        "Rolling back demo to v3... done, v5\nv5 comes up now: procman ps:wait -a demo\n"
    )
    assert cli("config", "-a", demo, "--json") == "{}\n"
    assert "it has no slug" in cli("rollback", "-a", demo, "v1", status=1)
    assert "had no release command" in cli("releases:output", "-a", demo, "v3", status=1)


def test_a_rollback_goes_behind_the_release_that_runs(cli, demo, shared):
    cli("config:set", "-a", demo, "A=1")
    cli("ps:wait", "-a", demo)
    app = shared.db.call(lambda tx: tables.apps.get(tx, name=demo))
    current = shared.db.call(lambda tx: tables.releases.get(tx, id=app.release_id))
    assert current.version == 4
    later = [
        current._replace(id=shared.host.new_id(), version=version, status=status, description="Later")
        for version, status in [(5, "expired"), (6, "succeeded"), *((number, "failed") for number in range(7, 250))]
    ]
    shared.db.call(lambda tx: [tables.releases.insert(tx, release) for release in later])
    assert cli("rollback", "-a", demo).startswith("Rolling back demo to v3... done, v250\n")
    cli("ps:wait", "-a", demo)
    text = cli("releases", "-a", demo, "-n", "1")
    assert text.startswith("=== demo Releases - Current: v250\n") and text.count("\n") == 2
    text = cli("releases", "-a", demo, "-n", "300")
    assert re.findall(r"^(v[56]) +Later( \(\w+\))?", text, re.MULTILINE) == [("v6", ""), ("v5", " (expired)")]
    assert "a number from 1 is wanted" in cli("releases", "-a", demo, "-n", "0", status=2)


def test_the_current_release_is_named_also_when_it_is_not_shown(cli, demo, shared):
    app = shared.db.call(lambda tx: tables.apps.get(tx, name=demo))
    current = shared.db.call(lambda tx: tables.releases.get(tx, id=app.release_id))
    failed = current._replace(id=shared.host.new_id(), version=current.version + 1, status="failed")
    shared.db.call(lambda tx: tables.releases.insert(tx, failed))
    assert cli("releases", "-a", demo, "-n", "1").startswith("=== demo Releases - Current: v3\nv4 ")
    assert "no earlier release is left" in cli("rollback", "-a", demo, status=1)


def test_builds_are_listed_from_the_newest_however_many_there_are(cli, demo, shared):
    assert f"cannot find a build of {demo}" in cli("builds:info", "-a", demo, status=1)
    app = shared.db.call(lambda tx: tables.apps.get(tx, name=demo))
    rows = [
        Build(
            f"{number:08x}-0000", app.id, shared.owner.id, shared.owner.email, "succeeded", [], {}, None, None,
            app.release_id, number, number,
        )
        for number in range(250)
    ]
    shared.db.call(lambda tx: [tables.builds.insert(tx, row) for row in rows])
    listed = cli("builds", "-a", demo, "-n", "3").splitlines()
    assert [line.split()[0] for line in listed[2:]] == ["000000f9-0000", "000000f8-0000", "000000f7-0000"]
    assert len(cli("builds", "-a", demo, "-n", "240").splitlines()) == 242
    assert re.search("Build 000000f9-0000\n.*Release: +v3\n", cli("builds:info", "-a", demo), re.DOTALL)
    assert "Build 00000001-0000\n" in cli("builds:info", "-a", demo, "00000001")


def test_lists_under_an_app_are_added_to_and_removed_from(cli, demo):
    cli("domains:add", "-a", demo, "www.example.com")
    assert "www.example.com" in cli("domains", "-a", demo)
    cli("domains:remove", "-a", demo, "www.example.com")
    assert "www.example.com" not in cli("domains", "-a", demo)
    cli("drains:add", "-a", demo, "syslog://127.0.0.1:5140")
    assert "syslog://127.0.0.1:5140" in cli("drains", "-a", demo)
    cli("drains:remove", "-a", demo, "syslog://127.0.0.1:5140")
    assert cli("features:enable", "-a", demo, "log-runtime-metrics")
    assert "[+]  log-runtime-metrics" in cli("features", "-a", demo)
    cli("buildpacks:set", "-a", demo, "heroku/python")
    cli("buildpacks:add", "-a", demo, "-i", "1", "heroku/nodejs")
    assert cli("buildpacks", "-a", demo) == "=== demo Buildpacks\n1. heroku/nodejs\n2. heroku/python\n"
    assert "cannot remove nothing" in cli("buildpacks:remove", "-a", demo, status=2)
    cli("buildpacks:remove", "-a", demo, "heroku/nodejs")
    cli("buildpacks:clear", "-a", demo)
    assert "they are detected" in cli("buildpacks", "-a", demo)
    cli("webhooks:add", "-a", demo, "-i", "api:release,api:build", "http://127.0.0.1:9/hook")
    assert "api:release,api:build" in cli("webhooks", "-a", demo)
    cli("webhooks:remove", "-a", demo, "http://127.0.0.1:9/hook")
    assert cli("maintenance:on", "-a", demo) == "Enabling maintenance mode for demo... done\n"
    assert cli("maintenance", "-a", demo) == "on\n"


def test_a_certificate_serves_the_domains_that_it_covers(cli, demo, tmp_path):
    chain, key = certificate(tmp_path, "www.example.com", "*.example.org")
    (tmp_path / "c.pem").write_text(chain)
    (tmp_path / "k.pem").write_text(key)
    cli("domains:add", "-a", demo, "www.example.com", "a.example.org", "a.b.example.org")
    text = cli("certs:add", "-a", demo, "c.pem", "k.pem")
    name = re.match(r"Adding SSL certificate to demo\.\.\. done, (demo-\d+)\n", text)[1]
    served = f"https://{{}} is served with {name}\n"
    assert text.endswith(f"{name}\n{served.format('a.example.org')}{served.format('www.example.com')}")
    listed = re.findall(rf"^(\S+) +custom +{name}$", cli("domains", "-a", demo), re.MULTILINE)
    assert sorted(listed) == ["a.example.org", "www.example.com"]
    assert cli("domains:add", "-a", demo, "B.example.org").endswith(served.format("b.example.org"))
    assert name in cli("domains:update", "-a", demo, "a.b.example.org", "--cert", name)
    assert "cannot update a.b.example.org: Couldn't find that SSL endpoint (nope)." in cli(
        "domains:update", "-a", demo, "a.b.example.org", "--cert", "nope", status=1
    )
    assert "--cert NAME is wanted" in cli("domains:update", "-a", demo, "a.b.example.org", status=2)
    four = "a.b.example.org, a.example.org, b.example.org, www.example.com"
    assert cli("certs:update", "-a", demo, "c.pem", "k.pem").endswith(f"done\nIt serves {four}\n")
    assert four in cli("certs", "-a", demo)
    assert "cannot tell which certificate is meant: demo has" in (
        cli("certs:add", "-a", demo, "c.pem", "k.pem") + cli("certs:update", "-a", demo, "c.pem", "k.pem", status=2)
    )
    cli("certs:update", "-a", demo, "--name", name, "c.pem", "k.pem")


def test_a_certificate_that_covers_no_domain_says_so(cli, demo, tmp_path):
    for file, text in zip(("c.pem", "k.pem"), certificate(tmp_path, "www.example.com"), strict=True):
        (tmp_path / file).write_text(text)
    assert "It covers no domain of demo yet, only www.example.com" in cli("certs:add", "-a", demo, "c.pem", "k.pem")


def test_of_several_words_those_before_a_refused_one_are_told(cli, demo):
    cli("domains:add", "-a", demo, "a.example.com", "b.example.com")
    text = cli("domains:remove", "-a", demo, "b.example.com", "bucher.example", "a.example.com", status=1)
    assert text.startswith("Removing b.example.com from demo... done\nprocman: Couldn't find that domain name (bucher.")
    assert "a.example.com" in cli("domains", "-a", demo)
    text = cli("drains:add", "-a", demo, "https://127.0.0.1:9/", "ftp://x", status=1)
    assert text.startswith("Adding https://127.0.0.1:9/ to demo... done\nprocman: cannot add ftp://x: Url is invalid")
    text = cli("ps:restart", "-a", demo, "web.1", "nope", status=1)
    assert text.startswith("Restarting web.1 on demo... begun\n")
    assert "procman: Couldn't find that process type (nope)." in text


def test_what_a_webhook_signs_with_is_shown_once(cli, demo, shared):
    text = cli("webhooks:add", "-a", demo, "http://127.0.0.1:9/hook")
    app = shared.db.call(lambda tx: tables.apps.get(tx, name=demo))
    rows = shared.db.call(lambda tx: tables.webhooks.find(tx, app_id=app.id))
    assert text == (
        f"Adding http://127.0.0.1:9/hook to demo... done\n=== Webhooks Signing Secret\n{rows[0].secret}\n"
    )
    words = ("-s", "s3cret", "-t", "Bearer x", "--json", "http://127.0.0.1:9/other")
    assert [row["secret"] for row in json.loads(cli("webhooks:add", "-a", demo, *words))] == ["s3cret"]
    rows = shared.db.call(lambda tx: tables.webhooks.find(tx, app_id=app.id))
    assert ("s3cret", "Bearer x") in [(row.secret, row.authorization) for row in rows]
    assert "s3cret" not in cli("webhooks", "-a", demo)


def test_run_detached_asks_for_a_one_off(cli, demo, shared):
    text = cli("run:detached", "-a", demo, "echo", "hello there")
    assert text.startswith('Running echo "hello there" on demo... done, run.')
    assert ("run", 'echo "hello there"') in shared.runtime.calls


JOIN = """
import socket, sys, tty
from procman.cli.remote.run import copy
class Peer(socket.socket):
    pending = lambda self: 0
tty.setraw(0)
print("ready", flush=True)
sys.exit(copy(Peer(fileno=int(sys.argv[1])), sys.argv[2] == "-x") or 0)
"""


@pytest.mark.parametrize(("flag", "status"), [("-x", 130), ("", 0)])
def test_ctrl_c_that_ends_a_one_off_dyno_is_its_status(flag, status):
    ours, theirs = socket.socketpair()
    master, slave = os.openpty()
    words = [sys.executable, "-c", JOIN, str(theirs.fileno()), flag]
    client = subprocess.Popen(words, stdin=slave, stdout=subprocess.PIPE, pass_fds=[theirs.fileno()])
    theirs.close()
    os.close(slave)
    with client, ours, open(master, "wb", buffering=0) as terminal:
        assert client.stdout.readline() == b"ready\n"
        terminal.write(b"\x03")
        assert ours.recv(10) == b"\x03"
        ours.close()
        assert client.wait(60) == status


@pytest.fixture
def cut(cli):
    """A server whose ``streams`` are cut off; after the last it knows of none. ``asked``: behind which events."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            self.answer(201, b'{"logplex_url": "http://127.0.0.1/streams/word"}')

        def do_GET(self):
            if self.path.endswith("/builds"):
                self.answer(200, b'[{"id": "b1", "output_stream_url": "http://127.0.0.1/outputs/word"}]')
                return
            server.asked.append(self.headers["Last-Event-ID"])
            if not server.streams:
                self.answer(404, b'{"message": "No such session."}')
                return
            if (data := server.streams.pop(0)) is None:  # whole, and empty
                self.answer(200, b"")
                return
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))  # and it hangs up, without the end's mark

        def answer(self, status, data):
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *words):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.streams, server.asked = [], []
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    cli.set("HEROKU_HOST", f"http://127.0.0.1:{server.server_port}")
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_tail_that_is_cut_off_goes_on_behind_its_last_whole_event(cli, cut):
    cut.streams = [b"id: 1~a\ndata: one\ndata: two\n\nid: b\ndata: thr", b": ping\n\nid: c\ndata: three\n\n"]
    text = cli("logs", "-a", "demo", "--tail", status=1)
    assert re.sub(r"127\.0\.0\.1:\d+", "S", text) == (
        "one\ntwo\nthree\n" + "procman: cannot read on: the server at http://S hung up; waiting for it\n" * 2
        + "procman: No such session.\n"
    )
    assert cut.asked == [None, "1~a", "c"]


def test_a_log_without_a_line_of_what_was_asked_says_so(cli, cut):
    cut.streams = [None]
    assert cli("logs", "-a", "demo", "nonsense") == "procman: no line of nonsense is in the log of demo\n"


def test_output_that_is_cut_off_is_no_traceback(cli, cut):
    cut.streams = [b"id: a\ndata: one\n\n", b"-----> Building\n"]
    for words in (["logs", "-a", "demo"], ["builds:output", "-a", "demo"]):
        assert "procman: cannot read on: the server at" in cli(*words, status=3)


def test_output_whose_reader_has_gone_ends_as_by_sigpipe(cli, cut):
    cut.streams = [b"-----> Building\n"]
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "wb") as gone:
        assert subprocess.run([*PROCMAN, "builds:output", "-a", "demo"], stdout=gone, check=False).returncode == 141


@pytest.mark.parametrize(
    ("words", "wish"),
    [
        (["web.1"], {"dyno": "web.1"}),
        (["worker"], {"type": "worker"}),
        (["all"], {}),
        (["-p", "all"], {"type": "all"}),
        (["-p", "web", "-s", "app"], {"type": "web", "source": "app"}),
        (["--follow", "-n", "5"], {"tail": True, "lines": 5}),
    ],
)
def test_logs_ask_for_what_was_named(words, wish):
    told = read_fast("logs", ["-a", "demo", *words])
    assert wanted(told) == {"lines": 100, "tail": False, **wish}


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["web", "worker"], "one dyno or type"),
        (["web", "--dyno", "web.1"], "one dyno or type"),
        (["5"], "procman logs -n 5"),
        (["-d", "web.1"], "-d or --app-root with an app on a server: it means a formation of this host"),
        (["--name", "shop"], "--name with an app on a server"),
    ],
)
def test_logs_of_an_app_refuse_what_means_something_else_here(cli, words, why):
    assert why in cli("logs", "-a", "demo", *words, status=2)


@pytest.mark.parametrize("flag", ["-d", "-f", "--name", "--socket"])
@pytest.mark.parametrize("verb", sorted(BOTH))
def test_no_verb_to_an_app_takes_what_names_a_formation_of_this_host(verb, flag):
    for side in ("-a", "-r"):
        with pytest.raises(UsageError, match=f"cannot use {flag}.* with an app on a server"):
            chosen(verb, read_fast(verb, [side, "demo", flag, "x", "web"]))


@pytest.mark.parametrize("flag", ["-d", "-f", "--name", "--socket"])
@pytest.mark.parametrize("verb", sorted(BOTH))
def test_what_names_a_formation_of_this_host_is_not_asked_of_a_server(verb, flag, monkeypatch):
    monkeypatch.setenv("HEROKU_APP", "demo")
    assert chosen(verb, read_fast(verb, ["web"])) is not None
    assert chosen(verb, read_fast(verb, [flag, "x", "web"])) is None


def test_a_stranger_and_a_missing_server_are_told_so(cli, shared):
    cli.set("HEROKU_API_KEY", "wrong")
    assert 'Invalid credentials provided.\n  hint: eval "$(procman server env)"' in cli("apps", status=1)
    cli.set("HEROKU_HOST", "http://127.0.0.1:9")
    assert "cannot reach the server at http://127.0.0.1:9: Connection refused" in cli("apps", status=3)
    cli.set("HEROKU_HOST", "")
    assert "cannot find a server" in cli("apps", status=3)
    assert "cannot tell which app is meant" in cli("config", status=2)


def test_every_verb_has_a_side_and_only_shared_ones_may_mean_either():
    assert {name for name, side in SIDES.items() if side is Side.SERVER} == {*REMOTE_VERBS, *ALIASES}
    assert {name for name, side in SIDES.items() if side is Side.EITHER} == set(BOTH)
    assert {name for name, side in SIDES.items() if side is not Side.SERVER} == set(VERBS)


def test_every_verb_to_a_server_is_in_the_docs():
    page = (Path(__file__).parent.parent / "docs/client.md").read_text()
    stems = {*REMOTE_VERBS, *ALIASES, *BOTH}
    told = set(re.findall(r"`([a-z:]+)`", page))
    for stem in ("drains", "features", "buildpacks", "access", "webhooks"):
        told |= {name for name in stems if name.startswith(f"{stem}:")}  # "with :add, :remove and the like"
    assert stems <= told


def test_a_verb_of_both_sides_means_this_directory_when_its_formation_runs(cli, demo, tmp_path):
    cli.set("HEROKU_APP", demo)
    assert "=== web (Basic)" in cli("ps")
    (tmp_path / "Procfile").write_text("worker: exec sleep 1000\n")
    cli.set("XDG_STATE_HOME", str(tmp_path / "state"))
    try:
        subprocess.run([*PROCMAN, "start", "--detach"], check=True, capture_output=True)
        assert "exec sleep 1000" in cli("ps")
        assert "=== web (Basic)" in cli("ps", "-a", demo)
    finally:
        subprocess.run([*PROCMAN, "shutdown"], check=True, capture_output=True)
