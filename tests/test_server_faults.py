"""What a server that was killed has left behind, and work that floods it: each with what must hold all the same."""

import asyncio
import threading
import uuid
from pathlib import Path

from procman.platform import apps
from procman.server.apps import clear_up
from procman.store import tables
from tests.api_cases import play


def test_repositories_caches_and_logs_of_apps_that_are_gone_go_at_the_next_start(tmp_path):
    async def scenario(platform, client):
        app = await apps.create(platform.host, (await platform.host.db.run(tables.users.find))[0], None)
        gone, layout = str(uuid.uuid4()), platform.host.layout
        kept = [layout.repository(app.id), layout.path("cache", app.id), layout.path("repos", "hooks")]
        left = [layout.repository(gone), layout.path("cache", gone), layout.path("logs", gone)]
        for path in kept + left:
            Path(path).mkdir(exist_ok=True)
        for path in (layout.deploy_lock(gone), layout.build_lock(gone)):
            Path(path).touch()
            left.append(path)
        await clear_up(platform.host, platform.runtime, [])
        assert [path for path in kept + left if Path(path).exists()] == kept

    play(tmp_path, scenario)


def test_a_flood_of_passwords_holds_up_no_work_with_files(tmp_path):
    async def scenario(platform, client):
        held = threading.Event()
        flood = [asyncio.ensure_future(platform.host.passwords.run(held.wait, 60)) for _ in range(100)]
        try:
            assert await asyncio.wait_for(asyncio.to_thread(lambda: "read"), 60) == "read"
        finally:
            held.set()
        assert all(await asyncio.gather(*flood))

    play(tmp_path, scenario)
