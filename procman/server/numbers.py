"""The metrics of a server's apps: router lines as they come; what dynos use, and what went wrong, once a minute."""

import asyncio
import logging
import os
from collections.abc import Iterable

from procman.core.records import App
from procman.core.sizes import SIZES
from procman.logs import metrics_history, metrics_text
from procman.logs.metrics import Dyno, Metrics
from procman.logs.tail import Follower, end, follow_from
from procman.platform.host import Host
from procman.runtimes.base import DynoState
from procman.store import tables
from procman.supervisor.proctable import snapshot

PERIOD_S = 60.0
SAVE_EVERY = 5  # periods
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
MOST_BYTES = 64 << 20  # of an app's log that are read a minute; a flood costs counts of errors, not the server
log = logging.getLogger(__name__)


class Numbers:
    """Keeps the numbers of all apps, across restarts of the server too."""

    def __init__(self, host: Host, directory: str) -> None:
        self.metrics = Metrics()
        self._host = host
        self._directory = directory
        self._followers: dict[str, Follower] = {}
        self._task: asyncio.Task[None] | None = None

    def routed(self, app_id: str, lines: bytes) -> None:
        """Lines of the router."""
        self.metrics.routed(app_id, lines, self._host.now())

    def start(self) -> None:
        """Take up the history and begin to look."""
        metrics_history.load(self._directory, self.metrics, self._host.now())
        self._host.on_change.append(self._hear)
        self._task = asyncio.create_task(self._work())

    async def close(self) -> None:
        """Keep the history."""
        if self._task:
            self._task.cancel()
            await asyncio.wait((self._task,))
        await asyncio.to_thread(self._save)

    async def text(self) -> bytes:
        """All numbers for Prometheus, as of now."""
        apps = await self._host.db.run(tables.apps.find)
        await self.look(apps)
        return metrics_text.render(self.metrics, {app.id: app.name for app in apps})

    async def summary(self, app: App) -> dict[str, object]:
        """One app's numbers and its day."""
        await self.look([app])
        return metrics_text.summary(self.metrics, app.id, self._host.now())

    async def look(self, apps: Iterable[App]) -> None:
        """What dynos use now, and what their supervisors have told of since the last look."""
        dynos = {app.id: [row for row in self._host.runtime.dynos(app.id) if row.pid] for app in apps}
        memory = await asyncio.to_thread(used, [row for rows in dynos.values() for row in rows])
        now = self._host.now()
        for app_id, rows in dynos.items():
            self.metrics.keep_dynos(app_id, [row.name for row in rows])
            for row in rows:
                quota = SIZES[row.size].memory if row.size in SIZES else 0
                before = self.metrics.app(app_id, now).dynos.get(row.name, Dyno())
                self.metrics.sampled(app_id, row.name, Dyno(memory.get(row.pid or 0, 0), quota, before.load), now)
            for batch in await asyncio.to_thread(self._news, app_id):
                self.metrics.read(app_id, batch, now)

    def _news(self, app_id: str) -> list[bytes]:
        """What an app's supervisor has written since the last look."""
        directory = f"{self._host.layout.home(app_id)}/log"
        follower = self._followers.get(app_id)
        if follower is None:
            self._followers[app_id] = follow_from(directory, end(directory))
            return []
        batches, size = [], 0
        while size < MOST_BYTES and (batch := follower.read()):
            batches.append(batch)
            size += len(batch)
        if size >= MOST_BYTES:
            follower.close()
            self._followers[app_id] = follow_from(directory, end(directory))
        return batches

    def _hear(self, event: str, action: str, app: App) -> None:
        if (event, action) == ("api:app", "destroy"):
            self.metrics.remove(app.id)
            metrics_history.remove(self._directory, app.id)
            if follower := self._followers.pop(app.id, None):
                follower.close()

    async def _work(self) -> None:
        turns = 0
        while True:
            try:
                await self.look(await self._host.db.run(tables.apps.find))
                if turns % SAVE_EVERY == 0:
                    await asyncio.to_thread(self._save)
            except OSError as error:
                log.warning("metrics: %s", error)
            except Exception:
                log.exception("metrics")
            turns += 1
            await asyncio.sleep(PERIOD_S)

    def _save(self) -> None:
        try:
            metrics_history.save(self._directory, self.metrics, self._host.now())
        except OSError as error:
            log.warning("metrics: %s", error)


def used(dynos: list[DynoState]) -> dict[int, int]:
    """Resident bytes by pid of the dyno's root: of all processes that descend from it, or are of its session."""
    if not dynos:
        return {}
    table = snapshot()
    pids = [row.pid for row in dynos if row.pid]
    return {pid: sum(process.memory for process in table.family([pid])) * PAGE_BYTES for pid in pids}
