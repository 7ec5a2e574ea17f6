"""An app's log with drains on it."""

import os
from contextlib import asynccontextmanager

import pytest

from procman.logs.drains import Drain, DrainManager
from procman.logs.shipper import Pace
from procman.reach import Reach
from tests.receivers import App, make_certificate

TOKEN = "d.0f0e0d0c-0b0a-4908-8706-050403020100"
QUICK = Pace(retry_s=0.01, reconnect_s=0.01, reconnect_max_s=0.02)


@pytest.fixture(name="app")
def make_app(tmp_path) -> App:
    return App(tmp_path / "app")


@pytest.fixture(name="certificate", scope="module")
def make_tls(tmp_path_factory):
    return make_certificate(tmp_path_factory.mktemp("tls"))


@asynccontextmanager
async def shipping(app: App, *urls: str, pace: Pace = QUICK, **more):
    """A manager with a drain a URL, d-0 and so on."""
    state = os.path.dirname(app.log.stores[0]) + "/drains"
    manager = DrainManager(lambda app_id: app.log, state, pace, reach=Reach(local=True), **more)
    manager.set_drains("app", [Drain(f"d-{number}", TOKEN, url) for number, url in enumerate(urls)])
    try:
        yield manager
    finally:
        await manager.close()


def messages(frames: list[bytes]) -> list[bytes]:
    return [frame.rsplit(b" - ", 1)[1].removesuffix(b"\n") for frame in frames]
