"""Scheduled commands, over a runtime that runs nothing and a clock that does not move by itself."""

import asyncio

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
        platform.time = moment(2026, 11, 26, 8, 59) + 59.99
        schedules.start()
        async with platform.client() as client:
            app = await make_app(platform, client, web="serve")

            def put(tx):
                [slug] = tables.slugs.find(tx, app_id=app["id"])
                tables.slugs.update(tx, slug.id, facts={"cron": [{"command": "tick", "schedule": "* * * * *"}]})

            await platform.db.run(put)
            await client.patch("/apps/demo/config-vars", json={"A": "1"})  # a release: it looks again
        await platform.runtime.until_called("run", "tick")
        await schedules.close()
        await platform.close()

    asyncio.run(asyncio.wait_for(scenario(), 60))
