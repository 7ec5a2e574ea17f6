"""Each app's worker: it closes the gap between what the database wishes and what the runtime runs."""

import asyncio
import logging
import sqlite3
from typing import NamedTuple

from procman.core.plan import Plan
from procman.core.records import App, Release, Slug
from procman.errors import ProcmanError
from procman.platform import trouble
from procman.platform.host import Host
from procman.platform.outputs import Outputs
from procman.platform.plans import make_plan
from procman.platform.release_phase import ReleasePhase
from procman.runtimes.base import RolloutFailed
from procman.store import tables
from procman.store.database import Tx

RETRY_S = (1.0, 2.0, 5.0, 15.0, 30.0)  # after trouble that is not the app's own
GIVE_UP = 3  # tries after which a release that cannot be rolled out has failed, and its pusher is told
SHUTTING_DOWN_S = 5.0
MOST_OUTCOMES = 1000
PROVEN_STEADY_S = 1.0  # for which a worker has to stay up that has done so before
log = logging.getLogger(__name__)


class Outcome(NamedTuple):
    """How a release came out. ``lines``: the last ones of the dyno that failed; ``phase``: the release command did."""

    status: str
    why: str = ""
    dyno: str = ""
    lines: tuple[str, ...] = ()
    phase: bool = False


class Situation(NamedTuple):
    """What the database says of an app. ``slug``: of the current release."""

    app: App
    pending: list[Release]
    current: Release | None
    slug: Slug | None


class Rollouts:
    """The workers of all apps, and what became of the latest releases while this server has been running."""

    def __init__(self, host: Host, outputs: Outputs) -> None:
        self.host = host
        self.outputs = outputs
        self.outcomes: dict[str, Outcome] = {}
        self.troubles: dict[str, str] = {}  # by app: what keeps its worker from working, at present
        self.phases: dict[str, ReleasePhase] = {}  # by release: those that have a release command
        self._without_phase: set[str] = set()
        self._workers: dict[str, Worker] = {}
        self._ended: dict[str, asyncio.Event] = {}
        self._awaited: dict[str, Release] = {}  # by id: those that somebody waits for

    def poke(self, app_id: str, restart: bool = False) -> None:
        """There may be something to do; with ``restart`` every dyno is to be a new one."""
        worker = self._workers.get(app_id)
        if worker is None:
            worker = self._workers[app_id] = Worker(self, app_id)
        worker.restart = worker.restart or restart
        worker.quiet.clear()
        worker.poked.set()

    async def resume(self) -> None:
        """After the server's own start: look after every app. A release command that was cut off is not repeated."""
        host = self.host

        def look(tx: Tx) -> tuple[list[App], list[Release]]:
            cut = [release for release in tables.releases.find(tx, status="pending") if release.output]
            for release in cut:
                tables.releases.update(tx, release.id, status="failed", updated_at=host.now())
            return tables.apps.find(tx), cut

        apps, cut = await host.db.run(look)
        for release in cut:
            host.say(release.app_id, f"Release v{release.version} command was cut off by a restart of the server")
        for app in apps:
            self.poke(app.id)

    async def wait(self, release: Release) -> Outcome:
        """Until the release is rolled out, or is not going to be."""
        if release.status != "pending":
            return Outcome(release.status)
        if release.id not in self.outcomes:
            self._awaited[release.id] = release
            await self._ended.setdefault(release.id, asyncio.Event()).wait()
        return self.outcomes[release.id]

    async def started(self, release: Release) -> ReleasePhase | None:
        """The release's release phase once it runs; None when it has none or is already over."""
        known = (self.phases, self.outcomes, self._without_phase)
        while release.status == "pending" and not any(release.id in those for those in known):
            self._awaited[release.id] = release
            await self._ended.setdefault(f"{release.id} phase", asyncio.Event()).wait()
        return self.phases.get(release.id)

    def note_phase(self, release: Release, phase: ReleasePhase | None) -> None:
        """The release phase begins, or there is none."""
        if phase:
            self.phases[release.id] = phase
        else:
            self._without_phase.add(release.id)
        if event := self._ended.pop(f"{release.id} phase", None):
            event.set()

    def end(self, app: App, release: Release, outcome: Outcome) -> None:
        """What became of it, to be told to whoever waits and to whoever wants to hear of it."""
        self.host.tell_end(app, release._replace(status=outcome.status))
        self._note(release, outcome)

    def _note(self, release: Release, outcome: Outcome) -> None:
        """Tell whoever waits."""
        self._awaited.pop(release.id, None)
        self.outcomes[release.id] = outcome
        while len(self.outcomes) > MOST_OUTCOMES:  # whoever waits for one reads it at once
            del self.outcomes[next(iter(self.outcomes))]
        self.phases.pop(release.id, None)
        self._without_phase.discard(release.id)
        for key in (f"{release.id} phase", release.id):
            if event := self._ended.pop(key, None):
                event.set()

    async def settled(self, app_id: str) -> None:
        """Until the app's worker has nothing left to do."""
        if worker := self._workers.get(app_id):
            await worker.quiet.wait()

    async def drop(self, app_id: str) -> None:
        """The app is going: leave it alone."""
        if worker := self._workers.pop(app_id, None):
            await worker.stop()
        for release in [release for release in self._awaited.values() if release.app_id == app_id]:
            self._note(release, Outcome("failed", "nobody looks after it any more"))

    async def close(self) -> None:
        """The server is going; what is half-done is taken up by the next one."""
        await asyncio.gather(*(self.drop(app_id) for app_id in list(self._workers)))


