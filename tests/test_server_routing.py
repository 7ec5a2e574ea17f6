"""The router as the server drives it: a real HAProxy before real dynos, and what it is told when."""

import asyncio
import errno
import os
import signal
import socket
import threading

import httpx
import pytest

from procman.core.records import App, Domain, FormationType, Release
from procman.errors import ProcmanError
from procman.platform.host import Host, Settings
from procman.platform.layout import Layout
from procman.runtimes.base import DynoState
from procman.server.routing import RouterTraffic
from procman.store import tables
from procman.store.database import Database
from tests.harness import DEADLINE_S, free_port, poll
from tests.platform_server import WAIT, PlatformServer
from tests.server_fakes import FakeLog
from tests.test_server_survival import LISTEN

NAMED = LISTEN.replace("204 No Content\\r\\n\\r\\n", "200 OK\\r\\nX-Word: '\"$WORD\"'\\r\\n\\r\\n")


@pytest.fixture
def server(workshop):
    server = PlatformServer(workshop, "--router-port", str(free_port()))
    server.router_port = int(server.flags[-1])
    yield server
    for line in (server.data / "router" / "haproxy.pid").read_text().split():
        os.kill(int(line), signal.SIGTERM)
    server.close()


def visit(server: PlatformServer, name: str = "demo", path: str = "/") -> httpx.Response:
    port = server.router_port
    headers = {"Host": f"{name}.localhost:{port}"}
    return httpx.get(f"http://127.0.0.1:{port}{path}", headers=headers, timeout=DEADLINE_S, trust_env=False)


def is_answered(server: PlatformServer, status: int, text: str = "", name: str = "demo"):
    def look():
        answer = visit(server, name)
        return answer if answer.status_code == status and text in answer.text else None

    return poll(look)


def test_a_name_leads_to_its_app_through_everything_that_happens_to_it(server):
    server.start()
    assert is_answered(server, 404, name="nobodys")
    server.create("demo")
    assert is_answered(server, 502, "Nothing here")
    server.deploy("demo", {"web": NAMED, "worker": WAIT})
    assert is_answered(server, 200).headers["x-word"] == ""
    server.call("PATCH", "/apps/demo/config-vars", {"WORD": "one"})
    poll(lambda: visit(server).headers.get("x-word") == "one")
    server.call("PATCH", "/apps/demo", {"maintenance": True})
    assert is_answered(server, 503, "maintenance")
    server.call("PATCH", "/apps/demo", {"maintenance": False})
    server.call("POST", "/apps/demo/domains", {"hostname": "shop.example.com"})
    headers = {"Host": "shop.example.com"}
    url = f"http://127.0.0.1:{server.router_port}/"
    assert httpx.get(url, headers=headers, trust_env=False, timeout=DEADLINE_S).headers["x-word"] == "one"
    server.call("PATCH", "/apps/demo", {"name": "other"})
    assert is_answered(server, 404)
    assert is_answered(server, 200, name="other")
    server.scale("other", web=0)
    assert is_answered(server, 503, name="other")
    app_id = server.call("GET", "/apps/other")["id"]
    store = server.data / "logs" / app_id / "log.000001"
    poll(lambda: 'heroku[router]: at=error code=H14 desc="No web processes running"' in store.read_text())
    assert 'heroku[router]: at=info method=GET path="/" host=demo.localhost' in store.read_text()
    server.call("DELETE", "/apps/other")
    assert is_answered(server, 404, name="other")


