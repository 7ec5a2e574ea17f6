"""Apps, config vars, releases and formation through the API, over a runtime that runs nothing."""

import asyncio
import os

import pytest

from procman.core.records import Slug
from procman.runtimes.base import RolloutFailed
from procman.store import tables
from tests.server_fakes import Platform


@pytest.fixture
def play(tmp_path):
    """Run a scenario ``async def (platform, client)``."""

    def run(scenario, **settings):
        async def whole():
            platform = Platform(tmp_path / "data", **settings)
            try:
                async with platform.client() as client:
                    await asyncio.wait_for(scenario(platform, client), 60)
            finally:
                await platform.close()

        asyncio.run(whole())

    return run


async def make_app(platform, client, name="demo", **types):
    """An app; with ``types`` one that has a slug of them, released."""
    app = (await client.post("/apps", json={"name": name})).json()
    if types:
        await release_slug(platform, client, app, **types)
    return app


async def release_slug(platform, client, app, **types):
    slug = Slug(
        platform.host.new_id(), app["id"], "ready", types, "1a2b3c4d5e6f", None, None, 1000, "heroku-24", "Python", {},
        platform.now(), platform.now(),
    )
    await platform.db.run(lambda tx: tables.slugs.insert(tx, slug))
    answer = await client.post(f"/apps/{app['name']}/releases", json={"slug": slug.id})
    assert answer.status_code == 201, answer.text
    await platform.host.rollouts.settled(app["id"])
    return answer.json()


def test_a_new_app_has_two_releases_and_its_first_deploy_is_v3(play):
    async def scenario(platform, client):
        app = await make_app(platform, client, web="serve", worker="work")
        releases = (await client.get("/apps/demo/releases")).json()
        assert [(r["version"], r["description"], r["status"], r["current"]) for r in releases] == [
            (1, "Initial release", "succeeded", False),
            (2, "Enable Logplex", "succeeded", False),
            (3, "Deploy 1a2b3c4d", "succeeded", True),
        ]
        assert platform.log.lines[app["id"]] == [
            "app[api]: Initial release by user dev@example.com",
            "app[api]: Release v1 created by user dev@example.com",
            "app[api]: Enable Logplex by user dev@example.com",
            "app[api]: Release v2 created by user dev@example.com",
            "app[api]: Deploy 1a2b3c4d by user dev@example.com",
            "app[api]: Release v3 created by user dev@example.com",
            "app[api]: Scaled to web@1:Basic worker@0:Basic by user dev@example.com",
        ]
        dynos = (await client.get("/apps/demo/dynos")).json()
        assert [(d["name"], d["state"], d["release"]["version"]) for d in dynos] == [("web.1", "up", 3)]

    play(scenario)


def test_config_changes_are_releases_and_the_same_value_is_none(play):
    async def scenario(platform, client):
        await make_app(platform, client, web="serve")
        answer = await client.patch("/apps/demo/config-vars", json={"A": "1", "B": "two"})
        assert answer.json() == {"A": "1", "B": "two"}
        again = await client.patch("/apps/demo/config-vars", json={"A": "1"})
        assert again.json() == {"A": "1", "B": "two"}
        gone = await client.patch("/apps/demo/config-vars", json={"A": None})
        assert gone.json() == {"B": "two"}
        headers = {"Range": "version ..; max=2, order=desc"}
        answer = await client.get("/apps/demo/releases", headers=headers)
        assert answer.status_code == 206
        assert answer.headers["Next-Range"] == "version ]4..; max=2, order=desc"
        assert [r["description"] for r in answer.json()] == ["Remove A config vars", "Set A, B config vars"]
        config = (await client.get("/apps/demo/releases/v4/config-vars")).json()
        assert config == {"A": "1", "B": "two"}

    play(scenario)


