"""Numbers of a server's apps: counted from router lines and dynos, shown for Prometheus and by the API."""

import asyncio
import os

import pytest

from procman.runtimes.base import DynoState
from procman.server.numbers import Numbers, used
from procman.store import tables
from tests.server_fakes import Platform
from tests.test_api_releases import make_app

LINE = (
    b'at=info method=GET path="/" host=demo.localhost request_id=1 fwd="127.0.0.1" dyno=web.1 connect=0ms service=7ms '
    b"status=200 bytes=20 protocol=http\n"
)


def test_memory_is_that_of_the_dynos_processes():
    me = DynoState("web.1", "web", 1, 3, "up", 1.0, 20_000, os.getpid(), 1, "Basic", "serve")
    assert used([me])[os.getpid()] > 10 << 20
    assert used([]) == {}


def test_metrics_are_for_admins_and_an_apps_own_numbers_for_whoever_may_use_it(tmp_path):
    async def scenario():
        platform = Platform(tmp_path / "data")
        numbers = platform.host.numbers = Numbers(platform.host, platform.layout.path("metrics"))
        _, key = platform.user("ann@example.com")
        async with platform.client() as client, platform.client(key) as ann:
            app = await make_app(platform, client, web="serve")
            numbers.routed(app["id"], LINE * 3)
            os.makedirs(f"{platform.layout.home(app['id'])}/log")
            answer = await client.get("/metrics")
            assert answer.headers["content-type"].startswith("text/plain")
            assert 'app="demo"' in answer.text
            assert (await ann.get("/metrics")).status_code == 403
            own = (await client.get("/apps/demo/metrics")).json()
            assert own["requests"]["by_status"] == {"2xx": 3}
            assert (await ann.get("/apps/demo/metrics")).status_code == 404
        numbers.start()
        await numbers.close()
        again = Numbers(platform.host, platform.layout.path("metrics"))
        again.start()
        assert app["id"] in again.metrics.apps
        await again.close()
        await platform.close()

    asyncio.run(asyncio.wait_for(scenario(), 60))


def test_errors_that_a_supervisor_tells_of_are_counted(tmp_path):
    async def scenario():
        platform = Platform(tmp_path / "data")
        numbers = Numbers(platform.host, platform.layout.path("metrics"))
        async with platform.client() as client:
            app = await make_app(platform, client, web="serve")
        directory = f"{platform.layout.home(app['id'])}/log"
        os.makedirs(directory)
        row = await platform.db.run(tables.apps.find)
        await numbers.look(row)
        with open(f"{directory}/log.000001", "wb") as file:
            file.write(b"2026-11-26T19:00:00.000000+00:00 heroku[web.1]: Error R14 (Memory quota exceeded)\n")
        await numbers.look(row)
        assert numbers.metrics.apps[app["id"]].codes["R14"] == 1
        await platform.close()

    asyncio.run(asyncio.wait_for(scenario(), 60))


@pytest.mark.parametrize("path", ["/metrics", "/apps/demo/metrics"])
def test_a_server_without_metrics_says_so(tmp_path, path):
    async def scenario():
        platform = Platform(tmp_path / "data")
        async with platform.client() as client:
            await make_app(platform, client)
            assert (await client.get(path)).status_code == 503
        await platform.close()

    asyncio.run(scenario())
