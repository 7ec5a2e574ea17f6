"""H codes, domains, certificates, metrics and the plain restart, as a user of a whole server meets them."""

import asyncio
import contextlib
import os
import signal
import socket
import ssl
import threading
from pathlib import Path

import httpx
import pytest

from tests.forever import gone
from tests.harness import DEADLINE_S, free_port, poll
from tests.platform_server import PlatformServer
from tests.receivers import SyslogReceiver, make_certificate
from tests.router_harness import condition

ODD = 'exec "$PY" -u "$CHILDREN/web.py"'
QUIET = "echo ready; exec sleep 1000"


@pytest.fixture
def server(workshop):
    router, https = free_port(), free_port()
    server = PlatformServer(workshop, "--router-port", str(router), "--router-https-port", str(https))
    server.router_port, server.https_port = router, https
    server.start()
    server.create("demo")
    yield server
    server.end_router()
    server.close()


def get(server, path="/", host="demo.localhost", **options) -> httpx.Response:
    url = f"http://127.0.0.1:{server.router_port}{path}"
    return httpx.get(url, headers={"Host": host}, timeout=DEADLINE_S, trust_env=False, **options)


def logged(server, word: str) -> str:
    """The router's line in the app's log, waited for."""
    app_id = server.call("GET", "/apps/demo")["id"]
    store = server.data / "logs" / app_id / "log.000001"

    def look():
        found = [line for line in store.read_text().splitlines() if word in line] if store.exists() else []
        return found[-1] if found else None

    return poll(look, lambda: f"no line with {word}")


def check(server, path: str, status: int, code: str, description: str) -> str:
    """The line of a request that is answered so, by and by: the router hears of a change a moment after the API."""
    poll(lambda: get(server, path).status_code == status)
    line = logged(server, f'code={code} desc="{description}" method=GET path="{path}"')
    assert ' heroku[router]: at=' in line
    assert f'path="{path}" host=demo.localhost request_id=' in line
    assert f"status={status}" in line
    return line


def test_codes_of_apps_without_a_dyno_that_answers(server):
    assert get(server, host="nobodys.localhost").status_code == 404
    check(server, "/blank", 502, "H81", "Blank app")
    server.deploy("demo", {"web": ODD})
    poll(lambda: get(server).status_code == 200)
    assert "dyno=web.1" in check(server, "/drop", 503, "H13", "Connection closed without response")
    with pytest.raises(httpx.RemoteProtocolError):
        get(server, "/part")
    line = logged(server, 'path="/part"')
    assert 'at=error code=H18 desc="Server Request Interrupted"' in line and line.endswith("sock=backend")
    server.call("PATCH", "/apps/demo", {"maintenance": True})
    assert "at=info" in check(server, "/off", 503, "H80", "Maintenance mode")
    server.call("PATCH", "/apps/demo", {"maintenance": False})
    server.scale("demo", web=0)
    check(server, "/none", 503, "H14", "No web processes running")


def test_a_client_that_leaves_is_a_warning_in_the_log(server):
    server.deploy("demo", {"web": ODD})
    poll(lambda: get(server).status_code == 200)
    with socket.create_connection(("127.0.0.1", server.router_port)) as client:
        client.sendall(b"GET /hold?a HTTP/1.1\r\nHost: demo.localhost\r\n\r\n")
        poll(lambda: "holds a" in (server.data / "apps" / server.call("GET", "/apps/demo")["id"] / "log" /
                                   "log.000001").read_text())
    line = logged(server, "/hold?a")
    assert "at=warning code=H27" in line and "status=499" in line and line.endswith("sock=client")


def test_more_than_200_requests_in_flight_at_the_only_dyno_are_too_many(server):
    server.deploy("demo", {"web": ODD})
    poll(lambda: get(server).status_code == 200)
    log = server.data / "apps" / server.call("GET", "/apps/demo")["id"] / "log" / "log.000001"
    with contextlib.ExitStack() as held:
        for _ in range(200):
            client = held.enter_context(socket.create_connection(("127.0.0.1", server.router_port)))
            client.sendall(b"GET /hold?a HTTP/1.1\r\nHost: demo.localhost\r\n\r\n")
        poll(lambda: log.read_text().count("holds a") == 200)
        check(server, "/more", 503, "H11", "Backlog too deep")
    poll(lambda: get(server).status_code == 200)


def test_an_app_that_crashes_is_h10_and_comes_back(server):
    server.deploy("demo", {"web": f"trap 'exit 3' USR1; {ODD.removeprefix('exec ')} & wait"})
    poll(lambda: get(server).status_code == 200)
    for _ in range(2):  # the first crash is followed by another start at once
        pid = poll(lambda: server.pids("demo").get("web.1"))
        os.kill(pid, signal.SIGUSR1)
        poll(lambda pid=pid: server.pids("demo").get("web.1") != pid)
    poll(lambda: server.dynos("demo")["web.1"]["state"] == "crashed")
    assert poll(lambda: answer if (answer := get(server, "/crash")).status_code == 503 else None)
    assert 'code=H10 desc="App crashed"' in logged(server, 'path="/crash"')
    server.call("DELETE", "/apps/demo/dynos")
    poll(lambda: get(server).status_code == 200)


def test_pages_of_the_apps_own_are_config_vars(server):
    pages = {"ERROR_PAGE_URL": "https://pages.example.com/error", "MAINTENANCE_PAGE_URL": "https://pages.example.com/off"}
    server.call("PATCH", "/apps/demo/config-vars", pages)
    server.deploy("demo", {"web": ODD})
    poll(lambda: get(server).status_code == 200)
    assert '<iframe src="https://pages.example.com/error"' in get(server, "/drop").text
    server.call("PATCH", "/apps/demo", {"maintenance": True})
    assert '<iframe src="https://pages.example.com/off"' in get(server).text


