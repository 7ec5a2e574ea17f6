"""What passes through the router and how: names, headers, bodies, tunnels, waiting."""

import asyncio
import base64
import hashlib
import os
import re
import time

import pytest

from procman.router import Server
from tests.router_harness import APP, CALM, NAMES, PROGRAMS, SOON, Client, Town, run, site, values

UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


@pytest.fixture(params=PROGRAMS, ids=NAMES)
def haproxy(request):
    return request.param


def seen(body: bytes) -> dict[str, list[str]]:
    """The headers that a dyno saw."""
    found: dict[str, list[str]] = {}
    for line in body.decode().strip().split("\r\n")[1:]:
        name, _, value = line.partition(":")
        found.setdefault(name.lower(), []).append(value.strip())
    return found


def test_names_lead_to_apps(tmp_path, haproxy):
    async def scenario():
        async with Town(tmp_path, haproxy) as town:
            one, two = await town.server("web.1"), await town.server("web.2")
            await town.router.apply(
                [
                    site(one, hosts=("demo.localhost", "*.example.com")),
                    site(two, app_id="a2", app_name="other", hosts=("www.example.com", "*.deep.example.com")),
                ]
            )
            rows = {
                "demo.localhost": b"web.1",
                "DEMO.localhost:8080": b"web.1",
                "a.example.com": b"web.1",
                "a.b.c.example.com": b"web.1",
                "www.example.com": b"web.2",
                "x.deep.example.com": b"web.2",
            }
            for host, dyno in rows.items():
                assert (await town.get(host=host)).body == dyno, host
            for host in ("example.com", "nobody.localhost", "demo.localhost.evil.org", "[::1]:80", "127.0.0.1"):
                answer = await town.get(host=host)
                assert (answer.status, b"No such app" in answer.body) == (404, True), host

    run(scenario())


def test_headers_are_those_of_heroku(tmp_path, haproxy):
    async def scenario():
        async with Town(tmp_path, haproxy) as town:
            await town.router.apply([site(await town.server())])
            before = int(time.time() * 1000)
            sent = seen((await town.get("/head")).body)
            assert sent["x-forwarded-for"] == ["127.0.0.1"]
            assert (sent["x-forwarded-proto"], sent["x-forwarded-port"]) == (["http"], [str(town.port)])
            # HAProxy looks at the clock once in a turn of its loop, which may have begun a moment before.
            assert before - 1000 <= int(sent["x-request-start"][0]) <= int(time.time() * 1000) + 1000
            assert UUID.fullmatch(sent["x-request-id"][0])
            assert sent["via"] == ["1.1 procman"]
            assert values(await town.line("/head"))["request_id"] == sent["x-request-id"][0]

            spoofed = [
                "X-Forwarded-For: 203.0.113.9",
                "X-Forwarded-Proto: https",
                "X-Forwarded-Port: 443",
                "X-Request-Start: 1",
                "Via: 1.0 before",
                "Proxy: http://evil.example",
                "Proxy-Authorization: Basic x",
                "TE: trailers",
                "Keep-Alive: 300",
            ]
            sent = seen((await town.get("/head", headers=spoofed)).body)
            assert sent["x-forwarded-for"] == ["203.0.113.9, 127.0.0.1"]
            assert (sent["x-forwarded-proto"], sent["x-forwarded-port"]) == (["http"], [str(town.port)])
            assert sent["x-request-start"] != ["1"]
            assert sent["via"] == ["1.0 before", "1.1 procman"]
            assert not sent.keys() & {"proxy", "proxy-authorization", "te", "keep-alive"}

    run(scenario())


def test_a_request_id_is_taken_over_if_it_can_be_one(tmp_path, haproxy):
    async def scenario():
        async with Town(tmp_path, haproxy) as town:
            await town.router.apply([site(await town.server())])
            for given, kept in [("a" * 20, True), ("A9+/=-" * 10, True), ("short", False), ("x" * 201, False)]:
                sent = seen((await town.get("/head", headers=[f"X-Request-Id: {given}"])).body)["x-request-id"]
                assert (sent == [given]) is kept
                assert kept or UUID.fullmatch(sent[0])
            sent = seen((await town.get("/head", headers=["X-Request-Id: " + "bad chars! " * 3])).body)
            assert UUID.fullmatch(sent["x-request-id"][0])

    run(scenario())


def test_a_connection_is_kept_for_the_next_request(tmp_path, haproxy):
    async def scenario():
        async with Town(tmp_path, haproxy) as town:
            await town.router.apply([site(await town.server())])
            client = await town.client()
            for _ in range(3):
                answer = await client.get()
                assert (answer.status, answer.body, answer.headers["via"]) == (200, b"web.1", "1.1 procman")
                assert "keep-alive" not in answer.headers
            answer = await client.get(method="HEAD")
            assert (answer.status, answer.body) == (200, b"")

    run(scenario())


