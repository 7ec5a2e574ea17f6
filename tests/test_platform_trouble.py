"""What goes wrong inside a server, or is tried on it: it is survived, bounded, and said in the API's own shape."""

import asyncio
import sqlite3
from pathlib import Path

import pytest

from procman.errors import ProcmanError
from procman.formats.cron import moment
from procman.platform import rollouts, sources
from procman.platform.deliveries import Deliverer
from procman.platform.outcome import Outcome
from procman.platform.release_phase import ReleasePhase
from procman.platform.schedules import Schedules
from procman.server.apps import clear_up
from procman.server.listeners import Front
from procman.store import tables
from tests.api_cases import make_app, play


def full_once(platform, after=0):
    """The database refuses one transaction, after so many; then it takes them again."""
    run, left = platform.db.run, [after]

    async def refusing(work):
        left[0] -= 1
        if left[0] == -1:
            raise sqlite3.OperationalError("database or disk is full")
        return await run(work)

    platform.db.run = refusing


def test_a_full_disk_does_not_end_the_telling_of_webhooks(tmp_path):
    async def scenario(platform, client):
        deliverer = Deliverer(platform.host, lambda app, changed: {}, (0.01,))
        looked, look = asyncio.Event(), deliverer._look
        loop = asyncio.get_running_loop()

        def noted(tx):
            loop.call_soon_threadsafe(looked.set)
            return look(tx)

        deliverer._look = noted
        full_once(platform, after=1)
        deliverer.start()
        await looked.wait()
        await deliverer.close()

    play(tmp_path, scenario)


def test_a_full_disk_does_not_end_the_scheduler(tmp_path, monkeypatch):
    monkeypatch.setattr("procman.platform.schedules.AGAIN_S", 0.01)

    async def scenario(platform, client):
        app = await make_app(platform, client, web="serve")
        cron = [{"command": "tick", "schedule": "* * * * *"}]

        def put(tx):
            [slug] = tables.slugs.find(tx, app_id=app["id"])
            tables.slugs.update(tx, slug.id, facts={"cron": cron})

        await platform.db.run(put)
        platform.time = moment(2026, 11, 26, 8, 59) + 59.99
        full_once(platform)
        schedules = Schedules(platform.host)
        schedules.start()
        await platform.runtime.until_called("run", "tick")
        await schedules.close()

    play(tmp_path, scenario)


@pytest.mark.parametrize("text", ["version ..; max=²", f"version {'9' * 5000}..", "version ²..3"])
def test_a_range_of_strange_digits_is_refused(tmp_path, text):
    async def scenario(platform, client):
        await make_app(platform, client)
        answer = await client.get("/apps/demo/releases", headers={"Range": text.encode("latin-1")})
        assert (answer.status_code, answer.json()["id"]) == (416, "requested_range_not_satisfiable")

    play(tmp_path, scenario)


NOT_TO_BE_STARTED = ({"command": "a\0b"}, {"env": {"A=B": "1"}}, {"env": {"A": "1\0"}}, {"env": {"": "1"}})


@pytest.mark.parametrize("more", NOT_TO_BE_STARTED)
def test_a_one_off_that_no_kernel_would_start_is_refused(tmp_path, more):
    async def scenario(platform, client):
        await make_app(platform, client, web="serve")
        answer = await client.post("/apps/demo/dynos", json={"command": "ls", **more})
        assert (answer.status_code, answer.json()["id"]) == (422, "invalid_params")

    play(tmp_path, scenario)


def test_what_the_runtime_cannot_do_is_said_to_the_caller(tmp_path):
    async def scenario(platform, client):
        await make_app(platform, client, web="serve")

        async def restart(app_id, words):
            raise ProcmanError("cannot reach the app's supervisor")

        platform.runtime.restart = restart
        answer = await client.delete("/apps/demo/dynos/web.1")
        assert answer.status_code == 503
        assert answer.json() == {"id": "service_unavailable", "message": "cannot reach the app's supervisor"}

    play(tmp_path, scenario)


def test_passwords_tried_all_at_once_are_counted_all(tmp_path):
    async def scenario(platform, client):
        auth = {"auth": ("owner@example.com", "wrong"), "headers": {"Authorization": ""}}
        tries = (client.post("/oauth/authorizations", auth=auth["auth"], json={}) for _ in range(25))
        answers = [answer.status_code for answer in await asyncio.gather(*tries)]
        assert answers.count(401) <= 10 < answers.count(429)

    play(tmp_path, scenario)


def test_only_the_latest_outcomes_are_remembered(tmp_path, monkeypatch):
    monkeypatch.setattr(rollouts, "MOST_OUTCOMES", 2)

    async def scenario(platform, client):
        await make_app(platform, client, web="serve")
        app = (await platform.db.run(tables.apps.find))[0]
        release = (await platform.db.run(tables.releases.find))[-1]
        for number in range(4):
            platform.host.rollouts.end(app, release._replace(id=str(number)), Outcome("succeeded"))
        assert list(platform.host.rollouts.outcomes) == ["2", "3"]

    play(tmp_path, scenario)


@pytest.mark.parametrize(
    ("path", "room"), [("/demo.git/info/refs", "git"), ("/apps/demo/log-drains/https://x/a.git/b", "api")]
)
def test_only_a_repositorys_paths_are_gits(path, room):
    served = []

    def app(name):
        async def serve(scope, receive, send):
            served.append(name)

        return serve

    asyncio.run(Front(app("api"), app("git"))({"type": "http", "path": path}, None, None))
    assert served == [room]


def test_a_release_phase_that_cannot_be_announced_leaves_nothing_open(tmp_path):
    async def scenario(platform, client):
        app = await make_app(platform, client, web="serve")
        release = (await platform.db.run(tables.releases.find))[-1]
        outputs = platform.host.rollouts.outputs
        phase = ReleasePhase(platform.host, outputs, release, None)
        full_once(platform)
        with pytest.raises(sqlite3.OperationalError):
            await phase.announce()
        assert [chunk async for chunk in outputs.read(phase.output.name)] == []  # it has an end
        assert app["id"] == release.app_id

    play(tmp_path, scenario)


def test_uploads_and_keys_that_belong_to_nobody_go_at_the_next_start(tmp_path):
    async def scenario(platform, client):
        kept = await sources.create(platform.host, None)
        layout = platform.host.layout
        paths = [layout.source(kept.id), layout.source("gone"), f"{layout.source(kept.id)}.ab.part"]
        paths += [layout.path("sources", "tmp1.part"), layout.certificate("gone")]
        for path in paths:
            Path(path).write_bytes(b"x")
        await clear_up(platform.host, platform.runtime, [])
        assert [path for path in paths if Path(path).exists()] == paths[:1]

    play(tmp_path, scenario)
