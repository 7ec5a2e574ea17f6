"""One app of a real local runtime: its plans, its home, and a way to play scenarios with it."""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import procman
from procman.core.plan import Plan
from procman.runtimes.local import LocalRuntime
from procman.runtimes.local_surroundings import Surroundings
from tests.harness import DEADLINE_S, MARK, free_port
from tests.served import APP, plan_of

PROGRAM = (sys.executable, "-P", "-m", "procman")


class Ground:
    """One app's plans, and the runtime that runs it; ``changed`` is set at every change."""

    def __init__(self, shop, program=PROGRAM, **around):
        self.shop = shop
        self.mark = shop.mark.decode().partition("=")[2]
        self.homes = shop.directory / "apps"
        self.home = self.homes / APP
        self.slug = shop.directory / "slug"
        self.homes.mkdir(exist_ok=True)
        self.slug.mkdir(exist_ok=True)
        self.base = free_port()
        root = str(Path(procman.__file__).parent.parent)
        self.env = {"PATH": os.environ["PATH"], "PYTHONPATH": root, MARK: self.mark}
        self.around = Surroundings(program, self.env, **around)
        self.changed = asyncio.Event()
        self.runtime = self.begin()

    def begin(self) -> LocalRuntime:
        """A server's start."""
        runtime = LocalRuntime(str(self.homes), self.around)
        runtime.on_change(lambda app_id: self.changed.set())
        return runtime

    async def restart(self) -> LocalRuntime:
        """The server's end, and the next one's start."""
        await self.runtime.close()
        self.runtime = self.begin()
        await self.runtime.find()
        return self.runtime

    def plan(self, generation: int = 1, **changes) -> Plan:
        env = {MARK: self.mark, "PY": sys.executable, **changes.pop("env", {})}
        return plan_of(self.slug, self.base, generation, env, **changes)

    async def release(self, generation: int = 1, **changes) -> None:
        """As the platform does it."""
        await self.runtime.apply(self.plan(generation, **changes))
        await self.runtime.switch(APP, generation)

    async def until(self, holds: Callable[[list], bool]) -> list:
        """The dynos, once that is true of them."""
        async with asyncio.timeout(DEADLINE_S):
            while not holds(dynos := self.runtime.dynos(APP)):
                self.changed.clear()
                await self.changed.wait()
        return dynos

    async def until_up(self, *names: str) -> list:
        return await self.until(lambda dynos: [(d.name, d.state) for d in dynos] == [(name, "up") for name in names])

    async def until_gone(self, pid: int) -> None:
        """A process that is no child of ours has ended."""
        try:
            handle = os.pidfd_open(pid)
        except ProcessLookupError:
            return
        ended = asyncio.Event()
        asyncio.get_running_loop().add_reader(handle, ended.set)
        async with asyncio.timeout(DEADLINE_S):
            await ended.wait()
        asyncio.get_running_loop().remove_reader(handle)
        os.close(handle)


def names_of(dynos) -> list[str]:
    return [dyno.name for dyno in dynos]


def player(workshop):
    """Run a scenario with a ground of its own; then everything of it is ended."""

    def run(scenario: Callable[[Ground], Awaitable[None]], **around) -> None:
        async def whole():
            ground = Ground(workshop, **around)
            try:
                await scenario(ground)
            finally:
                await ground.runtime.remove(APP)
                await ground.runtime.close()

        asyncio.run(whole())
        assert not workshop.wait_until_gone()

    return run


def log_of(ground) -> str:
    return "".join(path.read_text() for path in sorted((ground.home / "log").glob("log.*")))


async def read_all(stream) -> bytes:
    data = b""
    async with asyncio.timeout(DEADLINE_S):
        while chunk := await stream.read():
            data += chunk
    return data