def test_bodies_of_any_kind_arrive_whole(tmp_path, haproxy):
    async def scenario():
        async with Town(tmp_path, haproxy) as town:
            await town.router.apply([site(await town.server())])
            client = await town.client()
            big = os.urandom(3_000_000)
            assert (await client.get("/upload", method="POST", body=big)).body == b"3000000"
            await client.send(b"PUT /upload HTTP/1.1\r\nHost: demo.localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
            for part in (b"abc", b"defgh"):
                await client.send(b"%x\r\n%b\r\n" % (len(part), part))
            await client.send(b"0\r\n\r\n")
            assert (await client.answer()).body == b"8"

    run(scenario())


def test_the_router_answers_100_continue_itself_and_nothing_else_that_is_expected(tmp_path, haproxy):
    async def scenario():
        async with Town(tmp_path, haproxy) as town:
            await town.router.apply([site(await town.server())])
            client = await town.client()
            head = "POST /{} HTTP/1.1\r\nHost: demo.localhost\r\nContent-Length: 5\r\nExpect: {}\r\n\r\n"
            await client.send(head.format("upload", "100-continue").encode())
            assert await client.head() == (100, {})
            await client.send(b"12345")
            answer = await client.answer()
            assert (answer.status, answer.body, answer.interim) == (200, b"5", ())
            other = await town.client()
            await other.send(head.format("upload", "a-miracle").encode())
            assert (await other.answer()).status == 417
            other.close()  # its body never comes; else it is waited for as long as any
            line = await town.line("code=H26")
            assert line.startswith(
                'at=error code=H26 desc="Request Error" cause="unsupported expect header value" method=POST path='
            )
            assert " dyno= connect= service= status=417 bytes= protocol=http" in line

    run(scenario())


def test_a_response_is_passed_on_as_it_comes(tmp_path, haproxy):
    async def scenario():
        async with Town(tmp_path, haproxy) as town:
            server = await town.server()
            await town.router.apply([site(server)])
            client = await town.client()
            await client.send(b"GET /stream HTTP/1.1\r\nHost: demo.localhost\r\n\r\n")
            status, headers = await client.head()
            assert (status, headers["transfer-encoding"]) == (200, "chunked")
            parts = client.chunks()
            assert await anext(parts) == b"first"
            await (await town.client(server.port)).get("/open?stream")
            assert [part async for part in parts] == [b"second"]

    run(scenario())


async def upgraded(town: Town) -> Client:
    """A client that has a WebSocket."""
    client = await town.client()
    key = base64.b64encode(os.urandom(16))
    await client.send(
        b"GET /ws HTTP/1.1\r\nHost: demo.localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + key + b"\r\n\r\n"
    )
    status, headers = await client.head()
    accept = base64.b64encode(hashlib.sha1(key + MAGIC).digest()).decode()
    assert (status, headers["upgrade"], headers["sec-websocket-accept"]) == (101, "websocket", accept)
    return client


def test_a_websocket_is_a_tunnel(tmp_path, haproxy):
    async def scenario():
        async with Town(tmp_path, haproxy) as town:
            await town.router.apply([site(await town.server())])
            client = await upgraded(town)
            for text in (b"hello", b"again"):
                await client.send(frame(0x81, text))
                assert await client.reader.readexactly(2 + len(text)) == bytes([0x81, len(text)]) + text
            await client.send(frame(0x88, b""))
            assert await client.reader.read() == bytes([0x88, 0])
            client.close()
            found = values(await town.line("/ws"))
            assert (found["at"], found["status"], found["dyno"]) == ("info", "101", "web.1")

    run(scenario())


def test_a_websocket_that_says_nothing_is_closed(tmp_path, haproxy):
    async def scenario():
        async with Town(tmp_path, haproxy, timeouts=CALM._replace(idle=SOON)) as town:
            await town.router.apply([site(await town.server())])
            client = await upgraded(town)
            assert await client.reader.read() == b""
            assert values(await town.line("/ws"))["code"] == "H15"

    run(scenario())


def frame(first: int, text: bytes) -> bytes:
    mask = os.urandom(4)
    return bytes([first, 0x80 | len(text)]) + mask + bytes(byte ^ mask[at % 4] for at, byte in enumerate(text))


def test_dynos_are_chosen_at_random_and_one_that_refuses_is_passed_over(tmp_path, haproxy):
    async def scenario():
        async with Town(tmp_path, haproxy) as town:
            servers = [await town.server(f"web.{n}") for n in (1, 2, 3)]
            await town.router.apply([site(*servers)])
            client = await town.client()
            chosen = [(await client.get()).body for _ in range(300)]
            counts = [chosen.count(dyno) for dyno in (b"web.1", b"web.2", b"web.3")]
            assert min(counts) > 60, f"not evenly: {counts}"
            assert chosen[:297] != chosen[3:], "in turn, not at random"
            await town.dynos[0].kill()
            answers = [await client.get() for _ in range(40)]
            assert {answer.status for answer in answers} == {200}
            assert {answer.body for answer in answers} == {b"web.2", b"web.3"}
            await town.dyno("web.1", port=servers[0].port)
            async with asyncio.timeout(60):
                while (await client.get()).body != b"web.1":
                    pass

    run(scenario())


def test_requests_wait_for_a_dyno_that_starts(tmp_path, haproxy):
    async def scenario():
        async with Town(tmp_path, haproxy) as town:
            await town.router.apply([site(state="starting")])
            clients = [await town.client() for _ in range(20)]
            for client in clients:
                await client.send(b"GET / HTTP/1.1\r\nHost: demo.localhost\r\n\r\n")
            await town.router.apply([site(await town.server())])
            answers = [await client.answer() for client in clients]
            assert {(answer.status, answer.body) for answer in answers} == {(200, b"web.1")}
            await town.router.apply([site(state="starting")])
            await clients[0].send(b"GET /late HTTP/1.1\r\nHost: demo.localhost\r\n\r\n")
            await town.router.apply([site(state="crashed")])
            assert (await clients[0].answer()).status == 503
            assert values(await town.line("/late"))["code"] == "H10"

    run(scenario())


def test_pages_of_the_apps_own_are_shown_in_a_frame(tmp_path, haproxy):
    async def scenario():
        async with Town(tmp_path, haproxy) as town:
            server = await town.server()
            pages = {
                "error_page_url": "https://pages.example/error?a=1&b='2'",
                "maintenance_page_url": "https://pages.example/maintenance",
            }
            await town.router.apply([site(server)])
            plain = (await town.get("/drop")).body
            assert b'<iframe src=""' in plain
            assert b'class=""' in plain
            await town.router.apply([site(server, **pages)])
            answer = await town.get("/drop")
            assert answer.status == 503
            assert b'<iframe src="https://pages.example/error?a=1&amp;b=%272%27"' in answer.body
            assert b'class="framed"' in answer.body
            await town.router.apply([site(server, maintenance=True, **pages)])
            answer = await town.get()
            assert b'<iframe src="https://pages.example/maintenance"' in answer.body
            await town.router.apply([site(server)])
            assert (await town.get("/drop")).body == plain

    run(scenario())


def test_session_affinity_leads_a_client_back_to_its_dyno(tmp_path, haproxy):
    async def scenario():
        async with Town(tmp_path, haproxy) as town:
            servers = [await town.server(f"web.{n}") for n in (1, 2, 3)]
            await town.router.apply([site(*servers, session_affinity=True)])
            first = await town.get()
            cookie = first.headers["set-cookie"].partition(";")[0]
            assert cookie.startswith("heroku-session-affinity=")
            client = await town.client()
            bodies = {(await client.get(headers=[f"Cookie: {cookie}"])).body for _ in range(15)}
            assert bodies == {first.body}
            await town.router.apply([site(*servers)])
            assert "set-cookie" not in (await town.get()).headers

    run(scenario())


def test_what_was_counted(tmp_path, haproxy):
    async def scenario():
        async with Town(tmp_path, haproxy) as town:
            server = await town.server()
            await town.router.apply([site(server)])
            for path in ("/", "/?2", "/drop", "/teapot?404+No"):
                await town.get(path)
            held = await town.client()
            await held.send(b"GET /hold?x HTTP/1.1\r\nHost: demo.localhost\r\n\r\n")
            assert await town.dynos[0].line() == "holds x"
            await town.line("teapot")
            counts = (await town.router.stats())[APP]["web.1"]
            assert (counts.requests, counts.sessions) == (4, 1)
            assert (counts.statuses, counts.codes) == ({2: 2, 4: 1, 5: 1}, {"H13": 1})
            assert counts.percentile(0.5) <= counts.percentile(0.99)
            await town.router.apply([])
            assert not (await town.router.stats()).get(APP, {}).get("")

    run(scenario())


def test_an_unlucky_port_is_no_reason_to_lose_a_request(tmp_path, haproxy):
    async def scenario():
        async with Town(tmp_path, haproxy) as town:
            good = await town.server("web.2")
            await town.router.apply([site(Server("web.1", 1, 1), good)])
            answers = await asyncio.gather(*(town.get() for _ in range(30)))
            assert {answer.status for answer in answers} == {200}

    run(scenario())