def test_no_request_is_lost_while_releases_come_and_the_server_goes(server):
    server.start()
    server.create("demo")
    server.deploy("demo", {"web": NAMED})
    server.scale("demo", web=2)
    server.wait_for_dynos("demo", web_1="up", web_2="up")
    assert is_answered(server, 200)
    stop, seen = threading.Event(), []

    def visit_on():
        while not stop.is_set():
            try:
                answer = visit(server)
                seen.append((answer.status_code, answer.text))
            except httpx.HTTPError as error:
                seen.append((0, repr(error)))

    thread = threading.Thread(target=visit_on)
    thread.start()
    try:
        for word in ("one", "two"):
            server.call("PATCH", "/apps/demo/config-vars", {"WORD": word})
            poll(lambda word=word: visit(server).headers.get("x-word") == word)
        server.call("DELETE", "/apps/demo/dynos")
        server.kill()
        before = len(seen)
        poll(lambda: len(seen) > before + 5)
        server.start()
        server.call("PATCH", "/apps/demo/config-vars", {"WORD": "three"})
        poll(lambda: visit(server).headers.get("x-word") == "three")
        server.scale("demo", web=1)
        poll(lambda: set(server.dynos("demo")) == {"web.1"})
    finally:
        stop.set()
        thread.join()
    assert [answer for answer in seen if answer[0] != 200] == []
    assert len(seen) > 20


def test_a_port_of_the_router_that_is_taken_is_named_with_what_to_type(workshop):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        words = ("--data", str(workshop.directory / "data"), "--port", str(free_port()), "--router-port", str(port))
        done = workshop.call("server", *words)
    assert done.returncode == 1
    assert f"127.0.0.1:{port}" in done.stderr
    assert "hint: procman server --router-port" in done.stderr
    server = PlatformServer(workshop, "--owner", "me@example.com")
    try:  # what failed has made nobody's account
        assert "Made the account me@example.com; " in server.start().text()
    finally:
        server.close()


class FakeRouter:
    def __init__(self):
        self.told, self.trouble = [], None

    async def start(self):
        pass

    async def apply(self, sites):
        if self.trouble:
            raise self.trouble
        self.told.append(sites)

    async def drain(self, app_id, generation, seconds):
        return True

    async def close(self):
        pass


class FakeDynos:
    def __init__(self):
        self.rows, self.listeners = [], []

    def dynos(self, app_id):
        return self.rows

    def on_change(self, listener):
        self.listeners.append(listener)


def dyno(name="web.1", generation=5, state="up", port=20_001, **more):
    values = (name, name.partition(".")[0], generation, 3, state, 1.0, port, 1, 1, "Basic", "serve")
    return DynoState(*values, **more)


def app_of(**more) -> App:
    values = ("app-1", "demo", "u", "dev@example.com", False, "r-3", 5, 5, None, 20_000, None, 0.0, 0.0, 0.0)
    return App(*values)._replace(**more)


@pytest.fixture
def route(tmp_path):
    """What the router is told of one app: ``route(app, config, rows)``."""

    def run(scenario, config=None, quantity=1, **more):
        async def whole():
            layout = Layout(str(tmp_path))
            layout.make()
            db = Database(layout.database)
            host = Host(db, FakeDynos(), layout, FakeLog(), Settings())
            db.call(lambda tx: fill(tx, app_of(**more), config or {}, quantity))
            traffic = RouterTraffic(host, FakeRouter(), 200)
            try:
                async with asyncio.timeout(DEADLINE_S):
                    await scenario(host, traffic, traffic._router)
            finally:
                await traffic.close()
                db.close()

        asyncio.run(whole())

    return run


def fill(tx, app, config, quantity):
    tx.execute("PRAGMA foreign_keys=OFF")
    tx.execute("PRAGMA defer_foreign_keys=ON")
    from procman.core.records import Slug, User

    tables.users.insert(tx, User("u", "dev@example.com", None, None, True, 0.0, 0.0))
    tables.apps.insert(tx, app)
    slug = Slug("s-1", "app-1", "ready", {"web": "serve"}, None, None, None, 1, "heroku-24", None, {}, 0.0, 0.0)
    tables.slugs.insert(tx, slug)
    words = (3, "Deploy", "succeeded", "s-1", config, "u", "dev@example.com", None, 0.0, 0.0)
    tables.releases.insert(tx, Release("r-3", "app-1", *words))
    tables.formation.insert(tx, FormationType("f-1", "app-1", "web", quantity, "Basic", 0.0, 0.0))
    tables.domains.insert(tx, Domain("d-1", "app-1", "demo.localhost", "heroku", None, 0.0, 0.0))


