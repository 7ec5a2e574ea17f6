"""Builds: code comes in, by a push or the API, is built aside, and what comes of it is released."""

import asyncio
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from procman.core.records import App, Build, User
from procman.platform import audit, slug_collection
from procman.platform.build_runs import BuildRun
from procman.platform.host import Host
from procman.platform.outputs import Outputs
from procman.platform.refusals import conflict, missing
from procman.store import tables
from procman.store.database import Tx

SHUTTING_DOWN_S = 5.0
KEPT_S = 90 * 86_400.0  # the output of builds and release phases
Bring = Callable[[str], Sequence[str]]


class Order(NamedTuple):
    """What to build.

    ``bring``: puts the source tree into an empty folder; it may block, and raise ProcmanError. What it gives back is
    told to whoever watches.
    ``pushed``: who waits is a person at a git client. ``lock``: whether the app's deploy lock is still to be taken.
    """

    bring: Bring
    commit: str | None
    commit_description: str | None = None
    buildpacks: Sequence[str] | None = None
    source: Mapping[str, object] = {}
    pushed: bool = False
    lock: bool = True
    before: tuple[str, ...] = ()


class Builds:
    """All builds of a server. A build goes on when whoever asked for it has gone (as on Heroku)."""

    def __init__(self, host: Host, outputs: Outputs) -> None:
        self.host = host
        self.outputs = outputs
        self._running: dict[str, tuple[BuildRun, asyncio.Task[None]]] = {}

    async def start(self, user: User, app: App, order: Order) -> tuple[Build, BuildRun]:
        """Begin; the run's ``done`` tells how it ended."""
        host = self.host

        output = self.outputs.open()

        def insert(tx: Tx) -> Build:
            chosen = [row.url for row in tables.buildpacks.find(tx, app_id=app.id)]
            if order.buildpacks is not None:
                chosen = list(order.buildpacks)
            now = host.now()
            source = {**order.source, "output": output.name}
            build = Build(
                host.new_id(), app.id, user.id, user.email, "pending", chosen, source, order.commit, None, None, now,
                now,
            )
            tables.builds.insert(tx, build)
            audit.note(host, tx, user, app, "build", order.commit or "")
            return build

        try:
            build = await host.db.run(insert)
        except BaseException:
            output.close()
            raise
        host.say(app.id, f"Build started by user {user.email}")
        host.tell("api:build", "create", app)
        run = BuildRun(host, user, app, build, order.commit_description, output)
        self._running[build.id] = run, asyncio.create_task(self._run(run, order))
        return build, run

    async def _run(self, run: BuildRun, order: Order) -> None:
        try:
            await run.carry_out(order.bring, order.pushed, order.lock, order.before)
        finally:
            self._running.pop(run.build.id, None)

    async def listed(self, app: App) -> list[Build]:
        """All of an app's, oldest first."""
        return await self.host.db.run(lambda tx: tables.builds.find(tx, app_id=app.id))

    async def found(self, app: App, build_id: str) -> Build:
        """Raises Refusal."""
        build = await self.host.db.run(lambda tx: tables.builds.get(tx, app_id=app.id, id=build_id))
        if build is None:
            raise missing("build")
        return build

    async def cancel(self, user: User, app: App, build_id: str) -> Build:
        """End a build that runs. Raises Refusal when it does not."""
        build = await self.found(app, build_id)
        run, _ = self._running.get(build_id, (None, None))
        if run is None or not run.cancel():
            raise conflict(f"That build cannot be cancelled: it has {build.status}.")
        await self.host.db.run(lambda tx: audit.note(self.host, tx, user, app, "cancel build", build_id))
        await run.done
        return await self.found(app, build_id)

    async def drop(self, app: App) -> None:
        """The app is going: whatever is built of it ends, also what waits for its dynos to come up."""
        for run, task in [found for found in self._running.values() if found[0].app.id == app.id]:
            if run.cancel():
                await run.done
            else:
                task.cancel("The app was destroyed.")
                await asyncio.wait((task,))

    async def purge_cache(self, user: User, app: App) -> None:
        """The next build starts without what earlier ones kept (Heroku: builds:cache:purge)."""
        cache = self.host.layout.path("cache", app.id)
        aside = f"{cache}.{self.host.new_id()}"
        if os.path.exists(cache):
            os.rename(cache, aside)  # at one stroke: a build that runs now keeps what it has open
            await asyncio.to_thread(shutil.rmtree, aside, True)
        await self.host.db.run(lambda tx: audit.note(self.host, tx, user, app, "purge build cache"))

    async def resume(self) -> None:
        """After the server's own start: what was being built is not, and says so; what is left of it goes."""
        host = self.host
        await asyncio.to_thread(self.outputs.prune, host.now() - KEPT_S)

        def fail(tx: Tx) -> list[Build]:
            cut = tables.builds.find(tx, status="pending")
            for build in cut:
                tables.builds.update(tx, build.id, status="failed", updated_at=host.now())
            return cut

        for build in await host.db.run(fail):
            host.say(build.app_id, "Build failed -- the server was restarted meanwhile")
            name = str(build.source.get("output", ""))
            if self.outputs.exists(name):
                output = self.outputs.open(name)
                output.write(b"\n !     The server was restarted during this build. Push again.\n")
                output.close()
        folder = host.layout.path("builds")
        for name in os.listdir(folder):
            await asyncio.to_thread(slug_collection.remove_path, os.path.join(folder, name))
        await slug_collection.sweep(host)

    async def close(self) -> None:
        """The server is going: builds go with it, and are failed by the next one."""
        running = list(self._running.values())
        for run, task in running:
            run.cancel()
            task.cancel("The server is stopping. Push again.")
        if running:
            await asyncio.wait([task for _, task in running], timeout=SHUTTING_DOWN_S)
