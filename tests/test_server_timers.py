"""H codes of what takes too long, through a whole server whose router has less patience than Heroku's."""

import asyncio
import os
import re
import signal
import socket

import pytest

from procman.router.binary import find_binary
from tests.harness import DEADLINE_S, free_port, poll
from tests.platform_server import PlatformServer
from tests.router_harness import looked_at
from tests.test_server_codes import ODD, get, logged

TIMES = {"connect": 1.5, "first-byte": 0.6, "idle": 0.9, "head": 0.6, "boot": 0.5, "quarantine": 0.1}
MOODY = 'exec "$PY" -u "$CHILDREN/moody.py"'
LEGACY = find_binary().version.startswith("2.6.")
LINE = re.compile(
    r'at=(?P<at>\w+)( code=(?P<code>H\d\d) desc="(?P<desc>[^"]+)")? method=(?P<method>\w+) path="(?P<path>[^"]+)" '
    r'host=(?P<host>\S+) request_id=(?P<id>\S+) fwd="127.0.0.1" dyno=(?P<dyno>\S*) connect=(?P<connect>\d+ms)? '
    r"service=(?P<service>\d+ms)? status=(?P<status>\d+) bytes=(?P<bytes>\d*) protocol=http( sock=(?P<sock>\w+))?$"
)


@pytest.fixture
def server(workshop):
    times = ",".join(f"{name}={value}" for name, value in TIMES.items())
    server = PlatformServer(workshop, "--router-port", str(free_port()), "--router-timeouts", times)
    server.router_port = int(server.flags[server.flags.index("--router-port") + 1])
    server.start()
    server.create("demo")
    yield server
    server.end_router()
    server.close()


def line_of(server, path: str) -> dict[str, str]:
    """The router's line about the last request of a path, in the app's log stream: its keys."""
    line = logged(server, f'path="{path}"')
    assert " heroku[router]: " in line
    found = LINE.fullmatch(line.partition(" heroku[router]: ")[2])
    assert found, line
    return found.groupdict()


def check(server, path: str, code: str, description: str, status: str = "503") -> dict[str, str]:
    found = line_of(server, path)
    assert (found["code"], found["desc"], found["status"]) == (code, description, status)
    return found


def milliseconds(found: dict[str, str], key: str) -> int:
    return int(found[key].removesuffix("ms"))


def send(server, request: bytes) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", server.router_port), DEADLINE_S)
    client.sendall(request)
    return client


def rest(client: socket.socket) -> bytes:
    with client:
        return b"".join(iter(lambda: client.recv(65536), b""))


def test_a_dyno_that_takes_too_long_is_named_with_the_time_it_took(server):
    server.deploy("demo", {"web": ODD})
    poll(lambda: get(server).status_code == 200)
    assert "Application error" in (answer := get(server, "/hang")).text and answer.status_code == 503
    found = check(server, "/hang", "H12", "Request timeout")
    assert (found["at"], found["dyno"], found["bytes"]) == ("error", "web.1", "0")
    assert milliseconds(found, "connect") < 1_500
    assert 599 <= milliseconds(found, "service") < 5_000
    assert rest(send(server, b"GET /stall HTTP/1.1\r\nHost: demo.localhost\r\n\r\n")).endswith(b"not all")
    found = check(server, "/stall", "H15", "Idle connection")
    assert (found["dyno"], found["sock"]) == ("web.1", None)
    assert 899 <= milliseconds(found, "service") < 5_000 and int(found["bytes"]) > 7
    assert get(server, "/junk").status_code == 503
    check(server, "/junk", *(("H17", "Poorly formatted HTTP response") if LEGACY else ("H12", "Request timeout")))
    assert get(server, "/").status_code == 200  # and is well


def test_a_client_that_stops_in_its_body_and_a_tunnel_that_falls_silent_are_ended(server):
    server.deploy("demo", {"web": ODD})
    poll(lambda: get(server).status_code == 200)
    seen = rest(send(server, b"POST /upload HTTP/1.1\r\nHost: demo.localhost\r\nContent-Length: 9\r\n\r\nabc"))
    if LEGACY:
        assert seen.startswith(b"HTTP/1.1 503 ")
        check(server, "/upload", "H12", "Request timeout")
    else:
        assert check(server, "/upload", "H28", "Client Connection Idle", "499")["at"] == "warning"
    upgrade = b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    seen = rest(send(server, b"GET /ws HTTP/1.1\r\nHost: demo.localhost\r\n" + upgrade + b"\r\n"))
    assert seen.startswith(b"HTTP/1.1 101 ")
    assert milliseconds(check(server, "/ws", "H15", "Idle connection"), "service") >= 899
    trickle = send(server, b"GET /slow HTTP/1.1\r\nHost: demo.localhost\r\n")
    assert rest(trickle).startswith(b"HTTP/1.1 408 ")