class Worker:
    """One app's. A poke wakes it; it works until there is nothing left to do."""

    def __init__(self, rollouts: Rollouts, app_id: str) -> None:
        self.poked = asyncio.Event()
        self.quiet = asyncio.Event()  # all that was asked for is done
        self.restart = False
        self._rollouts = rollouts
        self._host = rollouts.host
        self._app_id = app_id
        self._applied: Plan | None = None
        self._retiring: set[asyncio.Task[None]] = set()
        self._task = asyncio.create_task(self._work())

    async def stop(self) -> None:
        """End in the middle of whatever it does."""
        for task in (self._task, *self._retiring):
            task.cancel()
        await asyncio.wait((self._task, *self._retiring), timeout=SHUTTING_DOWN_S)

    async def _work(self) -> None:
        failures = 0
        while True:
            await self.poked.wait()
            self.poked.clear()
            try:
                while await self._step():
                    pass
                failures = 0
                self._rollouts.troubles.pop(self._app_id, None)
                if not self.poked.is_set():
                    self.quiet.set()
            except Exception as error:  # an app's trouble stays its own
                wait = RETRY_S[min(failures, len(RETRY_S) - 1)]
                failures += 1
                known = isinstance(error, OSError) or trouble.is_known(error)
                log.warning("app=%s error=%s retry=%.0f", self._app_id, error, wait, exc_info=not known)
                words = self._rollouts.troubles[self._app_id] = trouble.words_of(error, self._host.layout.data)
                self._host.say(self._app_id, f"Cannot run this app now: {words}; next try in {wait:.0f} s")
                asyncio.get_running_loop().call_later(wait, self.poked.set)
                if failures >= GIVE_UP:
                    await self._give_up(words)

    async def _give_up(self, words: str) -> None:
        """Releases that wait have failed, so that whoever pushed hears of it; what ran before is tried on and on."""
        try:
            situation = await self._host.db.run(lambda tx: look(tx, self._app_id))
            for app, release in [(situation.app, each) for each in situation.pending] if situation else ():
                await self._end(app, release, Outcome("failed", f"it cannot be run: {words}"))
        except (OSError, sqlite3.Error) as more:  # the disk is full, perhaps: they go on waiting
            log.warning("app=%s error=%s", self._app_id, more)

    async def _step(self) -> bool:
        """Do one thing; whether there may be another."""
        situation = await self._host.db.run(lambda tx: look(tx, self._app_id))
        if situation is None:
            return False
        if situation.pending:
            await self._release(situation, situation.pending[-1])
            return True
        if situation.current is None or situation.slug is None:
            return False
        if self.restart and self._applied is not None:
            self.restart = False
            await self._renew(situation, situation.current, situation.slug)
            return True
        self.restart = False
        await self._settle(situation, situation.current, situation.slug)
        return False

    async def _settle(self, situation: Situation, current: Release, slug: Slug) -> None:
        """Make the current generation's plan true: after a scale, a feature, or the server's own start."""
        plan = await self._plan(situation.app, current, slug, situation.app.generation)
        plan = standing(plan)
        if plan != self._applied:
            if self._applied is not None:
                await self._host.traffic.route(self._app_id)  # what is to go gets no more requests, and then goes
            await self._host.runtime.apply(plan)
            self._applied = plan
            await self._host.traffic.route(self._app_id)
            await self._host.runtime.switch(self._app_id, plan.generation)

    async def _renew(self, situation: Situation, current: Release, slug: Slug) -> None:
        """Every dyno anew, the new ones beside the old (Heroku: preboot)."""
        plan = await self._plan(situation.app, current, slug, await self._next_generation())
        plain = plan.rollout == "restart"  # the old ones end at once: from here on there is no way back to them
        if plain:
            await self._note(plan)
        try:
            await self._host.runtime.apply(plan)
        except RolloutFailed as failed:
            self._host.say(self._app_id, f"Restart failed, the old dynos go on: {failed.why}")
            return
        if not plain:
            await self._note(plan)
        await self._switch(plan)

    async def _note(self, plan: Plan) -> None:
        """This generation is what runs the app."""
        await self._host.db.run(lambda tx: tables.apps.update(tx, self._app_id, generation=plan.generation))

    async def _release(self, situation: Situation, release: Release) -> None:
        """Roll the newest pending release out; those before it have been overtaken."""
        app = situation.app
        for overtaken in situation.pending[:-1]:
            await self._end(app, overtaken, Outcome("expired", f"overtaken by v{release.version}"))
        slug = await self._host.db.run(lambda tx: tables.slugs.get(tx, id=release.slug_id))
        if slug is None or slug.state != "ready":
            await self._end(app, release, Outcome("failed", "its slug is gone"))
            return
        generation = await self._next_generation()
        plan = await self._plan(app, release, slug, generation)
        if "release" in slug.process_types:
            phase = ReleasePhase(self._host, self._rollouts.outputs, release, plan)
            await phase.announce()
            self._rollouts.note_phase(release, phase)
            if (status := await phase.run()) != 0:
                why = f"its release command exited with status {status}"
                await self._end(app, release, Outcome("failed", why, phase=True))
                return
            plan = await self._plan(app, release, slug, generation)  # scaled meanwhile, perhaps
        self._rollouts.note_phase(release, None)
        await self._roll_out(app, release, plan)

    async def _roll_out(self, app: App, release: Release, plan: Plan) -> None:
        apply = asyncio.create_task(self._host.runtime.apply(plan))
        try:
            while not apply.done():
                poked = asyncio.create_task(self.poked.wait())
                await asyncio.wait((apply, poked), return_when=asyncio.FIRST_COMPLETED)
                poked.cancel()
                if not apply.done() and self.poked.is_set():
                    self.poked.clear()
                    if await self._is_overtaken(release):
                        apply.cancel()
                        await asyncio.wait((apply,))
                        await self._host.runtime.abandon(self._app_id, plan.generation)
                        return  # the next step ends it
            await apply
        except RolloutFailed as failed:
            self._host.say(self._app_id, f"Release v{release.version} failed: {failed.why}")
            await self._end(app, release, Outcome("failed", failed.why, failed.dyno, failed.lines))
            return
        finally:
            apply.cancel()

        def commit(tx: Tx) -> None:
            now = self._host.now()
            tables.releases.update(tx, release.id, status="succeeded", updated_at=now)
            tables.apps.update(
                tx, self._app_id, release_id=release.id, generation=plan.generation, released_at=now, updated_at=now
            )

        await self._host.db.run(commit)
        try:
            await self._switch(plan)  # before whoever pushed hears of it, and looks
        finally:
            self._rollouts.end(app, release, Outcome("succeeded"))

    async def _switch(self, plan: Plan) -> None:
        """The router's step; the old generation goes when its requests are answered, without being waited for."""
        self._applied = standing(plan)
        await self._host.traffic.route(self._app_id)
        task = asyncio.create_task(self._retire(plan.generation))
        self._retiring.add(task)
        task.add_done_callback(self._retiring.discard)

    async def _retire(self, generation: int) -> None:
        await self._host.traffic.drain(self._app_id, generation, self._host.settings.drain_s)
        try:
            await self._host.runtime.switch(self._app_id, generation)
        except ProcmanError as error:
            log.warning("app=%s error=%s", self._app_id, error)
            self._applied = None  # the next settling does it again
            self.poked.set()

    async def _is_overtaken(self, release: Release) -> bool:
        found = await self._host.db.run(lambda tx: look(tx, self._app_id))
        return found is None or not found.pending or found.pending[-1].id != release.id

    async def _end(self, app: App, release: Release, outcome: Outcome) -> None:
        await self._host.db.run(
            lambda tx: tables.releases.update(tx, release.id, status=outcome.status, updated_at=self._host.now())
        )
        self._rollouts.end(app, release, outcome)

    async def _next_generation(self) -> int:
        def count(tx: Tx) -> int:
            app = tables.apps.get(tx, id=self._app_id)
            assert app is not None
            tables.apps.update(tx, self._app_id, last_generation=app.last_generation + 1)
            return app.last_generation + 1

        return await self._host.db.run(count)

    async def _plan(self, app: App, release: Release, slug: Slug, generation: int) -> Plan:
        def make(tx: Tx) -> Plan:
            formation = tables.formation.find(tx, app_id=app.id)
            features = {feature.name: feature.enabled for feature in tables.features.find(tx, app_id=app.id)}
            directory = self._host.layout.slug(slug.id)
            plan = make_plan(self._host.settings, app, release, slug, directory, formation, features, generation)
            return plan._replace(steady_s=PROVEN_STEADY_S) if is_proven(tx, release) else plan

        return await self._host.db.run(make)


def is_proven(tx: Tx, release: Release) -> bool:
    """Whether these very dynos have come up before: a rollback, or a restart of what runs."""
    found = tables.releases.find(tx, app_id=release.app_id, slug_id=release.slug_id, status="succeeded")
    return any(earlier.config == release.config for earlier in found)


def standing(plan: Plan) -> Plan:
    """The plan once it is in force: whatever does not come up from now on is tried again by the dyno rules."""
    return plan._replace(rollout="restart", steady_s=PROVEN_STEADY_S)


def look(tx: Tx, app_id: str) -> Situation | None:
    """What the database says of an app; None when it is gone."""
    app = tables.apps.get(tx, id=app_id)
    if app is None:
        return None
    current = tables.releases.get(tx, id=app.release_id)
    slug = tables.slugs.get(tx, id=current.slug_id) if current and current.slug_id else None
    return Situation(app, tables.releases.find(tx, app_id=app_id, status="pending"), current, slug)
