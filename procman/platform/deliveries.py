"""Deliveries: telling webhooks, in the background, signed, tried again as promised, kept over restarts.

A change makes a row for each webhook that wants to hear of it; the deliverer sends what is due, a few at a time on
threads of its own, so that neither the API nor a deploy ever waits for somebody else's server.
"""

import asyncio
import logging
import sqlite3
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from procman.core.records import App, Build, Delivery, FormationType, Release, Webhook
from procman.platform import formation
from procman.platform.host import Host
from procman.platform.webhook_calls import Ended, message, post
from procman.runtimes.base import DynoState
from procman.store import tables
from procman.store.database import Tx

AT_A_TIME = 4
RETRY_S = (10.0, 30.0, 60.0, 300.0, 900.0, 3600.0)  # the last one again and again
SYNC_S = 72 * 3600.0  # Heroku: app-webhooks; level sync is tried so long
KEPT_S = 7 * 86_400.0
log = logging.getLogger(__name__)

Changed = Release | Build | DynoState | list[tuple[FormationType, str]] | App
Describe = Callable[[App, Changed], Any]


class Deliverer:
    """Tells a host's webhooks. ``describe``: an app's changed thing as the API shows it."""

    def __init__(self, host: Host, describe: Describe, retry_s: tuple[float, ...] = RETRY_S) -> None:
        self._host = host
        self._describe = describe
        self._retry_s = retry_s
        self._threads = ThreadPoolExecutor(AT_A_TIME, "webhooks")
        self._news = asyncio.Event()
        self._busy: set[str] = set()  # webhooks that are being told
        self._notes: set[asyncio.Task[None]] = set()
        self._task: asyncio.Task[None] | None = None
        self._dynos: dict[str, dict[tuple[str, int, int], DynoState]] = {}

    def start(self) -> None:
        """Listen to the host and to its dynos, and take up what an earlier server left."""
        self._host.on_change.append(self.hear)
        self._host.on_release_end.append(self.hear_end)
        self._host.on_parting.append(self.part)
        self._host.runtime.on_change(self.hear_dynos)
        self._task = asyncio.create_task(self._work())

    async def close(self) -> None:
        """What is not delivered stays for the next server."""
        self._host.on_change.remove(self.hear)
        self._host.on_release_end.remove(self.hear_end)
        self._host.on_parting.remove(self.part)
        tasks = [*self._notes, *([self._task] if self._task else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._threads.shutdown(wait=False, cancel_futures=True)

    def hear(self, event: str, action: str, app: App) -> None:
        """Something has changed."""
        self._begin(self._note(event, action, app))

    def hear_end(self, app: App, release: Release) -> None:
        """A release has come up, or failed."""
        self._begin(self._note("api:release", "update", app, release))

    async def part(self, app: App) -> None:
        """The app is going, and its webhooks with it: tell them now, once, since nothing can be kept of it."""
        host = self._host

        def find(tx: Tx) -> list[tuple[Webhook, dict[str, Any]]]:
            hooks = [hook for hook in tables.webhooks.find(tx, app_id=app.id) if "api:app" in hook.include]
            data, event_id, now = self._describe(app, app), host.new_id(), host.now()
            return [(hook, message(event_id, "api:app", "destroy", data, now, hook, host.new_id())) for hook in hooks]

        for hook, payload in await host.db.run(find):
            self._begin(self._post(hook, payload))

    async def _post(self, hook: Webhook, payload: Mapping[str, Any]) -> None:
        await asyncio.get_running_loop().run_in_executor(self._threads, post, self._host.reach, hook, payload)

    def hear_dynos(self, app_id: str) -> None:
        """Dynos of an app have changed: tell of each that is new, in another state, or gone."""
        before, now = self._dynos.get(app_id, {}), self._look_at(app_id)
        self._dynos[app_id] = now
        news = [("create", dyno) for key, dyno in now.items() if key not in before]
        news += [("update", dyno) for key, dyno in now.items() if key in before and before[key].state != dyno.state]
        news += [("destroy", dyno) for key, dyno in before.items() if key not in now]
        if news and self._task and not self._task.done():
            self._begin(self._note_dynos(app_id, news))

    def _look_at(self, app_id: str) -> dict[tuple[str, int, int], DynoState]:
        return {(dyno.name, dyno.generation, dyno.run): dyno for dyno in self._host.runtime.dynos(app_id)}

    async def _note_dynos(self, app_id: str, news: list[tuple[str, DynoState]]) -> None:
        app = await self._host.db.run(lambda tx: tables.apps.get(tx, id=app_id))
        for action, dyno in news if app else ():
            assert app is not None
            await self._note("api:dyno", action, app, dyno)

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._notes.add(task)
        task.add_done_callback(self._notes.discard)

    async def _note(self, event: str, action: str, app: App, changed: Changed | None = None) -> None:
        """A row for each webhook that wants to hear of it."""
        host = self._host

        def insert(tx: Tx) -> int:
            hooks = [hook for hook in tables.webhooks.find(tx, app_id=app.id) if event in hook.include]
            if not hooks:
                return 0
            now = host.now()
            data, event_id = self._describe(app, changed or newest(tx, event, app)), host.new_id()
            for hook in hooks:
                delivery_id = host.new_id()
                payload = message(event_id, event, action, data, now, hook, delivery_id)
                tables.deliveries.insert(
                    tx, Delivery(delivery_id, app.id, hook.id, event, payload, "pending", 0, now, None, None, now, now)
                )
            return len(hooks)

        try:
            if await host.db.run(insert):
                self._news.set()
        except Exception as error:  # what is told of a change must never undo it
            log.warning("app=%s event=%s error=%s", app.id, event, error, exc_info=not isinstance(error, sqlite3.Error))

    async def _work(self) -> None:
        for app in await self._host.db.run(tables.apps.find):  # what ran before this server is no news
            self._dynos.setdefault(app.id, self._look_at(app.id))
        while True:
            self._news.clear()
            try:
                due, wait = await self._host.db.run(self._look)
            except sqlite3.Error as error:  # the disk is full, perhaps: what is due stays due
                log.warning("webhooks: %s", error)
                due, wait = [], self._retry_s[0]
            for row, hook in due:
                self._busy.add(hook.id)
                self._begin(self._try(row, hook))
            try:
                async with asyncio.timeout(wait):
                    await self._news.wait()
            except TimeoutError:
                pass

    def _look(self, tx: Tx) -> tuple[list[tuple[Delivery, Webhook]], float | None]:
        """What to send now, one thing a webhook, so that a slow one delays only itself; and when to look again."""
        now = self._host.now()
        tx.execute("DELETE FROM deliveries WHERE due_at IS NULL AND created_at < ?", (now - KEPT_S,))
        first = "SELECT id, MIN(due_at) FROM deliveries WHERE due_at IS NOT NULL GROUP BY webhook_id"
        rows = tables.deliveries.select(tx, f"WHERE id IN (SELECT id FROM ({first})) ORDER BY due_at")  # noqa: S608
        idle = [row for row in rows if row.webhook_id not in self._busy]
        due = [row for row in idle if (row.due_at or 0) <= now][: AT_A_TIME - len(self._busy)]
        hooks = {hook.id: hook for row in due if (hook := tables.webhooks.get(tx, id=row.webhook_id))}
        later = [row.due_at - now for row in idle if row.due_at is not None and row.due_at > now]
        return [(row, hooks[row.webhook_id]) for row in due], max(0.01, min(later)) if later else None

    async def _try(self, row: Delivery, hook: Webhook) -> None:
        try:
            loop = asyncio.get_running_loop()
            ended = await loop.run_in_executor(self._threads, post, self._host.reach, hook, row.payload)
            while not await self._write_down(row, hook, ended):
                await asyncio.sleep(self._retry_s[0])
        finally:
            self._busy.discard(hook.id)
            self._news.set()

    async def _write_down(self, row: Delivery, hook: Webhook, ended: Ended) -> bool:
        """Whether that could be done. Until it is, the receiver is not told again what it has been told."""
        try:
            await self._host.db.run(lambda tx: self._end(tx, row, hook, ended))
        except sqlite3.Error as error:
            log.warning("webhooks: %s", error)
            return False
        return True

    def _end(self, tx: Tx, row: Delivery, hook: Webhook, ended: Ended) -> None:
        """Write down how a try ended, and when the next one is due, if there is one."""
        attempts, now = row.attempts + 1, self._host.now()
        wait = self._retry_s[min(attempts, len(self._retry_s)) - 1]
        again = not ended.good and hook.level == "sync" and now + wait < row.created_at + SYNC_S
        status = "succeeded" if ended.good else "retrying" if again else "failed"
        tables.deliveries.update(
            tx, row.id, status=status, attempts=attempts, due_at=now + wait if again else None, code=ended.code,
            error=ended.error, updated_at=now,
        )


def newest(tx: Tx, event: str, app: App) -> Changed:
    """What has changed: the newest of its kind."""
    if event == "api:release" and (releases := tables.releases.find(tx, order="version DESC", limit=1, app_id=app.id)):
        return releases[0]
    if event == "api:build" and (builds := tables.builds.find(tx, order="created_at DESC", limit=1, app_id=app.id)):
        return builds[0]
    if event == "api:formation":
        return formation.with_commands(tx, app)
    return tables.apps.get(tx, id=app.id) or app
