"""Nothing is lost: switches, scaling, reloads and takeovers while requests go on, and HAProxy killed."""

import asyncio
import signal

import pytest

from procman.errors import ProcmanError
from procman.router import Server
from procman.router.runtime_socket import NotAnswering
from tests.router_harness import APP, NAMES, PROGRAMS, Answer, Client, Town, end, run, site


@pytest.fixture(params=PROGRAMS, ids=NAMES)
def haproxy(request):
    return request.param


class Load:
    """Clients with connections that are kept, and some that are not, which count what they get."""

    def __init__(self, town: Town, clients: int = 8):
        self.town = town
        self.counts: dict[str, int] = {}
        self.failures: list[str] = []
        self.stopping = False
        self.tasks = [asyncio.create_task(self.work(number)) for number in range(clients)]

    async def work(self, number: int) -> None:
        keeps = number % 4 > 0
        client: Client | None = None
        while not self.stopping:
            try:
                client = client or await self.town.client()
                upload = {"path": "/upload", "method": "POST", "body": b"x" * 20_000}
                answer = await client.get(**(upload if number % 2 else {}))
                self.note(answer)
                if not keeps or answer.headers.get("connection") == "close":
                    client.close()
                    client = None
            except (OSError, asyncio.IncompleteReadError) as error:
                self.failures.append(repr(error))
                client = None

    def note(self, answer: Answer) -> None:
        if answer.status != 200:
            self.failures.append(f"{answer.status} {answer.body[:80]!r}")
        dyno = answer.headers.get("x-dyno", "")
        self.counts[dyno] = self.counts.get(dyno, 0) + 1

    async def until(self, dyno: str, count: int = 20) -> None:
        """Go on until a dyno has answered so many more."""
        wanted = self.counts.get(dyno, 0) + count
        async with asyncio.timeout(60):
            while self.counts.get(dyno, 0) < wanted and not self.failures:
                await asyncio.sleep(0)

    async def stop(self) -> None:
        self.stopping = True
        await asyncio.gather(*self.tasks)
        assert not self.failures


def test_a_switch_is_one_step_and_what_runs_ends_on_the_old_dyno(tmp_path, haproxy):
    async def scenario():
        async with Town(tmp_path, haproxy) as town:
            old = [await town.server(f"web.{n}", 1) for n in (1, 2)]
            await town.router.apply([site(*old)])
            held = await town.client()
            await held.send(b"GET /hold?a HTTP/1.1\r\nHost: demo.localhost\r\n\r\n")
            async with asyncio.timeout(60):
                lines = [asyncio.create_task(dyno.line()) for dyno in town.dynos]
                await asyncio.wait(lines, return_when=asyncio.FIRST_COMPLETED)
            holder = next(at for at, line in enumerate(lines) if line.done())
            for line in lines:
                line.cancel()
            new = [await town.server(f"web.{n}", 2) for n in (3, 4)]
            client = await town.client()
            await client.get()
            await town.router.apply([site(*new)])
            bodies = {(await client.get()).body for _ in range(40)}
            assert bodies == {b"web.3", b"web.4"}
            assert not await town.router.drain(APP, 1, 0.2), "a request is in flight there"
            draining = asyncio.create_task(town.router.drain(APP, 1, 20))
            await (await town.client(old[holder].port)).get("/open?a")
            assert (await held.answer()).body == f"web.{holder + 1}".encode()
            assert await draining
            assert await town.router.drain(APP, 7, 20), "nothing is there"

    run(scenario())


def test_under_load_dynos_are_switched_scaled_and_killed_without_a_failure(tmp_path, haproxy):
    async def scenario():
        async with Town(tmp_path, haproxy) as town:
            await town.router.apply([site(await town.server("web.0", 1))])
            load = Load(town)
            await load.until("web.0")
            for generation in range(2, 7):
                old = town.dynos[:]
                name = f"web.{generation}"
                first = await town.server(name, generation)
                await town.router.apply([site(first)])
                assert await town.router.drain(APP, generation - 1, 20)
                for dyno in old:
                    await dyno.kill()
                town.dynos = [dyno for dyno in town.dynos if dyno not in old]
                await load.until(name)
                more = await town.server(f"web.{generation + 10}", generation)
                await town.router.apply([site(first, more)])
                await load.until(f"web.{generation + 10}")
                await town.router.apply([site(first)])
            await load.stop()
            assert len(town.router._orders.arrangement.slots) <= 3

    run(scenario())