def test_an_app_that_does_not_come_up_is_waited_for_and_named(server):
    server.call("PATCH", "/apps/demo/features/preboot", {"enabled": False})  # else nothing of it would be routed to
    server.deploy("demo", {"web": "echo on my way; exec sleep 1000"})
    poll(lambda: get(server, "/boot").status_code == 503)  # until the router has heard of it
    found = check(server, "/boot", "H20", "App boot timeout")
    assert (found["dyno"], found["connect"], found["service"], found["bytes"]) == ("", None, None, "")


def test_a_dyno_that_takes_no_connections_is_named_by_how_it_does_not(server):
    server.deploy("demo", {"web": MOODY})
    poll(lambda: get(server).status_code == 200)
    asyncio.run(looked_at(server.data / "router"))
    assert get(server, "/deaf").status_code == 200
    assert get(server, "/timeout").status_code == 503
    found = check(server, "/timeout", "H19", "Backend connection timeout")
    assert (found["connect"], found["service"], found["bytes"]) == (None, None, "")
    os.kill(server.pids("demo")["web.1"], signal.SIGUSR1)
    poll(lambda: get(server).status_code == 200)


def test_a_dyno_that_refuses_connections_is_named_and_comes_back_by_itself(server):
    server.deploy("demo", {"web": MOODY})
    poll(lambda: get(server).status_code == 200)
    asyncio.run(looked_at(server.data / "router"))
    assert get(server, "/refuse").status_code == 200
    assert get(server, "/refused").status_code == 503
    found = check(server, "/refused", "H21", "Backend connection refused")
    assert (found["connect"], found["service"], found["bytes"]) == (None, None, "")
    assert get(server, "/still").status_code == 503
    check(server, "/still", "H99", "Platform error")
    os.kill(server.pids("demo")["web.1"], signal.SIGUSR1)
    poll(lambda: get(server, "/again").status_code == 200)


def test_an_expectation_nobody_has_and_ids_by_the_dozen(server):
    server.deploy("demo", {"web": ODD})
    poll(lambda: get(server).status_code == 200)
    wish = b"Content-Length: 1\r\nExpect: tea\r\nConnection: close\r\n\r\nx"
    seen = rest(send(server, b"POST /tea HTTP/1.1\r\nHost: demo.localhost\r\n" + wish))
    assert seen.startswith(b"HTTP/1.1 417 ")
    line = logged(server, 'path="/tea"')
    assert 'at=error code=H26 desc="Request Error" cause="unsupported expect header value" method=POST' in line
    ids = b"".join(b"X-Request-Id: %s\r\n" % (letter * 20) for letter in (b"a", b"b"))
    seen = rest(send(server, b"GET /head HTTP/1.1\r\nHost: demo.localhost\r\nConnection: close\r\n" + ids + b"\r\n"))
    (told,) = re.findall(rb"(?i)x-request-id: (\S+)", seen)
    assert line_of(server, "/head")["id"] == told.decode()
    assert len(told) == 36 and b"aaaa" not in told


def test_time_limits_that_are_none_are_refused_with_what_to_type(workshop):
    for words, reason in [
        ("first=1", "'first' is none of connect, first-byte, idle, head, keep-alive, boot, quarantine"),
        ("idle=0", "idle is to be in seconds"),
        ("idle=1e3", "idle is to be in seconds"),
        ("", "'' is none of"),
    ]:
        done = workshop.call("server", "--router-timeouts", words)
        assert done.returncode == 2
        assert reason in done.stderr
        assert "hint: " in done.stderr and "--router-timeouts first-byte=60" in done.stderr
    unit = workshop.call("server", "install", "--print", "--router-timeouts", "first-byte=60,idle=90.5").stdout
    assert "--router-timeouts=first-byte=60,idle=90.5" in unit
