"""The API served for real, over a runtime that runs nothing: ``python -m tests.fake_server DATA``.

Prints one line of JSON, ``{"url", "key"}``, once it listens, and serves until SIGTERM.
"""

import asyncio
import json
import os
import signal
import socket
import sys
import time
from collections import defaultdict
from functools import partial

import uvicorn

from procman.api import serving
from procman.api import webhooks as api_webhooks
from procman.api.application import Api
from procman.api.routes import ROUTES
from procman.logs.news import AppLog, News
from procman.logs.server_log import ServerLog
from procman.platform.builds import Builds
from procman.platform.deliveries import Deliverer
from tests.server_fakes import Platform


class Logs:
    """The host's log on disk, as ``Host`` writes it and as the API reads it."""

    def __init__(self, layout):
        self.layout = layout
        self.news = defaultdict(News)
        self.stored = ServerLog(layout.path("logs"), lambda app_id: self.news[app_id].tell())

    def write(self, app_id, source, ps, text):
        self.stored.say(app_id, source, ps, text)

    def forget(self, app_id):
        self.stored.remove(app_id)

    def read(self, app_id):
        stores = (os.path.join(self.layout.home(app_id), "log"), self.layout.path("logs", app_id))
        return AppLog(stores, self.news[app_id])


async def serve(directory):
    listener = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    platform = Platform(directory, api_url=url, git_host=url.removeprefix("http://"))
    platform.host.now = time.time
    platform.runtime.release_output = b"migrating\n"
    logs = Logs(platform.layout)
    platform.host.log = logs
    platform.host.builds = Builds(platform.host, platform.host.rollouts.outputs)
    deliverer = Deliverer(platform.host, partial(api_webhooks.describe, platform.host))
    deliverer.start()
    options = {"headers_s": float(os.environ.get("HEADERS_S", "20"))}
    server = uvicorn.Server(serving.config(Api(platform.host, ROUTES, logs.read), **options))
    server.capture_signals = signal_free
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, lambda: setattr(server, "should_exit", True))
    print(json.dumps({"url": url, "key": platform.key}), flush=True)
    await server.serve([listener])
    await deliverer.close()
    await platform.close()


class signal_free:  # noqa: N801 - a context that leaves signals alone
    def __enter__(self):
        return self

    def __exit__(self, *error):
        return None


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1]))
