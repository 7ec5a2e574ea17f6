"""The logs of a server's apps, as its parts see them: who writes, who is told, where drains lead."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from procman.core.records import App
from procman.logs.drains import Drain, DrainManager
from procman.logs.news import AppLog, News
from procman.logs.server_log import ServerLog
from procman.platform.host import Host
from procman.platform.layout import Layout
from procman.store import tables

Listen = Callable[[str], Awaitable[Callable[[], None]]]
log = logging.getLogger(__name__)


class Bell(News):
    """An app's bell; while somebody waits for it, the app's supervisor is listened to."""

    def __init__(self, listen: Callable[[], Awaitable[Callable[[], None]]]) -> None:
        super().__init__()
        self._listen = listen

    async def after(self, seen: int) -> None:
        """See ``News``."""
        leave = await self._listen()
        try:
            await super().after(seen)
        finally:
            leave()


def soon(work: Callable[[], None]) -> None:
    """In the next turn of the loop."""
    asyncio.get_running_loop().call_soon(work)


class AppLogs:
    """By app id: the two stores and the bell. The server's own lines are written here (``platform.host.AppLog``)."""

    def __init__(self, layout: Layout, listen: Listen) -> None:
        self.own = ServerLog(layout.path("logs"), self.tell, soon=soon)
        self._layout = layout
        self._listen = listen
        self._logs: dict[str, AppLog] = {}

    def of(self, app_id: str) -> AppLog:
        """An app's log."""
        found = self._logs.get(app_id)
        if found is None:
            stores = (f"{self._layout.home(app_id)}/log", self.own.path(app_id))
            found = self._logs[app_id] = AppLog(stores, Bell(lambda: self._listen(app_id)))
        return found

    def tell(self, app_id: str) -> None:
        """The app's log has grown."""
        if found := self._logs.get(app_id):
            found.news.tell()

    def write(self, app_id: str, source: str, ps: str, text: str) -> None:
        """See ``platform.host.AppLog``."""
        self.own.say(app_id, source, ps, text)

    def forget(self, app_id: str) -> None:
        """See ``platform.host.AppLog``."""
        self.own.remove(app_id)
        self._logs.pop(app_id, None)


class Drains:
    """Keeps the drains at work those of the database."""

    def __init__(self, host: Host, logs: AppLogs, directory: str) -> None:
        self._host = host
        self._manager = DrainManager(
            logs.of, directory, report=lambda app_id, text: logs.write(app_id, "heroku", "logplex", text),
            reach=host.reach,
        )
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """All that there are, and from now on every change."""
        self._host.on_change.append(self._hear)
        self._do(self._set_all())

    async def close(self) -> None:
        """Their places are kept."""
        for task in list(self._tasks):
            task.cancel()
        await self._manager.close()

    def _hear(self, event: str, action: str, app: App) -> None:
        if event == "api:log-drain" or (event, action) == ("api:app", "destroy"):
            self._do(self._set(app))

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _set_all(self) -> None:
        for app in await self._host.db.run(tables.apps.find):
            await self._set(app)

    async def _set(self, app: App) -> None:
        rows = await self._host.db.run(lambda tx: tables.drains.find(tx, app_id=app.id))
        self._manager.set_drains(app.id, [Drain(row.id, row.token, row.url) for row in rows])
