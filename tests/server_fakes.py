"""A host without processes: a runtime that runs nothing and says what it was told, a log in memory, a fake clock."""

import asyncio
from collections import defaultdict

import httpx

from procman.api.application import Api
from procman.api.routes import ROUTES
from procman.core.formation import wanted_dynos
from procman.platform import users
from procman.platform.builds import Builds
from procman.platform.host import Host, Settings
from procman.platform.layout import Layout
from procman.platform.outputs import Outputs
from procman.platform.rollouts import Rollouts
from procman.runtimes.base import DynoState, RolloutFailed
from procman.store.database import Database


class FakeStream:
    """An attached one-off whose output is known beforehand."""

    def __init__(self, output: bytes):
        self.chunks = [output] if output else []
        self.closed = False

    async def read(self) -> bytes:
        return self.chunks.pop(0) if self.chunks else b""

    async def write(self, data: bytes) -> None:
        self.chunks.append(data)

    def close(self) -> None:
        self.closed = True


class FakeRuntime:
    """Every dyno is up at once, unless ``failing`` names its type; ``crashed``: how dynos ended that were up."""

    def __init__(self):
        self.plans = {}
        self.calls = []
        self.failing: dict[str, RolloutFailed] = {}
        self.crashed: dict[str, str] = {}
        self.gate: asyncio.Event | None = None  # apply of a new generation waits for it
        self.release_output = b""
        self.release_status = 0
        self.listeners = []
        self.called = asyncio.Event()

    def note(self, *call):
        self.calls.append(call)
        self.called.set()

    async def until_called(self, *call):
        while call not in self.calls:
            self.called.clear()
            await self.called.wait()

    async def apply(self, plan, progress=lambda dyno: None):
        self.note("apply", plan.generation)
        before = self.plans.get(plan.app_id)
        if self.gate and (before is None or before.generation != plan.generation):
            await self.gate.wait()
        for process_type, failure in self.failing.items():
            if plan.rollout == "preboot" and process_type in plan.types and plan.types[process_type].quantity:
                raise failure
        self.plans[plan.app_id] = plan
        for listener in self.listeners:
            listener(plan.app_id)

    async def switch(self, app_id, generation):
        self.note("switch", generation)

    async def abandon(self, app_id, generation):
        self.note("abandon", generation)

    async def restart(self, app_id, words):
        self.note("restart", tuple(words))

    async def stop(self, app_id, name):
        self.note("stop", name)

    async def start_one_off(self, app_id, one_off):
        self.note("run", one_off.command)

    async def attach_one_off(self, app_id, one_off):
        self.note("attach", one_off.command)
        return FakeStream(self.release_output)

    async def wait_one_off(self, app_id, name):
        return self.release_status

    async def remove(self, app_id):
        self.plans.pop(app_id, None)

    def dynos(self, app_id):
        plan = self.plans.get(app_id)
        if plan is None:
            return []
        formation = {name: kind.quantity for name, kind in plan.types.items()}
        return [
            DynoState(
                str(dyno), dyno.process_type, plan.generation, plan.version,
                "crashed" if str(dyno) in self.crashed else "up", 1.0, plan.ports[0] + at, 100 + at, 1,
                plan.types[dyno.process_type].limits.size, plan.types[dyno.process_type].command,
                self.crashed.get(str(dyno)),
            )
            for at, dyno in enumerate(wanted_dynos(formation))
        ]

    def on_change(self, listener):
        self.listeners.append(listener)


class FakeLog:
    """Lines by app, as ``source[ps]: text``."""

    def __init__(self):
        self.lines = defaultdict(list)

    def write(self, app_id, source, ps, text):
        self.lines[app_id].append(f"{source}[{ps}]: {text}")

    def forget(self, app_id):
        self.lines.pop(app_id, None)


class WatchedDatabase(Database):
    """The real one; who waits for a change hears of each transaction that ends."""

    def __init__(self, path):
        super().__init__(path)
        self.ended = asyncio.Event()

    async def run(self, work):
        before = self._connection.total_changes
        try:
            return await super().run(work)
        finally:
            if self._connection.total_changes != before:
                self.ended.set()

    async def until(self, look):
        """What ``look`` finds: asked anew when something was written."""
        while True:
            self.ended.clear()
            if found := await look():
                return found
            await self.ended.wait()


class FakeRendezvous:
    def __init__(self):
        self.expected = []

    def expect(self, start, on_timeout, seconds):
        self.expected.append((start, on_timeout))
        return f"rendezvous://127.0.0.1:5002/secret{len(self.expected)}"


class Platform:
    """A host with an owner, and a client of its API that has the owner's key."""

    def __init__(self, directory, **settings):
        self.layout = Layout(str(directory))
        self.layout.make()
        self.db = WatchedDatabase(self.layout.database)
        self.runtime, self.log, self.rendezvous = FakeRuntime(), FakeLog(), FakeRendezvous()
        self.time = 1_700_000_000.0
        told = Settings(**{"allow_local_addresses": True, **settings})
        self.host = Host(
            self.db, self.runtime, self.layout, self.log, told, rendezvous=self.rendezvous, now=self.now
        )
        outputs = Outputs(self.layout)
        self.host.rollouts, self.host.builds = Rollouts(self.host, outputs), Builds(self.host, outputs)
        self.owner, self.key = self.user("dev@example.com", admin=True)
        self.api = Api(self.host, ROUTES)

    def now(self) -> float:
        self.time += 0.001
        return self.time

    def user(self, email, password=None, admin=False):
        def insert(tx):
            user = users.insert_user(self.host, tx, email, password, admin)
            return user, users.insert_key(self.host, tx, user, "test")[1]

        return self.db.call(insert)

    def client(self, key=None) -> httpx.AsyncClient:
        headers = {
            "Accept": "application/vnd.heroku+json; version=3",
            "Authorization": f"Bearer {self.key if key is None else key}",
        }
        transport = httpx.ASGITransport(self.api, raise_app_exceptions=True)
        return httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:5000", headers=headers)

    async def close(self):
        await self.host.rollouts.close()
        self.db.close()