def test_rollback_brings_back_slug_and_config_vars_as_a_new_release(play):
    async def scenario(platform, client):
        app = await make_app(platform, client, web="serve")
        await client.patch("/apps/demo/config-vars", json={"A": "1"})
        await release_slug(platform, client, app, web="other")
        answer = await client.post("/apps/demo/releases", json={"release": "v3"})
        assert (answer.json()["version"], answer.json()["description"]) == (6, "Rollback to v3")
        await platform.host.rollouts.settled(app["id"])
        assert (await client.get("/apps/demo/config-vars")).json() == {}
        assert platform.runtime.plans[app["id"]].types["web"].command == "serve"
        refused = await client.post("/apps/demo/releases", json={"release": "v1"})
        assert refused.status_code == 422
        assert refused.json()["message"] == "Cannot roll back to v1: it has no slug."

    play(scenario)


def test_scaling_takes_signs_and_makes_no_release(play):
    async def scenario(platform, client):
        app = await make_app(platform, client, web="serve", worker="work")
        updates = [{"type": "web", "quantity": "+2"}, {"type": "worker", "quantity": "1", "size": "standard-2x"}]
        answer = await client.patch("/apps/demo/formation", json={"updates": updates})
        assert [(f["type"], f["quantity"], f["size"]) for f in answer.json()] == [
            ("web", 3, "Basic"),
            ("worker", 1, "Standard-2X"),
        ]
        await platform.host.rollouts.settled(app["id"])
        assert len((await client.get("/apps/demo/dynos")).json()) == 4
        assert len((await client.get("/apps/demo/releases")).json()) == 3
        await make_app(platform, client, "phased", release="migrate")
        phase = await client.patch("/apps/phased/formation", json={"updates": [{"type": "release", "quantity": "1"}]})
        assert phase.json()["message"].startswith("Quantity of release cannot be 1: it runs by itself")
        unknown = await client.patch("/apps/demo/formation", json={"updates": [{"type": "foo", "quantity": "1"}]})
        assert (unknown.status_code, unknown.json()["id"]) == (404, "not_found")

    play(scenario)


def test_names_that_no_app_can_have_are_refused_with_what_is_wanted(play):
    async def scenario(platform, client):
        for name, words in (
            ("ab", "Name is too short (minimum is 3 characters)"),
            ("a" * 31, "Name is too long (maximum is 30 characters)"),
            ("1abc", "Name must start with a letter"),
        ):
            refused = await client.post("/apps", json={"name": name})
            assert (refused.status_code, refused.json()["message"].startswith(words)) == (422, True), name

    play(scenario)


def test_a_release_that_does_not_come_up_leaves_the_old_one_current(play):
    async def scenario(platform, client):
        app = await make_app(platform, client, web="serve")
        why = "web.1 did not come up: exited with status 1"
        platform.runtime.failing["web"] = RolloutFailed(why, "web.1", ["boom"])
        release = await release_slug(platform, client, app, web="broken")
        shown = (await client.get(f"/apps/demo/releases/{release['id']}")).json()
        assert (shown["status"], shown["current"]) == ("failed", False)
        current = (await client.get("/apps/demo/releases/3")).json()
        assert current["current"]
        assert platform.runtime.plans[app["id"]].version == 3
        assert f"app[api]: Release v4 failed: {why}" in platform.log.lines[app["id"]]

    play(scenario)


def test_a_newer_release_overtakes_one_that_is_being_rolled_out(play):
    async def scenario(platform, client):
        app = await make_app(platform, client, web="serve")
        platform.runtime.gate = asyncio.Event()
        await client.patch("/apps/demo/config-vars", json={"A": "1"})
        await platform.runtime.until_called("apply", 2)
        await client.patch("/apps/demo/config-vars", json={"A": "2"})
        await platform.runtime.until_called("abandon", 2)
        platform.runtime.gate.set()
        await platform.host.rollouts.settled(app["id"])
        statuses = [r["status"] for r in (await client.get("/apps/demo/releases")).json()]
        assert statuses[-2:] == ["expired", "succeeded"]
        assert platform.runtime.plans[app["id"]].env["A"] == "2"

    play(scenario)


