"""HAProxy killed again and again, under clients that go on: for how long is there nobody?"""

import asyncio
import contextlib
import errno
import socket
import time

import pytest

from procman.router.ports import Ports
from procman.router.runtime_socket import NotAnswering
from tests.router_harness import NAMES, PROGRAMS, Town, end, run, site

VICTIMS = [("master",), ("worker",), ("master", "worker"), ("worker", "master")]
ROUNDS = 12
LONGEST_S = 4.0  # 0.2 s here; with more than that, it was not started again at once


@pytest.fixture(params=PROGRAMS, ids=NAMES)
def haproxy(request):
    return request.param


class Visitors:
    """Clients that connect anew for each request; when they were answered."""

    def __init__(self, town: Town, count: int):
        self.town, self.answered = town, [time.monotonic()]
        self.news = asyncio.Event()
        self.tasks = [asyncio.create_task(self.visit()) for _ in range(count)]

    async def visit(self) -> None:
        while True:
            try:
                answer = await self.town.get()
            except (OSError, asyncio.IncompleteReadError):
                await asyncio.sleep(0.001)  # no busy loop: HAProxy is to have the processor
                continue
            assert (answer.status, answer.body) == (200, b"web.1")
            self.answered.append(time.monotonic())
            self.news.set()

    async def until(self, count: int) -> None:
        wanted = len(self.answered) + count
        while len(self.answered) < wanted:
            self.news.clear()
            await self.news.wait()

    async def stop(self) -> float:
        """The longest time without an answer."""
        for task in self.tasks:
            task.cancel()
        results = await asyncio.gather(*self.tasks, return_exceptions=True)
        assert {type(result) for result in results} == {asyncio.CancelledError}
        return max(later - earlier for earlier, later in zip(self.answered, self.answered[1:], strict=False))


def test_whatever_of_haproxy_is_killed_it_is_back_at_once_each_time(tmp_path, haproxy):
    async def scenario():
        async with Town(tmp_path, haproxy) as town:
            await town.router.apply([site(await town.server())])
            visitors = Visitors(town, 3)
            for number in range(ROUNDS):
                await visitors.until(20)
                before = await town.router._socket.processes()
                for victim in VICTIMS[number % len(VICTIMS)]:
                    with contextlib.suppress(ProcessLookupError):  # it may have followed the other
                        end(getattr(before, victim))
                await back(town, before.master)
            await visitors.until(20)
            assert await visitors.stop() < LONGEST_S

    run(scenario())


async def back(town: Town, killed: int) -> None:
    while True:
        try:
            found = await town.router._socket.processes()
        except NotAnswering:
            found = None
        if found and found.worker and found.master != killed:
            return
        await asyncio.sleep(0.005)


def test_a_start_that_ends_before_it_has_said_who_it_is_is_tried_again(tmp_path, haproxy):
    async def scenario():
        async with Town(tmp_path, haproxy) as town:
            await town.router.apply([site(await town.server())])
            call, tries = town.router._process._call, []

            async def nothing_at_first(*arguments):
                tries.append(arguments)
                return (0, "") if len(tries) == 1 else await call(*arguments)

            town.router._process._call = nothing_at_first
            before = await town.router._socket.processes()
            end(before.master)
            with contextlib.suppress(ProcessLookupError):  # it may have followed
                end(before.worker)
            began = time.monotonic()
            await back(town, before.master)
            assert (await town.get()).status == 200
            assert time.monotonic() - began < 20  # 1 s here
            assert len(tries) == 2

    run(scenario())


def test_a_port_is_nobodys_near_end_while_haproxy_is_away():
    """Free, an even port above 32,767 is given to a client that keeps trying it: it is connected to itself."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    ports = Ports([f"127.0.0.1:{port}"])
    ports.keep()
    try:
        with socket.socket() as other, pytest.raises(OSError) as caught:
            other.bind(("127.0.0.1", port))
        assert caught.value.errno == errno.EADDRINUSE
        with socket.socket() as client:
            assert client.connect_ex(("127.0.0.1", port)) == errno.ECONNREFUSED  # not heard, as nobody listens
        with socket.socket() as haproxy:
            haproxy.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            haproxy.bind(("127.0.0.1", port))
            haproxy.listen()
            late = Ports([f"127.0.0.1:{port}"])
            late.keep()  # HAProxy's own from before: left alone
            late.close()
    finally:
        ports.close()