def test_only_dynos_of_the_current_generation_that_are_up_on_ports_of_their_own_get_requests(route):
    async def scenario(host, traffic, router):
        host.runtime.rows = [
            dyno("web.10"), dyno("web.2", port=20_002), dyno("web.1", generation=6), dyno("web.3", state="starting"),
            dyno("web.4", port=80), dyno("web.5", port=None), dyno("worker.1"), dyno("web.6", one_off=True),
        ]
        await traffic.start()
        (site,) = router.told[-1]
        assert [server.label for server in site.servers] == ["web.2:5", "web.10:5"]
        assert site.hosts == ("demo.localhost",)

    route(scenario, quantity=10)


def test_a_dyno_that_is_to_go_gets_no_requests_while_it_is_still_there(route):
    async def scenario(host, traffic, router):
        host.runtime.rows = [dyno("web.1"), dyno("web.2", port=20_002), dyno("web.3", port=20_003)]
        await traffic.start()
        (site,) = router.told[-1]
        assert [server.dyno for server in site.servers] == ["web.1", "web.2"]

    route(scenario, quantity=2)


@pytest.mark.parametrize(
    ("rows", "quantity", "state"),
    [
        ([], 0, "none"),
        ([], 1, "starting"),
        ([dyno(state="starting")], 1, "starting"),
        ([dyno(state="crashed")], 1, "crashed"),
        ([dyno(state="crashed"), dyno("web.2", state="starting")], 2, "starting"),
        ([dyno(state="crashed"), dyno("web.2")], 2, "up"),
    ],
)
def test_it_is_told_why_there_is_no_dyno(route, rows, quantity, state):
    async def scenario(host, traffic, router):
        host.runtime.rows = rows
        await traffic.start()
        assert router.told[-1][0].state == state

    route(scenario, quantity=quantity)


def test_error_pages_are_told_unless_they_can_be_none(route):
    async def scenario(host, traffic, router):
        await traffic.start()
        (site,) = router.told[-1]
        assert (site.error_page_url, site.maintenance_page_url, site.maintenance) == ("https://x.io/e", None, True)

    route(scenario, {"ERROR_PAGE_URL": "https://x.io/e", "MAINTENANCE_PAGE_URL": "nonsense"}, maintenance=True)


def test_many_changes_are_told_once_and_no_change_not_at_all(route):
    async def scenario(host, traffic, router):
        await traffic.start()
        await asyncio.gather(*(traffic.route("app-1") for _ in range(20)))
        assert len(router.told) == 1
        host.runtime.rows = [dyno()]
        for listener in host.runtime.listeners * 20:
            listener("app-1")
        await traffic.route("app-1")
        assert len(router.told) == 2

    route(scenario)


def test_a_switch_waits_for_a_router_in_trouble_but_not_for_ever(route, monkeypatch):
    monkeypatch.setattr("procman.server.routing.AGAIN_S", 0.01)
    monkeypatch.setattr("procman.server.routing.PATIENCE_S", 0.05)

    async def scenario(host, traffic, router):
        await traffic.start()
        host.runtime.rows = [dyno()]
        router.trouble = ProcmanError("cannot configure HAProxy")
        await traffic.route("app-1")
        assert len(router.told) == 1
        monkeypatch.setattr("procman.server.routing.PATIENCE_S", 20.0)
        asyncio.get_running_loop().call_later(0.02, setattr, router, "trouble", None)
        await traffic.route("app-1")
        assert router.told[-1][0].servers

    route(scenario)


def test_older_dynos_stay_for_as_long_as_the_router_cannot_be_told_of_the_newer(route, monkeypatch):
    monkeypatch.setattr("procman.server.routing.AGAIN_S", 0.01)
    monkeypatch.setattr("procman.server.routing.PATIENCE_S", 0.05)

    async def scenario(host, traffic, router):
        await traffic.start()
        host.runtime.rows = [dyno(generation=4), dyno()]
        router.trouble = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        await traffic.route("app-1")
        drained = asyncio.ensure_future(traffic.drain("app-1", 5, 0.0))
        await traffic.route("app-1")
        assert not drained.done()
        router.trouble = None
        await drained
        assert router.told[-1][0].servers[0].generation == 5

    route(scenario)
