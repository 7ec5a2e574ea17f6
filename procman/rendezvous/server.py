"""The TLS server for attached one-off dynos, as the Heroku client speaks to it (Heroku client: run, rendezvous)."""

import asyncio
import contextlib
import logging
import secrets
import socket
import ssl
from collections.abc import Awaitable, Callable
from typing import NamedTuple, Protocol

CHUNK = 64 << 10
SECRET_LIMIT = 200  # bytes of the first line
SECRET_S = 10.0  # in which it must have come, after the handshake
HANDSHAKE_S = 20.0
GAP_S = 0.1  # the client throws away its first chunk whole, so output must not be in it
IDLE_S = 3600.0  # Heroku: one-off-dynos; the client has the same
DRAIN_S = 2.0  # unread input at the close would be a reset, with which the client loses its last output
CONNECTIONS = 500
BACKLOG, AT_ONCE = 512, 16  # connections that may wait to be taken; that are taken in a turn of the loop
HELLO = b"rendezvous\r\n"
log = logging.getLogger(__name__)


class Stream(Protocol):
    """An attached dyno's bytes: see ``runtimes.base``."""

    async def read(self) -> bytes: ...
    async def write(self, data: bytes) -> None: ...
    def close(self) -> None: ...


Start = Callable[[], Awaitable[Stream]]
LetIn = Callable[[asyncio.BaseTransport], None]


class Expected(NamedTuple):
    """A client that may come."""

    start: Start
    expiry: asyncio.TimerHandle


class Times(NamedTuple):
    """In seconds."""

    secret: float = SECRET_S
    gap: float = GAP_S
    idle: float = IDLE_S
    drain: float = DRAIN_S


class RendezvousServer:
    """``address``: as clients reach it, ``HOST:PORT``; ``most``: how many there may be at once."""

    def __init__(
        self, address: str, context: ssl.SSLContext, times: Times | None = None, most: int = CONNECTIONS
    ) -> None:
        self.address = address
        self._most = most
        self._context = context
        self._times = times or Times()
        self._expected: dict[str, Expected] = {}
        self._let_in: LetIn | None = None
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._unknown: dict[asyncio.Task[None], asyncio.StreamWriter] = {}  # of these, who have not said who they are

    async def start(self, sock: socket.socket, let_in: LetIn | None = None) -> None:
        """Listen there. ``let_in``: is told of each that has got through the handshake. Raises OSError."""
        self._let_in = let_in
        self._server = await asyncio.start_server(
            self._accept, sock=sock, ssl=self._context, ssl_handshake_timeout=HANDSHAKE_S, limit=CHUNK, backlog=AT_ONCE
        )
        sock.listen(BACKLOG)  # asyncio takes its own number for this one, too

    def expect(self, start: Start, on_timeout: Callable[[], None], seconds: float) -> str:
        """A client may come within ``seconds``. Returns the attach URL."""
        secret = secrets.token_urlsafe(32)

        def expire() -> None:
            del self._expected[secret]
            on_timeout()

        expiry = asyncio.get_running_loop().call_later(seconds, expire)
        self._expected[secret] = Expected(start, expiry)
        return f"rendezvous://{self.address}/{secret}"

    async def close(self) -> None:
        """The server is going: attached dynos see their clients go."""
        if self._server:
            self._server.close()
        for expected in self._expected.values():
            expected.expiry.cancel()
        self._expected.clear()
        for task in list(self._connections):
            task.cancel()
        if self._connections:
            await asyncio.wait(self._connections, timeout=self._times.drain + 1)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._let_in:
            self._let_in(writer.transport)
        task = asyncio.current_task()
        assert task is not None
        if len(self._connections) >= self._most and not self._make_room():
            writer.close()
            return
        self._connections.add(task)
        self._unknown[task] = writer
        try:
            # Or else the kernel holds the greeting back until it can go with the dyno's first words.
            writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await self._serve(reader, writer)
        except (OSError, asyncio.CancelledError):
            pass  # the client has gone, or the server goes
        except Exception:
            log.exception("an attached dyno was let go")
        finally:
            self._connections.discard(task)
            self._unknown.pop(task, None)
            writer.close()

    def _make_room(self) -> bool:
        """Whether the first of those could be let go: a crowd that says nothing keeps nobody out."""
        if not self._unknown:
            return False
        task = next(iter(self._unknown))
        self._unknown.pop(task).transport.abort()
        task.cancel()
        return True

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        expected = await self._recognize(reader)
        self._unknown.pop(asyncio.current_task(), None)  # type: ignore[arg-type]
        if expected is None:
            return
        try:
            stream = await expected.start()
        except Exception as error:  # a refusal of the platform's or the runtime's: its words are for the client
            await self._greet(writer)
            writer.write(f"Error: {error}\r\n".encode())
            await self._part(reader, writer)
            return
        try:
            await self._greet(writer)
            await Joint(reader, writer, stream, self._times.idle).run()
        finally:
            stream.close()
        await self._part(reader, writer)

    async def _recognize(self, reader: asyncio.StreamReader) -> Expected | None:
        """Whom the first line announces; each secret is good for one."""
        try:
            async with asyncio.timeout(self._times.secret):
                line = await reader.readline()
        except (TimeoutError, ValueError):  # too slow, or too long
            return None
        if len(line) > SECRET_LIMIT:
            return None
        expected = self._expected.pop(line.strip().decode("latin-1"), None)
        if expected:
            expected.expiry.cancel()
        return expected

    async def _greet(self, writer: asyncio.StreamWriter) -> None:
        writer.write(HELLO)
        await writer.drain()
        await asyncio.sleep(self._times.gap)

    async def _part(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Everything sent, close_notify, and what the client still says is read before the connection goes."""
        with contextlib.suppress(TimeoutError, OSError):
            async with asyncio.timeout(self._times.drain):
                await writer.drain()
                await self._drain(reader)
                writer.close()  # asyncio's TLS sends close_notify and waits for the client's
                while await reader.read(CHUNK):
                    pass
                await writer.wait_closed()

    async def _drain(self, reader: asyncio.StreamReader) -> None:
        """What was typed while the dyno ended: the client's 0x04, as a rule. Behind our close_notify it is an error."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._times.gap):
                while await reader.read(CHUNK):
                    pass


class Joint:
    """A client and a dyno, joined."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, stream: Stream, idle_s: float
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._stream = stream
        self._idle_s = idle_s
        self._heard_at = 0.0

    async def run(self) -> None:
        """Until the dyno ends, the client goes, or neither has said anything for too long."""
        self._note()
        tasks = [asyncio.create_task(work) for work in (self._show(), self._type(), self._watch())]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _show(self) -> None:
        """Ends with the dyno."""
        while data := await self._stream.read():
            self._note()
            self._writer.write(data)
            await asyncio.sleep(0)  # that the client has gone is heard between two writes, however much there is to say
            await self._writer.drain()

    async def _type(self) -> None:
        """Ends with the client. It says the end of its input by 0x04, which the dyno's terminal understands."""
        while data := await self._reader.read(CHUNK):
            self._note()
            await self._stream.write(data)

    async def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        while (left := self._heard_at + self._idle_s - loop.time()) > 0:
            await asyncio.sleep(left)

    def _note(self) -> None:
        self._heard_at = asyncio.get_running_loop().time()
