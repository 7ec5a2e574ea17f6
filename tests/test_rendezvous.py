"""The rendezvous protocol over real TLS: what the Heroku client does, and what strangers do."""

import asyncio
import os
import socket
import ssl
import stat
from pathlib import Path

import pytest

from procman.errors import ProcmanError
from procman.rendezvous import certificates
from procman.rendezvous.server import CHUNK, HELLO, SECRET_LIMIT, RendezvousServer, Times

DEADLINE_S = 60.0
QUICK = Times(secret=0.3, gap=0.01, idle=10.0, drain=2.0)


class Dyno:
    """A stream whose other end the test holds."""

    def __init__(self):
        self.printed: asyncio.Queue[bytes] = asyncio.Queue()
        self.typed: asyncio.Queue[bytes] = asyncio.Queue()
        self.closed = asyncio.Event()

    async def read(self) -> bytes:
        return await self.printed.get()

    async def write(self, data: bytes) -> None:
        await self.typed.put(data)

    def close(self) -> None:
        self.closed.set()

    def prints(self, *chunks: bytes) -> None:
        for chunk in chunks:
            self.printed.put_nowait(chunk)


@pytest.fixture(scope="module")
def tls(tmp_path_factory) -> str:
    directory = str(tmp_path_factory.mktemp("tls"))
    assert certificates.ensure(directory, certificates.names_of_host())
    return directory


class Ground:
    def __init__(self, tls: str, times: Times):
        self.server = RendezvousServer("127.0.0.1:0", certificates.context_of(tls), times)
        self.trust = ssl.create_default_context(cafile=f"{tls}/ca.pem")
        self.dyno = Dyno()
        self.gave_up = asyncio.Event()

    async def start(self) -> None:
        sock = socket.create_server(("127.0.0.1", 0))
        self.port = sock.getsockname()[1]
        await self.server.start(sock)

    def expect(self, seconds: float = 30.0) -> bytes:
        """The secret."""

        async def begin():
            return self.dyno

        url = self.server.expect(begin, self.gave_up.set, seconds)
        assert url.startswith("rendezvous://127.0.0.1:0/")
        return url.rpartition("/")[2].encode()

    async def connect(self, name: str = "127.0.0.1"):
        return await asyncio.open_connection("127.0.0.1", self.port, ssl=self.trust, server_hostname=name)

    async def join(self):
        """As the client: show the secret, and take the first chunk for the greeting, whatever is in it."""
        reader, writer = await self.connect()
        writer.write(self.expect() + b"\r\n")
        assert await reader.read(CHUNK) == HELLO
        return reader, writer


@pytest.fixture
def play(tls):
    def run(scenario, times: Times = QUICK):
        async def whole():
            ground = Ground(tls, times)
            await ground.start()
            try:
                async with asyncio.timeout(DEADLINE_S):
                    await scenario(ground)
            finally:
                await ground.server.close()

        asyncio.run(whole())

    return run


def test_bytes_go_both_ways_until_the_dyno_ends(play):
    async def scenario(ground):
        ground.dyno.prints(b"already there")
        reader, writer = await ground.join()
        assert await reader.readexactly(13) == b"already there"
        writer.write(b"\x03\x04\xff")
        assert await ground.dyno.typed.get() == b"\x03\x04\xff"
        ground.dyno.prints(b"last words", b"")
        assert await reader.read() == b"last words"
        assert ground.dyno.closed.is_set()

    play(scenario)


def test_the_greeting_comes_alone_however_much_the_dyno_has_to_say(play):
    async def scenario(ground):
        ground.dyno.prints(b"x" * 100_000, b"")
        reader, _ = await ground.join()
        assert len(await reader.read()) == 100_000

    play(scenario)


def test_a_client_that_types_while_the_dyno_ends_still_gets_its_last_words(play):
    async def scenario(ground):
        for _ in range(20):
            ground.dyno = Dyno()
            reader, writer = await ground.join()
            ground.dyno.prints(b"last words", b"")
            writer.write(b"\x04")
            assert await reader.read() == b"last words"
            writer.close()

    play(scenario)


def test_the_dyno_hears_that_the_client_has_gone(play):
    async def scenario(ground):
        _, writer = await ground.join()
        writer.transport.abort()
        await ground.dyno.closed.wait()

    play(scenario)


def test_what_a_dyno_says_after_its_client_has_gone_is_no_news(play, caplog):
    async def scenario(ground):
        ground.dyno.prints(b"ready")
        reader, writer = await ground.join()
        assert await reader.readexactly(5) == b"ready"
        writer.transport.abort()
        ground.dyno.prints(*[b"x" * 1000] * 100)
        await ground.dyno.closed.wait()

    play(scenario)
    assert caplog.records == []


