"""The workers of all apps, and what became of the latest releases."""

import asyncio

from procman.core.records import App, Release
from procman.platform.app_worker import Worker
from procman.platform.host import Host
from procman.platform.outcome import Outcome
from procman.platform.outputs import Outputs
from procman.platform.release_phase import ReleasePhase
from procman.store import tables
from procman.store.database import Tx

MOST_OUTCOMES = 1000
CUT_OFF = "its release command was cut off by a restart of the server"


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
                tables.releases.update(tx, release.id, status="failed", reason=CUT_OFF, updated_at=host.now())
            return tables.apps.find(tx), cut

        apps, cut = await host.db.run(look)
        for release in cut:
            host.say(release.app_id, f"Release v{release.version} failed: {CUT_OFF}")
        for app in apps:
            self.poke(app.id)

    async def wait(self, release: Release) -> Outcome:
        """Until the release is rolled out, or is not going to be."""
        if release.status != "pending":
            return Outcome(release.status, release.reason)
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

    def is_in_phase(self, release: Release) -> bool:
        """Whether a pending release with a release command is not past it. May be asked within a transaction."""
        phase = self.phases.get(release.id)
        return phase is None or phase.status is None

    def end(self, app: App, release: Release, outcome: Outcome) -> None:
        """What became of it, to be told to whoever waits and to whoever wants to hear of it."""
        self.host.tell_end(app, release._replace(status=outcome.status, reason=outcome.why))
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
