"""How long a host that a user names may take: all its addresses together, and all of its answer."""

import asyncio
import contextlib
import socket
import ssl
import threading
from types import SimpleNamespace

import pytest

from procman import reach
from procman.errors import ProcmanError
from procman.platform import build_sources
from procman.reach import MOST_ADDRESSES, Overdue, Patience, Reach, reason
from tests.api_cases import certificate

MANY = [f"203.0.113.{number}" for number in range(1, 101)]


@pytest.fixture
def many(monkeypatch):
    """A name with a hundred addresses."""
    monkeypatch.setattr(reach, "look_up", lambda host, port, flags=0: MANY)


def test_of_many_addresses_that_say_nothing_few_are_tried_and_none_takes_the_time_of_all(many, monkeypatch):
    clock, tried = SimpleNamespace(now=100.0), []

    def create_connection(place, timeout):
        tried.append((place[0], timeout))
        clock.now += timeout
        raise TimeoutError

    monkeypatch.setattr(reach, "time", SimpleNamespace(monotonic=lambda: clock.now))
    monkeypatch.setattr(socket, "create_connection", create_connection)
    with pytest.raises(TimeoutError):
        Reach().connect("many.example", 80, 16.0)
    assert [address for address, _ in tried] == MANY[:MOST_ADDRESSES]
    assert [timeout for _, timeout in tried] == pytest.approx([16.0 / MOST_ADDRESSES] * MOST_ADDRESSES)
    assert clock.now == pytest.approx(116.0)


def test_what_an_address_that_refuses_at_once_has_left_is_for_the_others(many, monkeypatch):
    tried = []

    def create_connection(place, timeout):
        tried.append(timeout)
        if len(tried) < MOST_ADDRESSES:
            raise ConnectionRefusedError
        return "connected"

    monkeypatch.setattr(reach, "time", SimpleNamespace(monotonic=lambda: 5.0))
    monkeypatch.setattr(socket, "create_connection", create_connection)
    assert Reach().connect("many.example", 80, 24.0) == "connected"
    assert tried == pytest.approx([24.0 / left for left in range(MOST_ADDRESSES, 0, -1)])


def test_a_drain_comes_to_the_address_that_answers_behind_those_that_do_not(many):
    tried = []

    async def open_at(address):
        tried.append(address)
        if len(tried) < MOST_ADDRESSES:
            await asyncio.Event().wait()
        return address

    found = asyncio.run(Reach().reached("many.example", 80, open_at, 0.2))
    assert (found, tried) == (MANY[MOST_ADDRESSES - 1], MANY[:MOST_ADDRESSES])


@contextlib.contextmanager
def babbling(first: bytes, again: bytes, tls: ssl.SSLContext | None = None):
    """The port of a server that answers with ``first``, and then with the same again and again, without a pause."""

    def babble():
        with (
            contextlib.suppress(OSError),
            server.accept()[0] as client,
            tls.wrap_socket(client, server_side=True) if tls else client as stream,
        ):
            stream.sendall(first)
            while True:
                stream.sendall(again)

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=babble)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            socket.create_connection(server.getsockname()).close()  # if nobody came, it still waits for somebody
            thread.join()


ENDLESS = {"heads": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"), "body": (b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 1000)}


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("said", ENDLESS.values(), ids=ENDLESS)
def test_an_answer_that_never_ends_is_given_up_though_something_comes_all_the_time(
    tmp_path, monkeypatch, scheme, said
):
    context = None
    if scheme == "https":
        certificate(tmp_path, "localhost")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tmp_path / "localhost.pem", tmp_path / "localhost.key")
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "localhost.pem"))

    def read(url):
        with Reach(local=True).open(url, {}, Patience(20.0, 0.3)) as answer:
            while answer.read1(4096):
                pass

    with babbling(*said, tls=context) as port, pytest.raises(OSError) as late:
        read(f"{scheme}://localhost:{port}/")
    assert reason(late.value) == "it did not come within 0.3 s"


def test_a_source_that_trickles_is_a_sentence_and_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(build_sources, "PATIENCE", Patience(20.0, 0.2))
    late = pytest.raises(ProcmanError, match=r"cannot fetch the source: it did not come within 0\.2 s")
    with babbling(*ENDLESS["heads"]) as port, late:
        build_sources.fetch(f"http://127.0.0.1:{port}/x.tgz", str(tmp_path), Reach(local=True))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_silence_until_the_end_is_told_as_the_end_in_a_handshake_too(scheme):
    with socket.create_server(("127.0.0.1", 0)) as server, pytest.raises(OSError) as late:  # which takes nobody
        Reach(local=True).open(f"{scheme}://127.0.0.1:{server.getsockname()[1]}/", {}, Patience(20.0, 0.05))
    assert reason(late.value) == "it did not come within 0.05 s"


def test_who_takes_nothing_until_the_end_is_told_as_the_end():
    with socket.create_server(("127.0.0.1", 0)) as server:
        connection = Reach(local=True).http("127.0.0.1", server.getsockname()[1], False, Patience(20.0, 0.2))
        with contextlib.closing(connection), pytest.raises(Overdue):
            connection.request("POST", "/", bytes(64 << 20))


def test_addresses_that_say_nothing_until_the_end_are_told_as_the_end(many, monkeypatch):
    clock = SimpleNamespace(now=100.0)

    def create_connection(place, timeout):
        clock.now += timeout
        raise TimeoutError("timed out")

    monkeypatch.setattr(reach, "time", SimpleNamespace(monotonic=lambda: clock.now))
    monkeypatch.setattr(socket, "create_connection", create_connection)
    for patience, kind in ((Patience(20.0, 16.0), Overdue), (Patience(16.0, 20.0), TimeoutError)):
        with pytest.raises(TimeoutError) as late:
            Reach().http("many.example", 80, False, patience).request("GET", "/")
        assert type(late.value) is kind


def test_patience_has_steps_and_an_end():
    assert Patience(3.0, 0.5).left() == 3.0  # it has not begun
    assert Patience(3.0, 60.0).begun().left() == 3.0
    assert Patience(60.0, 3.0).begun().left() == pytest.approx(3.0, abs=1.0)
    with pytest.raises(Overdue, match="it did not come within 0 s"):
        Patience(3.0, 0.0).begun().left()