def test_domains_and_certificates_count_as_soon_as_the_api_has_answered(server, tmp_path):
    server.deploy("demo", {"web": ODD})
    server.call("POST", "/apps/demo/domains", {"hostname": "www.example.com"})
    assert get(server, host="www.example.com").status_code == 200
    made = make_certificate(tmp_path, "DNS:www.example.com")
    pair = {"certificate_chain": Path(made.certificate).read_text(), "private_key": Path(made.key).read_text()}
    name = server.call("POST", "/apps/demo/sni-endpoints", pair)["name"]
    server.call("PATCH", "/apps/demo/domains/www.example.com", {"sni_endpoint": name})
    trust = ssl.create_default_context(cafile=made.certificate)
    plain = socket.create_connection(("127.0.0.1", server.https_port), DEADLINE_S)
    with trust.wrap_socket(plain, server_hostname="www.example.com") as client:
        client.sendall(b"GET /head HTTP/1.1\r\nHost: www.example.com\r\nConnection: close\r\n\r\n")
        text = b"".join(iter(lambda: client.recv(4096), b"")).lower()
    assert text.startswith(b"http/1.1 200") and b"x-forwarded-proto: https" in text
    server.call("DELETE", "/apps/demo/domains/www.example.com")
    assert get(server, host="www.example.com").status_code == 404


def test_three_web_dynos_on_one_host_all_get_requests(server):
    server.deploy("demo", {"web": ODD})
    server.scale("demo", web=3)
    server.wait_for_dynos("demo", web_1="up", web_2="up", web_3="up")
    seen: set[str] = set()
    poll(lambda: seen.add(get(server).text) or seen == {"web.1", "web.2", "web.3"})


def test_numbers_are_there_right_after_the_requests(server):
    server.deploy("demo", {"web": ODD})
    poll(lambda: get(server).status_code == 200)
    before = poll(lambda: requests_of(server))  # the one that the router had a dyno for
    for _ in range(7):
        get(server)
    poll(lambda: requests_of(server) == before + 7)
    with server.client() as client:
        text = client.get("/metrics").text
    assert 'app="demo"' in text and 'dyno="web.1"' in text
    with server.client(headers={}) as nobody:
        assert nobody.get("/metrics").status_code == 401


def requests_of(server) -> int:
    return server.call("GET", "/apps/demo/metrics")["requests"]["by_status"].get("2xx", 0)


def test_without_preboot_a_release_ends_the_old_dynos_at_once(server):
    server.call("PATCH", "/apps/demo/features/preboot", {"enabled": False})
    server.deploy("demo", {"web": ODD, "worker": QUIET})
    server.scale("demo", worker=1)
    before = poll(lambda: pids if len(pids := server.pids("demo")) == 2 else None)
    app_id = server.call("GET", "/apps/demo")["id"]
    server.call("PATCH", "/apps/demo/config-vars", {"WORD": "two"})
    assert all(gone(pid) for pid in before.values())

    def noticed():
        """The router knows, or has nothing to know any more. Until then requests go where nobody is."""
        told = asyncio.run(condition(server.data / "router", app_id))
        return told == "starting" or "web.1" in server.pids("demo")

    poll(noticed)
    assert get(server).status_code == 200  # it waits for the new one


def test_a_release_that_does_not_come_up_leaves_the_old_one_as_it_was(server):
    server.deploy("demo", {"web": ODD})
    poll(lambda: get(server).status_code == 200)
    before, stop, seen = server.pids("demo"), threading.Event(), []

    def visit():
        while not stop.is_set():
            seen.append(get(server).status_code)

    thread = threading.Thread(target=visit)
    thread.start()
    try:
        release = server.release("demo", {"web": "echo no luck; exit 4"})
        assert server.wait_for_release("demo", release["version"]) == "failed"
    finally:
        stop.set()
        thread.join()
    assert server.pids("demo") == before
    assert set(seen) == {200}


def test_a_tls_drain_gets_lines_of_dyno_router_and_api_each_once_also_over_its_restart(server, tmp_path):
    certificate = make_certificate(tmp_path)

    async def scenario():
        async with SyslogReceiver().listening(certificate.server()) as receiver:

            async def act(*words):
                return await asyncio.to_thread(*words)

            async def arrives(word: bytes, count: int = 1):
                async with asyncio.timeout(DEADLINE_S):
                    await receiver.until(lambda: sum(word in frame for frame in frames()) >= count)

            def frames() -> list[bytes]:
                with contextlib.suppress(AssertionError, ValueError):  # half a frame so far
                    return receiver.frames()
                return []

            url = f"syslog+tls://127.0.0.1:{receiver.port}?insecure=true"
            await act(server.call, "POST", "/apps/demo/log-drains", {"url": url})
            await act(server.deploy, "demo", {"web": ODD})
            await act(get, server, "/first")
            await arrives(b'heroku router - - at=info method=GET path="/first"')
            await arrives(b" app api - - Release v")
            await arrives(b" app web.1 - - ")
            await act(server.stop)
            await act(get, server, "/between")  # HAProxy keeps the line for the next server
            await act(server.start)
            await act(get, server, "/after")
            for path in (b'path="/between"', b'path="/after"'):
                await arrives(path)
            seen = b"".join(frames())
            assert [seen.count(b'path="/%s"' % word) for word in (b"first", b"between", b"after")] == [1, 1, 1]

    asyncio.run(scenario())
