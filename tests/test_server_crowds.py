"""Thousands who connect and say nothing, or half of it; no descriptors left: who has something to ask is answered."""

import os
import resource
import signal
import socket
import ssl
import time

import pytest

from tests.deploy_site import DeploySite
from tests.harness import DEADLINE_S, poll
from tests.platform_server import WAIT
from tests.server_faults import Words, limit
from tests.test_server_survival import LISTEN

CROWD = 2_200  # more than the server has room for at a time
HALF = b"GET /apps HTTP/1.1\r\nHost: localhost\r\nX-Slow: l"  # and then nothing more
SCARCE = 24


@pytest.fixture(scope="module")
def site():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 8_192)), hard))
    site = DeploySite()
    try:
        site.start()
        site.server.create("demo")
        site.server.deploy("demo", {"web": LISTEN, "worker": WAIT})
        poll(lambda: site.visit("demo").status_code == 204)
        yield site
    finally:
        site.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


class Crowd:
    """Clients that hold a connection: every other has begun a request, and none goes on."""

    def __init__(self, port: int, count: int = CROWD) -> None:
        self._clients = []
        for number in range(count):
            client = socket.create_connection(("127.0.0.1", port), DEADLINE_S)
            self._clients.append(client)
            if number % 2:
                client.send(HALF)

    def __enter__(self) -> "Crowd":
        return self

    def __exit__(self, *_) -> None:
        for client in self._clients:
            client.close()


def descriptors(site) -> int:
    return len(os.listdir(f"/proc/{site.server.running.pid}/fd"))


def cpu_s(site) -> float:
    with open(f"/proc/{site.server.running.pid}/stat") as file:
        words = file.read().rpartition(") ")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def ask_api(site) -> None:
    site.server.call("GET", "/apps")


def ask_with_tls(site) -> None:
    trust = ssl.create_default_context(cafile=str(site.server.data / "tls" / "ca.pem"))
    with site.server.client(base_url=f"https://localhost:{site.server.port + 1}", verify=trust) as client:
        assert client.get("/apps").status_code == 200


def run_a_dyno(site) -> None:
    """As the Heroku client does it."""
    dyno = site.server.call("POST", "/apps/demo/dynos", {"command": "echo hello", "attach": True})
    secret = dyno["attach_url"].rpartition("/")[2]
    trust = ssl.create_default_context(cafile=str(site.server.data / "tls" / "ca.pem"))
    plain = socket.create_connection(("127.0.0.1", site.server.port + 2), DEADLINE_S)
    with trust.wrap_socket(plain, server_hostname="localhost") as client:
        client.sendall(f"{secret}\r\n".encode())
        said = b""
        while b"hello" not in said and (chunk := client.recv(4096)):
            said += chunk
    assert b"hello" in said


def visit(site) -> None:
    assert site.visit("demo").status_code == 204


DOORS = {"API": (0, ask_api), "API with TLS": (1, ask_with_tls), "heroku run": (2, run_a_dyno), "router": (None, visit)}


@pytest.mark.parametrize("door", DOORS)
def test_thousands_of_half_open_clients_keep_nobody_out_and_leave_nothing(site, door):
    offset, ask = DOORS[door]
    before = descriptors(site)
    with Crowd(site.server.router_port if offset is None else site.server.port + offset):
        ask(site)
        ask_api(site)
        visit(site)
    poll(lambda: descriptors(site) <= before + 2, lambda: f"{before} before, {descriptors(site)} after")


def test_without_descriptors_the_server_says_so_and_waits_and_dynos_and_router_do_not_notice(site):
    site.server.scale("demo", worker=1)
    before = poll(lambda: "worker.1" in (found := site.server.pids("demo")) and found)
    said, used = Words(site.server), descriptors(site)
    soft = limit(site.server, resource.RLIMIT_NOFILE, used + 3)
    with Crowd(site.server.port, SCARCE):
        poll(lambda: f"connections wait: Too many open files ({used + 3} may be open" in said.read())
        began, spent = time.monotonic(), cpu_s(site)
        for _ in range(50):
            visit(site)
        os.kill(before["worker.1"], signal.SIGKILL)
        poll(lambda: site.server.pids("demo").get("worker.1", before["worker.1"]) != before["worker.1"])
        assert cpu_s(site) - spent < max(0.5 * (time.monotonic() - began), 0.2)
        limit(site.server, resource.RLIMIT_NOFILE, soft)
        ask_api(site)
    assert site.server.pids("demo")["web.1"] == before["web.1"]
    assert said.read().count("connections wait") < 5
    assert "Traceback" not in said.read()
    poll(lambda: descriptors(site) <= used + 2)
