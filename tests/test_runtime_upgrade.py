"""What a server asks of supervisors of another version, and what it says of those that do not do it."""

import asyncio
import json
import logging

import pytest

from procman import __version__
from procman.runtimes.local_home import AppHome
from procman.runtimes.local_upgrade import AGAIN_S, Upgrader

OLD = {"version": "0.0.1"}
BUSY = {"ok": False, "error": "generation 2 is being rolled out"}


class Supervisor:
    """Answers by a list what it is told. ``asked``: the verbs."""

    def __init__(self, directory, *answers) -> None:
        self.home = AppHome(str(directory), None)
        self.answers = list(answers)
        self.asked: list[str] = []

    async def __aenter__(self) -> "Supervisor":
        self._server = await asyncio.start_unix_server(self._serve, self.home.socket)
        return self

    async def __aexit__(self, *_) -> None:
        self._server.close()
        await self._server.wait_closed()

    async def _serve(self, reader, writer) -> None:
        self.asked.append(json.loads(await reader.readline())["verb"])
        writer.write(json.dumps(self.answers.pop(0)).encode() + b"\n")
        await writer.drain()
        writer.close()


@pytest.fixture
def said(caplog):
    caplog.set_level(logging.WARNING, "procman.runtimes.local_upgrade")
    return lambda: [record.getMessage().partition(": ")[2] for record in caplog.records]


def test_one_of_our_version_is_left_alone(tmp_path, said):
    async def scenario():
        async with Supervisor(tmp_path) as supervisor:
            await Upgrader(supervisor.home).heed({"version": __version__})
            assert supervisor.asked == []

    asyncio.run(scenario())
    assert said() == []


def test_a_refusal_is_said_once_and_it_is_asked_again_later_until_it_can(tmp_path, said):
    async def scenario():
        now = [100.0]
        answers = (BUSY, BUSY, {"ok": True, "pid": 1}, {"version": __version__, "dynos": []})
        async with Supervisor(tmp_path, *answers) as supervisor:
            upgrader = Upgrader(supervisor.home, lambda: now[0])
            await upgrader.heed(OLD)
            await upgrader.heed(OLD)  # too soon
            assert supervisor.asked == ["upgrade"]
            now[0] += AGAIN_S
            await upgrader.heed(OLD)
            now[0] += AGAIN_S
            await upgrader.heed(OLD)
            assert supervisor.asked == ["upgrade", "upgrade", "upgrade", "states"]

    asyncio.run(scenario())
    assert said() == ["its supervisor goes on with procman 0.0.1: generation 2 is being rolled out"]


@pytest.mark.parametrize("after", [{"dynos": []}, {**OLD, "dynos": []}])
def test_one_that_becomes_no_other_is_not_asked_for_ever(tmp_path, said, after):
    async def scenario():
        now = [100.0]
        async with Supervisor(tmp_path, {"ok": True, "pid": 1}, after) as supervisor:
            upgrader = Upgrader(supervisor.home, lambda: now[0])
            for _ in range(3):
                await upgrader.heed(OLD)
                now[0] += 1000 * AGAIN_S
            assert supervisor.asked == ["upgrade", "states"]

    asyncio.run(scenario())
    assert said() == ["its supervisor goes on with procman 0.0.1: its program was started from another place than ours"]


def test_one_that_dies_over_it_is_nobodys_trouble(tmp_path, said):
    async def scenario():
        await Upgrader(AppHome(str(tmp_path), None)).heed(OLD)

    asyncio.run(scenario())
    assert said() == []
