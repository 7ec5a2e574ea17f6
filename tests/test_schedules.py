"""Scheduled commands, over a runtime that runs nothing and a clock that does not move by itself."""

import asyncio

from procman.core.records import Slug
from procman.formats.cron import moment
from procman.platform.schedules import Schedules, wanted
from procman.store import tables
from tests.server_fakes import Platform
from tests.test_api_releases import make_app


def test_what_is_due_is_run_once_and_what_is_not_is_left(tmp_path):
    async def scenario():
        platform = Platform(tmp_path / "data")
        async with platform.client() as client:
            app = await make_app(platform, client, web="serve", report="make report")
        cron = [
            {"command": "report --daily", "schedule": "0 9 * * *"},
            {"command": "often", "schedule": "*/10 * * * *"},
            {"command": "broken", "schedule": "never"},
        ]

        def put(tx):
            [slug] = tables.slugs.find(tx, app_id=app["id"])
            tables.slugs.update(tx, slug.id, facts={"cron": cron})

        await platform.db.run(put)
        schedules = Schedules(platform.host)
        jobs = await platform.db.run(wanted)
        assert [job.command for job in jobs] == ["report --daily", "often"]
        platform.time = moment(2026, 11, 26, 9)
        await schedules.run_due(jobs, platform.time - 60, moment(2026, 11, 26, 9))
        assert [call for call in platform.runtime.calls if call[0] == "run"] == [
            ("run", "make report --daily"),
            ("run", "often"),
        ]
        platform.time = moment(2026, 11, 26, 9, 30)
        await schedules.run_due(jobs, moment(2026, 11, 26, 9), moment(2026, 11, 26, 9, 10))  # too late by far
        assert len([call for call in platform.runtime.calls if call[0] == "run"]) == 2
        await platform.close()

    asyncio.run(scenario())


def test_the_scheduler_wakes_when_a_job_is_due_and_when_a_release_changes_them(tmp_path):
    async def scenario():
        platform = Platform(tmp_path / "data")
        schedules = Schedules(platform.host)
        platform.time = moment(2026, 11, 26, 8, 59)
        schedules.start()
        async with platform.client() as client:
            app = await make_app(platform, client, web="serve")

            def put(tx):
                [slug] = tables.slugs.find(tx, app_id=app["id"])
                tables.slugs.update(tx, slug.id, facts={"cron": [{"command": "tick", "schedule": "* * * * *"}]})

            await platform.db.run(put)
            platform.time = moment(2026, 11, 26, 8, 59) + 59.9
            await client.patch("/apps/demo/config-vars", json={"A": "1"})  # a release: it looks again
        await platform.runtime.until_called("run", "tick")
        await schedules.close()
        await platform.close()

    asyncio.run(asyncio.wait_for(scenario(), 60))


def test_a_first_release_with_jobs_has_them_run_from_its_coming_up_on_and_not_for_what_was_before(tmp_path):
    moments = []

    class Noting(Schedules):
        async def run_due(self, jobs, since, due):
            moments.append(due)
            await super().run_due(jobs, since, due)

    async def scenario():
        platform = Platform(tmp_path / "data")
        platform.time = moment(2026, 11, 26, 8, 57)
        schedules = Noting(platform.host)
        schedules.start()
        async with platform.client() as client:
            app = await make_app(platform, client)
            platform.runtime.gate = asyncio.Event()
            slug = Slug(
                "slug", app["id"], "ready", {"web": "serve"}, None, None, None, 1000, "heroku-24", None,
                {"cron": [{"command": "tick", "schedule": "* * * * *"}]}, platform.now(), platform.now(),
            )
            await platform.db.run(lambda tx: tables.slugs.insert(tx, slug))
            await client.post("/apps/demo/releases", json={"slug": slug.id})
            await platform.runtime.until_called("apply", 1)  # it is coming up, and the scheduler has heard of it
            platform.time = moment(2026, 11, 26, 8, 59) + 59.9
            platform.runtime.gate.set()
            await platform.runtime.until_called("run", "tick")
        await schedules.close()
        await platform.close()

    asyncio.run(asyncio.wait_for(scenario(), 60))
    assert moments == [moment(2026, 11, 26, 9)]
