"""The verbs that speak to a server: which side they speak to, apps, dynos, and refusals."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from procman.cli.options import VERBS, read_fast
from procman.cli.remote.logs import wanted
from procman.cli.remote.sides import chosen
from procman.cli.remote.verbs import ALIASES, BOTH, REMOTE_VERBS, SIDES, Side
from procman.errors import UsageError
from tests.remote_cli import PROCMAN, make_cli, make_demo, make_shared  # noqa: F401 - fixtures


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