def test_a_release_whose_command_runs_cannot_be_overtaken_and_one_whose_command_has_ended_can(play):
    async def scenario(platform, client):
        app = await make_app(platform, client, web="serve", release="migrate")
        ended = asyncio.Event()

        async def run_on(app_id, name):
            platform.runtime.note("wait")
            await ended.wait()
            return 0

        platform.runtime.wait_one_off, platform.runtime.gate = run_on, asyncio.Event()
        await client.patch("/apps/demo/config-vars", json={"A": "1"})
        await platform.runtime.until_called("wait")
        refused = await client.patch("/apps/demo/config-vars", json={"A": "2"})
        assert (refused.status_code, refused.json()) == (
            409,
            {"id": "conflict", "message": "Release v4 is running its release command. Try again when it has ended."},
        )
        ended.set()
        await platform.runtime.until_called("apply", 2)
        assert (await client.post("/apps/demo/releases", json={"release": "v3"})).status_code == 201
        await platform.runtime.until_called("abandon", 2)
        platform.runtime.gate.set()
        await platform.host.rollouts.settled(app["id"])
        statuses = [(r["status"], r["reason"]) for r in (await client.get("/apps/demo/releases")).json()]
        assert statuses[-2:] == [("expired", "overtaken by v5"), ("succeeded", None)]

    play(scenario)


def test_a_failing_release_command_uses_the_number_up(play):
    async def scenario(platform, client):
        app = await make_app(platform, client, web="serve")
        platform.runtime.release_status, platform.runtime.release_output = 3, b"migrating\nno way"
        release = await release_slug(platform, client, app, web="serve", release="migrate")
        shown = (await client.get(f"/apps/demo/releases/{release['id']}")).json()
        assert (shown["status"], shown["reason"]) == ("failed", "its release command exited with status 3")
        output = await client.get(shown["output_stream_url"], headers={"Authorization": ""})
        assert output.text == "migrating\nno way"
        lines = platform.log.lines[app["id"]]
        assert "app[api]: Running release v4 commands by user dev@example.com" in lines
        assert "app[api]: Release v4 command failed by user dev@example.com" in lines
        assert [line.split(": ")[1] for line in lines if line.startswith("app[release.")] == ["migrating", "no way"]

    play(scenario)


def test_strangers_see_nothing_and_nobody_gets_in_without_a_key(play):
    async def scenario(platform, client):
        await make_app(platform, client, web="serve")
        _, key = platform.user("stranger@example.com")
        async with platform.client(key) as stranger:
            answer = await stranger.get("/apps/demo")
            assert (answer.status_code, answer.json()) == (
                404,
                {"id": "not_found", "message": "Couldn't find that app.", "resource": "app"},
            )
        async with platform.client("wrong") as nobody:
            answer = await nobody.get("/apps/demo")
            assert (answer.status_code, answer.json()["id"]) == (401, "unauthorized")

    play(scenario)


def test_what_has_run_before_is_not_watched_for_long(play):
    async def scenario(platform, client):
        app = await make_app(platform, client, web="serve", worker="work")
        steady = []
        apply = platform.runtime.apply

        async def note(plan, *more):
            steady.append(plan.steady_s)
            await apply(plan, *more)

        platform.runtime.apply = note
        await client.patch("/apps/demo/config-vars", json={"A": "1"})
        await platform.host.rollouts.settled(app["id"])
        await client.post("/apps/demo/releases", json={"release": "v3"})
        await platform.host.rollouts.settled(app["id"])
        assert steady == [5.0, 1.0]

    play(scenario)


def test_who_waits_for_a_release_of_an_app_that_goes_is_not_left_waiting(play):
    async def scenario(platform, client):
        app = await make_app(platform, client, web="serve")
        platform.runtime.gate = asyncio.Event()
        await client.patch("/apps/demo/config-vars", json={"A": "1"})
        release = await platform.db.run(lambda tx: tables.releases.get(tx, app_id=app["id"], version=4))
        waiting = asyncio.create_task(platform.host.rollouts.wait(release))
        assert (await client.delete("/apps/demo")).status_code == 200
        assert (await waiting).status == "failed"

    play(scenario)


def test_old_outputs_go(play):
    async def scenario(platform, client):
        outputs = platform.host.rollouts.outputs
        for name, age in (("old", 100), ("new", 1)):
            path = platform.layout.output(name)
            with open(path, "w") as file:
                file.write("words")
            os.utime(path, (1_000_000 - age, 1_000_000 - age))
        outputs.prune(1_000_000 - 50)
        assert os.listdir(platform.layout.path("output")) == ["new"]

    play(scenario)
