"""Drains and the metrics in an app's log, through a whole server: real dynos, a real router, real receivers."""

import asyncio
import os
import re
import textwrap

import pytest

from tests.harness import DEADLINE_S, free_port, poll
from tests.platform_server import PlatformServer
from tests.receivers import HttpReceiver, make_certificate, unframe
from tests.test_server_codes import ODD, get

# In the place of `log-runtime-metrics`' 20 seconds: read by every Python that the server starts, before all else.
HASTY = """
import sys
if "supervise" in sys.orig_argv:
    import procman.supervisor.memory_rules as rules
    rules.PERIOD_S = 1.0
"""


@pytest.fixture
def server(workshop):
    server = PlatformServer(workshop, "--router-port", str(free_port()))
    server.router_port = int(server.flags[-1])
    yield server
    server.end_router()
    server.close()


def with_drain(server, url: str, trusted: str) -> None:
    server.start(env={"SSL_CERT_FILE": trusted})
    server.create("demo")
    server.deploy("demo", {"web": ODD})
    poll(lambda: get(server).status_code == 200)
    server.call("POST", "/apps/demo/log-drains", {"url": url})


def words(frames: list[bytes]) -> bytes:
    return b"".join(frames)


async def act(*call):
    return await asyncio.to_thread(*call)


def test_an_https_drain_that_fails_now_and_then_loses_nothing_and_repeats_only_what_it_names_again(server, tmp_path):
    certificate = make_certificate(tmp_path)

    async def scenario():
        async with HttpReceiver(500, 200, 0, 200, 200, 503, 200).listening(certificate.server()) as receiver:
            url = f"https://user:secret@127.0.0.1:{receiver.port}/"
            await act(with_drain, server, url, certificate.certificate)
            for number in range(8):
                await act(get, server, f"/books/{number}")
                path = b'path="/books/%d"' % number
                await receiver.until(lambda path=path: path in words(receiver.accepted()))
            seen = words(receiver.accepted())
            assert [seen.count(b'path="/books/%d"' % number) for number in range(8)] == [1] * 8
            assert b"Error L10" not in seen
            again: dict[str, set[bytes]] = {}
            for request in receiver.requests:
                assert int(request.header("Logplex-Msg-Count")) == len(unframe(request.body))
                assert request.header("Authorization") == "Basic dXNlcjpzZWNyZXQ="
                again.setdefault(request.header("Logplex-Frame-Id"), set()).add(request.body)
            assert [len(bodies) for bodies in again.values()] == [1] * len(again)
            assert [request.answer for request in receiver.requests].count(200) == len(again)

    asyncio.run(asyncio.wait_for(scenario(), 2 * DEADLINE_S))


def test_an_https_drain_that_fails_twice_is_told_by_l10_how_much_it_lost_and_no_other_drain_notices(server, tmp_path):
    certificate = make_certificate(tmp_path)

    async def scenario():
        async with (
            HttpReceiver(503, 500).listening(certificate.server()) as failing,
            HttpReceiver().listening(certificate.server()) as healthy,
        ):
            await act(with_drain, server, f"https://127.0.0.1:{failing.port}/", certificate.certificate)
            url = f"https://127.0.0.1:{healthy.port}/"
            await act(server.call, "POST", "/apps/demo/log-drains", {"url": url})
            await act(get, server, "/lost")
            await healthy.until(lambda: b'path="/lost"' in words(healthy.accepted()))
            await failing.until(lambda: len(failing.requests) >= 2)
            await act(get, server, "/after")
            await failing.until(lambda: b'path="/after"' in words(failing.accepted()))
            told = re.findall(rb"<172>1 \S+ host heroku logplex - Error L10 \(output buffer overflow\): (\d+) messages "
                              rb"dropped since \S+\.\n", words(failing.accepted()))
            assert [int(count) for count in told] == [len(unframe(failing.requests[0].body))]
            assert failing.requests[0].body == failing.requests[1].body
            assert b"L10" not in words(healthy.accepted())

    asyncio.run(asyncio.wait_for(scenario(), 2 * DEADLINE_S))


def test_runtime_metrics_are_in_the_log_and_in_the_numbers_once_they_are_wished(server, tmp_path):
    (tmp_path / "sitecustomize.py").write_text(textwrap.dedent(HASTY))
    server.start(env={"PYTHONPATH": f"{tmp_path}{os.pathsep}{server.shop.env['PYTHONPATH']}"})
    server.create("demo")
    server.deploy("demo", {"web": ODD})
    app_id = server.call("GET", "/apps/demo")["id"]
    log = server.data / "apps" / app_id / "log" / "log.000001"
    assert "sample#" not in log.read_text()
    server.call("PATCH", "/apps/demo/features/log-runtime-metrics", {"enabled": True})
    server.call("DELETE", "/apps/demo/dynos")  # as on Heroku: from the next start of a dyno
    poll(lambda: "sample#memory_quota" in log.read_text())
    lines = [line.partition(" heroku[web.1]: ")[2] for line in log.read_text().splitlines() if "sample#" in line]
    head = rf"source=web\.1 dyno=heroku\.{app_id}\.[0-9a-f-]{{36}} "
    assert re.fullmatch(head + r"sample#load_avg_1m=\d+\.\d\d", lines[0])
    sizes = "".join(rf"sample#memory_{name}=\d+\.\d\dMB " for name in ("total", "rss", "cache", "swap"))
    pages = r"(sample#memory_pgpgin=\d+pages sample#memory_pgpgout=\d+pages )?"
    assert re.fullmatch(head + sizes + pages + r"sample#memory_quota=512\.00MB", lines[1])
    with server.client() as client:
        poll(lambda: re.search(r'load\w*\{[^}]*dyno="web\.1"', client.get("/metrics").text))
