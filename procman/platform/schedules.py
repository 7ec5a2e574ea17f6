"""The scheduler: commands that an app's ``app.json`` wants run at times, each in a one-off dyno ``scheduler.NNNN``."""

import asyncio
import logging
import sqlite3
from collections.abc import Mapping
from typing import Any, NamedTuple

from procman.core.records import App, User
from procman.errors import ProcmanError
from procman.formats import cron
from procman.platform import dynos
from procman.platform.host import Host
from procman.platform.refusals import Refusal
from procman.runtimes.base import OneOff
from procman.store import tables
from procman.store.database import Tx

LATE_S = 120.0  # what was due while the server was away for longer is left out, not made up for
AGAIN_S = 5.0  # after trouble with the database
log = logging.getLogger(__name__)


class Job(NamedTuple):
    """One command of one app."""

    app: App
    command: str
    schedule: cron.Schedule


class Schedules:
    """Starts what is due. It sleeps until then, or until a release changes what there is."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to look after the jobs."""
        self._host.on_change.append(lambda event, action, app: self._changed.set())
        self._host.on_release_end.append(lambda app, release: self._changed.set())  # only now it is the current one
        self._task = asyncio.create_task(self._work())

    async def close(self) -> None:
        """Leave off."""
        if self._task:
            self._task.cancel()
            await asyncio.wait((self._task,))

    async def _work(self) -> None:
        since = self._host.now()
        while True:
            self._changed.clear()
            try:
                jobs = await self._host.db.run(wanted)
            except sqlite3.Error as error:  # the disk is full, perhaps
                log.warning("scheduler: %s", error)
                await asyncio.sleep(AGAIN_S)
                continue
            due = min((at for job in jobs if (at := job.schedule.next_after(since)) is not None), default=None)
            wait = None if due is None else max(due - self._host.now(), 0.0)
            try:
                await asyncio.wait_for(self._changed.wait(), wait)
                if due is None or due > self._host.now():  # what comes now was not there for moments that are past
                    since = max(since, self._host.now())
            except TimeoutError:
                assert due is not None
                await self.run_due(jobs, since, due)
                since = due

    async def run_due(self, jobs: list[Job], since: float, due: float) -> None:
        """Start every job that is due at that moment; one that cannot be started costs no other its turn."""
        for job in jobs:
            if job.schedule.next_after(since) != due or self._host.now() - due > LATE_S:
                continue
            try:
                await self._start(job)
            except (Refusal, ProcmanError) as error:
                self._host.say(job.app.id, f"Cannot run scheduled command `{job.command}`: {error}")
            except Exception:
                log.exception("app=%s", job.app.id)

    async def _start(self, job: Job) -> None:
        host, order = self._host, dynos.Order(job.command)

        def prepare(tx: Tx) -> Any:
            owner: User | None = tables.users.get(tx, id=job.app.owner_id)
            assert owner is not None
            return dynos.prepare(host, tx, owner, job.app, order)

        plan, command = await host.db.run(prepare)
        name = dynos.free_name(host, job.app, "scheduler")
        await host.runtime.start_one_off(job.app.id, OneOff(name, command, plan, tty=False))


def wanted(tx: Tx) -> list[Job]:
    """What the current releases of all apps want run."""
    found = []
    for app in tables.apps.find(tx):
        release = tables.releases.get(tx, id=app.release_id)
        slug = tables.slugs.get(tx, id=release.slug_id) if release and release.slug_id else None
        for said in slug.facts.get("cron", ()) if slug else ():
            if job := job_of(app, said):
                found.append(job)
    return found


def job_of(app: App, said: Mapping[str, Any]) -> Job | None:
    """One entry of app.json; None for what is no schedule (the build has said so)."""
    try:
        return Job(app, str(said["command"]), cron.parse(str(said["schedule"])))
    except (KeyError, ValueError):
        return None
