"""Dynos that are waited for, releases and builds of an app on a server."""

import re

from procman.core.records import Build
from procman.store import tables
from tests.remote_cli import make_cli, make_demo, make_shared  # noqa: F401 - fixtures


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
    shared.db.call(lambda tx: tables.releases.update(tx, newer.id, status="failed", reason="nobody came"))
    text = cli("ps:wait", "-a", demo, status=1)
    assert "cannot wait for v4: it failed: nobody came\n  hint: procman logs -a demo" in text
    assert "Status:  failed: nobody came\n" in cli("releases:info", "-a", demo, "v4")
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
