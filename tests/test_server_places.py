"""How many may come at once, by how many descriptors the host lets the server have: the numbers fit together."""

import asyncio
import contextlib
import os
import socket
import ssl
import sys

import httpx
import pytest

from procman.platform.logins import Logins
from procman.server.descriptors import Places, places_of
from procman.server.door import Door
from tests.harness import DEADLINE_S, poll
from tests.platform_server import PlatformServer
from tests.server_faults import Words
from tests.test_rendezvous import Dyno, play, tls  # noqa: F401 - fixtures
from tests.test_server_crowds import Crowd

FEW = 1_024  # what many a host gives
LIMITED = ("sh", "-c", f'ulimit -n {FEW} && exec "$0" "$@"', sys.executable, "-P", "-m", "procman")


@pytest.mark.parametrize(
    ("limit", "places"),
    [
        (256, Places(32, 16, 8, 8)),
        (FEW, Places(128, 64, 32, 32)),
        (4_096, Places(512, 256, 128, 128)),
        (65_536, Places(2_000, 500, 200, 500)),
        (1 << 30, Places(2_000, 500, 200, 500)),
    ],
)
def test_places_grow_with_the_limit_up_to_what_anybody_needs(limit, places):
    assert places_of(limit) == places


@pytest.mark.parametrize("limit", [64, 100, 256, 1_000, FEW, 4_096, 10_000, 65_536])
def test_all_who_come_leave_half_of_the_descriptors_and_logins_most_of_a_door(limit):
    places = places_of(limit)
    assert 3 * places.api + 2 * places.attached <= limit / 2
    assert 0 < places.logins <= places.api / 4
    assert 0 < 2 * places.handshakes <= limit / 16


def test_one_login_too_many_ends_the_oldest():
    logins = Logins(2)
    first, second, third = (logins.begin(name) for name in ("first", "second", "third"))
    assert (first.done, first.key) == (True, None)
    assert [logins.find(each.id) for each in (first, second, third)] == [None, second, third]


def test_logins_and_silent_clients_keep_nobody_out_where_there_are_few_descriptors(workshop):
    server = PlatformServer(workshop)
    running = server.start(program=LIMITED)
    try:
        with open(f"/proc/{running.pid}/limits") as file:
            (row,) = [line.split() for line in file if line.startswith("Max open files")]
        assert row[3:5] == [str(FEW)] * 2
        said = Words(server)
        with server.client() as client:
            waiting = [wait_for_a_login(server.port, client) for _ in range(200)]
        with Crowd(server.port, 200), Crowd(server.port + 1, 200):
            server.call("GET", "/apps")
            assert descriptors(running) < FEW / 2
        assert b"Nobody has logged in." in waiting[0].recv(4096)  # his place was given to a later one
        for each in waiting:
            each.close()
        assert "connections wait" not in said.read()
    finally:
        server.close()


def test_who_stops_in_the_handshake_takes_a_place_from_those_who_do_so_and_from_nobody_else(workshop):
    server = PlatformServer(workshop)
    running = server.start(program=LIMITED)
    try:
        trust = ssl.create_default_context(cafile=str(server.data / "tls" / "ca.pem"))
        with server.client(base_url=f"https://localhost:{server.port + 1}", verify=trust) as client:
            assert client.get("/apps").status_code == 200
            before = descriptors(running)
            with contextlib.ExitStack() as stack:
                for door in (server.port + 1, server.port + 2):
                    first, *_ = [stack.enter_context(knock(door)) for _ in range(200)]
                    assert first.recv(1) == b""
                assert client.get("/apps").status_code == 200  # on the connection that it had
                poll(lambda: descriptors(running) <= before + 2 * places_of(FEW).handshakes)  # of 400
                with server.client(base_url=f"https://localhost:{server.port + 1}", verify=trust) as other:
                    assert other.get("/apps").status_code == 200
    finally:
        server.close()


def descriptors(running) -> int:
    """That it has open."""
    return len(os.listdir(f"/proc/{running.pid}/fd"))


def knock(port: int) -> socket.socket:
    """Somebody who does not begin the handshake."""
    return socket.create_connection(("127.0.0.1", port), DEADLINE_S)


def wait_for_a_login(port: int, client: httpx.Client) -> socket.socket:
    """Somebody who asks for one, and is kept waiting."""
    asked = client.post("/auth", json={}).json()
    waits = socket.create_connection(("127.0.0.1", port), DEADLINE_S)
    head = f"GET {asked['cli_url']} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {asked['token']}\r\n\r\n"
    waits.sendall(head.encode())
    return waits


def test_who_comes_to_heroku_run_when_all_places_are_taken_is_sent_away(play):  # noqa: F811
    async def scenario(ground):
        ground.server._most = 2
        silent, one = await ground.connect(), await ground.join()
        ground.dyno = Dyno()
        other = await ground.join()  # in the place of the one who says nothing
        assert await silent[0].read() == b""
        late = await ground.connect()
        assert await late[0].read() == b""
        ground.dyno.prints(b"still there")
        assert await other[0].readexactly(11) == b"still there"
        for _, writer in (silent, one, other, late):
            writer.close()

    play(scenario)


def test_who_is_attached_to_a_dyno_is_not_hung_up_on_for_those_who_come_after(play):  # noqa: F811
    async def scenario(ground):
        ground.server._server.close()
        door = Door(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, most=2)
        door.bind(("127.0.0.1", 0))
        ground.port = door.getsockname()[1]
        await ground.server.start(door, door.let_in)
        attached = await ground.join()
        knocking = [await asyncio.open_connection("127.0.0.1", ground.port) for _ in range(4)]
        for reader, _ in knocking[:2]:
            assert await reader.read() == b""
        ground.dyno.prints(b"still there")
        assert await attached[0].readexactly(11) == b"still there"
        for _, writer in (attached, *knocking):
            writer.close()

    play(scenario)