def test_a_secret_is_good_once(play):
    async def scenario(ground):
        secret = ground.expect()
        reader, writer = await ground.connect()
        writer.write(secret + b"\r\n")
        assert await reader.read(CHUNK) == HELLO
        again, writer2 = await ground.connect()
        writer2.write(secret + b"\r\n")
        assert await again.read() == b""
        assert not ground.gave_up.is_set()

    play(scenario)


def test_who_does_not_come_in_time_is_given_up(play):
    async def scenario(ground):
        secret = ground.expect(seconds=0.05)
        await ground.gave_up.wait()
        reader, writer = await ground.connect()
        writer.write(secret + b"\r\n")
        assert await reader.read() == b""

    play(scenario)


@pytest.mark.parametrize(
    "words", [b"wrong\r\n", b"\r\n", b"\xff\xfe\r\n", b"x" * (SECRET_LIMIT + 1) + b"\r\n", b"y" * 200_000, b""]
)
def test_strangers_are_let_go_without_a_word(play, words):
    async def scenario(ground):
        ground.expect()
        reader, writer = await ground.connect()
        try:
            writer.write(words)
            await writer.drain()
            assert await reader.read() == b""
        except ConnectionResetError:
            pass  # with unread words
        assert not ground.dyno.closed.is_set()

    play(scenario)


def test_who_speaks_no_tls_gets_nothing_and_holds_up_nobody(play):
    async def scenario(ground):
        reader, writer = await asyncio.open_connection("127.0.0.1", ground.port)
        writer.write(b"GET / HTTP/1.0\r\n\r\n")
        try:
            assert HELLO not in await reader.read()
        except ConnectionResetError:
            pass
        silent = await asyncio.open_connection("127.0.0.1", ground.port)
        ground.dyno.prints(b"words", b"")
        reader, _ = await ground.join()
        assert await reader.read() == b"words"
        silent[1].close()

    play(scenario)


def test_a_dyno_that_cannot_start_is_told_to_the_client(play):
    async def scenario(ground):
        async def begin():
            raise ProcmanError("cannot run run.1: no memory")

        url = ground.server.expect(begin, ground.gave_up.set, 30.0)
        reader, writer = await ground.connect()
        writer.write(url.rpartition("/")[2].encode() + b"\r\n")
        assert await reader.read(CHUNK) == HELLO
        assert await reader.read() == b"Error: cannot run run.1: no memory\r\n"

    play(scenario)


def test_silence_on_both_sides_ends_it(play):
    async def scenario(ground):
        reader, _ = await ground.join()
        assert await reader.read() == b""
        assert ground.dyno.closed.is_set()

    play(scenario, QUICK._replace(idle=0.1))


def test_a_client_that_does_not_read_stops_the_dyno_and_nobody_else(play):
    async def scenario(ground):
        stalled, (_, writer) = ground.dyno, await ground.join()
        writer.transport.pause_reading()
        for _ in range(500):
            stalled.prints(b"z" * CHUNK)
        ground.dyno = Dyno()
        ground.dyno.prints(b"quick", b"")
        other, _ = await ground.join()
        assert await other.read() == b"quick"
        assert stalled.printed.qsize() > 300
        writer.transport.abort()

    play(scenario)


def test_the_certificate_is_good_for_every_name_of_loopback(play):
    async def scenario(ground):
        for name in ("localhost", "127.0.0.1", "::1", socket.gethostname().lower()):
            _, writer = await ground.connect(name)
            writer.transport.abort()
        with pytest.raises(ssl.SSLCertVerificationError):
            await ground.connect("example.com")

    play(scenario)


def test_keys_are_for_their_owner_alone(tls):
    for name in ("ca.key", "server.key"):
        assert stat.S_IMODE(os.stat(f"{tls}/{name}").st_mode) == 0o600
    assert sorted(os.listdir(tls)) == ["ca.key", "ca.pem", "server.key", "server.pem"]


def test_a_good_certificate_stays_and_a_bad_one_is_made_anew(tls, tmp_path):
    names = certificates.names_of_host()
    authority, first = (Path(f"{tls}/{name}").read_bytes() for name in ("ca.pem", "server.pem"))
    assert not certificates.ensure(tls, names)
    assert certificates.ensure(tls, [*names, "DNS:box.example.com"])
    assert Path(f"{tls}/server.pem").read_bytes() != first
    assert Path(f"{tls}/ca.pem").read_bytes() == authority
    assert not certificates.ensure(tls, names)
    os.unlink(f"{tls}/server.key")
    assert certificates.ensure(tls, names)
    assert Path(f"{tls}/ca.pem").read_bytes() == authority


def test_one_that_is_about_to_expire_is_made_anew(tls, monkeypatch):
    names = certificates.names_of_host()
    monkeypatch.setattr(certificates, "RENEW_S", 400 * 86_400)
    assert certificates.ensure(tls, names)


def test_without_openssl_it_is_said_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ProcmanError, match="there is no openssl program") as refused:
        certificates.ensure(str(tmp_path / "tls"), ["DNS:localhost"])
    assert refused.value.hint == "apt-get install openssl"
