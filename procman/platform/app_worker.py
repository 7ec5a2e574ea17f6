"""One app's worker: it closes the gap between what the database wishes and what the runtime runs."""

import asyncio
import logging
import sqlite3
from typing import TYPE_CHECKING

from procman.core.plan import Plan
from procman.core.records import App, Release, Slug
from procman.errors import ProcmanError
from procman.platform import trouble
from procman.platform.outcome import Outcome
from procman.platform.release_phase import ReleasePhase
from procman.platform.situation import Situation, look, next_generation, plan_of, standing
from procman.runtimes.base import RolloutFailed
from procman.store import tables
from procman.store.database import Tx

if TYPE_CHECKING:
    from procman.platform.rollouts import Rollouts

RETRY_S = (1.0, 2.0, 5.0, 15.0, 30.0)  # after trouble that is not the app's own
GIVE_UP = 3  # tries after which a release that cannot be rolled out has failed, and its pusher is told
SHUTTING_DOWN_S = 5.0
log = logging.getLogger(__name__)


class Worker:
    """A poke wakes it; it works until there is nothing left to do."""

    def __init__(self, rollouts: "Rollouts", app_id: str) -> None:
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
        changes = {"status": outcome.status, "reason": outcome.why, "updated_at": self._host.now()}
        await self._host.db.run(lambda tx: tables.releases.update(tx, release.id, **changes))
        self._rollouts.end(app, release, outcome)

    async def _next_generation(self) -> int:
        return await self._host.db.run(lambda tx: next_generation(tx, self._app_id))

    async def _plan(self, app: App, release: Release, slug: Slug, generation: int) -> Plan:
        return await self._host.db.run(lambda tx: plan_of(self._host, tx, app, release, slug, generation))