def test_reloads_under_load_lose_nothing(tmp_path, haproxy):
    async def scenario():
        async with Town(tmp_path, haproxy, slots=1) as town:
            sites = [site(await town.server())]
            await town.router.apply(sites)
            load = Load(town)
            await load.until("web.1")
            for number in range(3):
                before = (await town.router._socket.processes()).worker
                for _ in range(2 ** (number + 1)):
                    sites.append(site(state="none", app_id=f"a{len(sites)}", hosts=(f"h{len(sites)}.localhost",)))
                await town.router.apply(sites)
                assert (await town.router._socket.processes()).worker != before, "there was no reload"
                await load.until("web.1", 40)
            server = await town.server("web.2", 2)
            sites[0] = site(server)
            await town.router.apply(sites)
            assert await town.router.drain(APP, 1, 20)
            await town.dynos[0].kill()
            await load.until("web.2", 40)
            await load.stop()

    run(scenario())


def test_the_next_router_takes_the_running_haproxy_over(tmp_path, haproxy):
    async def scenario():
        async with Town(tmp_path, haproxy) as town:
            await town.router.apply([site(await town.server("web.1", 1))])
            before = await town.router._socket.processes()
            load = Load(town)
            await load.until("web.1")
            await town.router.close()
            await load.until("web.1")  # nobody is there but HAProxy
            lines = len(town.lines)
            town.router = town.make_router()
            await town.router.start()
            assert await town.router._socket.processes() == before
            await town.router.apply([site(await town.server("web.2", 2))])
            await load.until("web.2")
            assert await town.router.drain(APP, 1, 20)
            await town.dynos[0].kill()
            await load.stop()
            assert len(town.lines) > lines + 20, "what was logged in between is read now"
            assert (await town.router._socket.processes()).worker == before.worker, "without a reload"

    run(scenario())


def test_a_killed_haproxy_is_back_at_once_with_all_that_it_was_told(tmp_path, haproxy):
    async def scenario():
        async with Town(tmp_path, haproxy) as town:
            for victim in ("master", "worker"):
                await town.router.apply([site(await town.server("web.1", 1), hosts=(f"{victim}.localhost",))])
                before = await town.router._socket.processes()
                end(getattr(before, victim), signal.SIGKILL)
                async with asyncio.timeout(60):
                    while await master_of(town) in {None, before.master}:
                        await asyncio.sleep(0.01)
                    while not (answer := await attempt(town, f"{victim}.localhost")):
                        await asyncio.sleep(0.01)
                assert (answer.status, answer.body) == (200, b"web.1")

    run(scenario())


async def master_of(town: Town) -> int | None:
    try:
        return (await town.router._socket.processes()).master
    except NotAnswering:
        return None


async def attempt(town: Town, host: str) -> Answer | None:
    try:
        return await town.get(host=host)
    except (OSError, asyncio.IncompleteReadError):
        return None


def test_servers_that_left_are_forgotten_when_their_last_request_has_ended(tmp_path, haproxy):
    async def scenario():
        async with Town(tmp_path, haproxy) as town:
            servers = [await town.server(f"web.{n}", 1) for n in (1, 2)]
            await town.router.apply([site(*servers)])
            holds = await town.client(servers[0].port)
            await holds.send(b"GET /hold?a HTTP/1.1\r\nHost: x\r\n\r\n")  # not through the router: it is not in the way
            await town.router.apply([site(servers[1])])
            await town.router.apply([site(Server("web.1", 2, servers[0].port))])
            async with asyncio.timeout(60):
                while any(slot.leaving for slot in town.router._orders.arrangement.slots.values()):
                    await asyncio.sleep(0.01)
            worker = (await town.router._socket.processes()).worker
            labels = {row.label for row in await town.router._socket.usage(worker) if row.label != "BACKEND"}
            assert labels == {"web.1:2"}
            assert (await town.get()).body == b"web.1"

    run(scenario())


def test_a_port_that_is_taken_is_said(tmp_path, haproxy):
    async def scenario():
        async with Town(tmp_path, haproxy) as town:
            other = Town(tmp_path / "other", haproxy)
            other.port = town.port
            other.router = other.make_router()
            with pytest.raises(ProcmanError, match="cannot start HAProxy"):
                await other.router.start()
            await other.router.close()

    run(scenario())
