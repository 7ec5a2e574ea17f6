"""Receivers of log drains: real sockets, real TLS, and as unreliable as a test wants them."""

import asyncio
import ssl
import subprocess
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

from procman.core.model import DynoName
from procman.logs.formats import Source
from procman.logs.news import AppLog, News
from procman.logs.store import LogStore

WEB = Source(DynoName("web", 1), "app")
ROUTER = Source(None, "heroku", ps="router")
WALL = 1714557600.5
DEADLINE_S = 60


def run(coroutine):
    """To its end, with a generous deadline."""

    async def bounded():
        async with asyncio.timeout(DEADLINE_S):
            return await coroutine

    return asyncio.run(bounded())


class App:
    """An app whose dynos and router write at the call."""

    def __init__(self, directory: Path, keep: int = 5) -> None:
        self.stores = LogStore(f"{directory}/dynos", keep=keep), LogStore(f"{directory}/server", keep=keep)
        self.log = AppLog(tuple(store.directory for store in self.stores), News())
        self.wall = WALL

    def writes(self, *messages: bytes, source: Source = WEB) -> None:
        self.wall += 1
        store = self.stores[source is ROUTER]
        store.append(source, b"".join(message + b"\n" for message in messages), self.wall)
        self.log.news.tell()


class Certificate(NamedTuple):
    """Of 127.0.0.1, by itself."""

    certificate: str
    key: str

    def server(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, self.key)
        return context


def make_certificate(directory: Path, names: str = "IP:127.0.0.1") -> Certificate:
    made = Certificate(str(directory / "cert.pem"), str(directory / "key.pem"))
    words = (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=127.0.0.1"
        f" -addext subjectAltName={names} -keyout {made.key} -out {made.certificate}"
    )
    subprocess.run(words.split(), check=True, capture_output=True)
    return made


class Watched:
    """Counts what comes, and lets a test wait until enough has."""

    def __init__(self) -> None:
        self._changed = asyncio.Event()

    def changed(self) -> None:
        self._changed.set()

    async def until(self, holds) -> None:
        while not holds():
            self._changed.clear()
            await self._changed.wait()


class SyslogReceiver(Watched):
    """Takes every byte of every connection; ``stalled`` ones read nothing."""

    def __init__(self, stalled: bool = False) -> None:
        super().__init__()
        self.connections: list[bytearray] = []
        self.port = 0
        self._stalled = stalled
        self._writers: list[asyncio.StreamWriter] = []

    @property
    def received(self) -> bytes:
        return b"".join(map(bytes, self.connections))

    def frames(self) -> list[bytes]:
        """Of all connections, by octet counting (RFC 6587); a frame that was cut is an error."""
        return [frame for received in self.connections for frame in unframe(bytes(received))]

    async def until_lines(self, count: int) -> None:
        await self.until(lambda: sum(received.count(b"\n") for received in self.connections) >= count)

    @asynccontextmanager
    async def listening(self, tls: ssl.SSLContext | None = None):
        server = await asyncio.start_server(self._take, "127.0.0.1", self.port, ssl=tls)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            self.hang_up()
            await server.wait_closed()

    async def see_off(self) -> None:
        """Close every connection in order, and wait until the other side has closed it too."""
        for writer in self._writers:
            writer.close()
            try:
                await writer.wait_closed()
            except OSError:
                pass
        self._writers.clear()

    def hang_up(self) -> None:
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        received = bytearray()
        self.connections.append(received)
        self.changed()
        if self._stalled:
            return
        try:
            while data := await reader.read(1 << 16):
                received += data
                self.changed()
        except OSError:
            pass
        writer.close()


class Request(NamedTuple):
    """What an HTTP receiver got, and what it answered (0: it hung up)."""

    head: str
    body: bytes
    answer: int

    def header(self, name: str) -> str:
        found = [line.partition(": ")[2] for line in self.head.split("\r\n") if line.startswith(name + ": ")]
        assert len(found) == 1, self.head
        return found[0]


class HttpReceiver(Watched):
    """Answers with the statuses it is given, then with 200. 0: hangs up instead; -1: after its answer."""

    def __init__(self, *answers: int) -> None:
        super().__init__()
        self.requests: list[Request] = []
        self.connections = 0
        self.port = 0
        self._answers = list(answers)

    def accepted(self) -> list[bytes]:
        return [frame for request in self.requests if request.answer == 200 for frame in unframe(request.body)]

    @asynccontextmanager
    async def listening(self, tls: ssl.SSLContext | None = None):
        server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, ssl=tls)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            await server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while await self._answer(reader, writer):
                pass
        except (OSError, EOFError):
            pass
        writer.transport.abort()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = int(head.partition("Content-Length: ")[2].partition("\r\n")[0])
        body = await reader.readexactly(length)
        wanted = self._answers.pop(0) if self._answers else 200
        status = 200 if wanted == -1 else wanted
        self.requests.append(Request(head, body, status))
        if status:
            writer.write(b"HTTP/1.1 %d Whatever\r\nContent-Length: 3\r\n\r\nok\n" % status)
            await writer.drain()
        self.changed()
        return wanted > 0


def unframe(stream: bytes) -> list[bytes]:
    """As a receiver reads octet counting (RFC 6587)."""
    found, at = [], 0
    while at < len(stream):
        space = stream.index(b" ", at)
        begin, at = space + 1, space + 1 + int(stream[at:space])
        assert at <= len(stream), "a frame was cut"
        found.append(stream[begin:at])
    return found
