"""An HTTPS drain: batches of frames by POST, on a connection that is kept."""

import asyncio
import ssl
from typing import NamedTuple

from procman.logs.drain_url import Receiver
from procman.reach import Reach

HEADER_LINES = 100
BODY_BYTES = 1 << 16  # of an answer that is read in order to keep the connection
USER_AGENT = "Logplex/v100"  # some receivers look at it


class Post(NamedTuple):
    """A batch. ``frame_id``: the same when it is tried again, by which a receiver knows it."""

    frames: list[bytes]
    frame_id: str


class HttpReceiver:
    """One drain's client. ``timeout``: seconds for one attempt, the connection included."""

    def __init__(self, to: Receiver, token: str, tls: ssl.SSLContext | None, timeout: float, reach: Reach) -> None:
        self._to = to
        self._token = token
        self._tls = tls
        self._timeout = timeout
        self._reach = reach
        self._stream: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def post(self, batch: Post) -> int:
        """The status of the answer. Raises OSError (TimeoutError too) when there is none."""
        body = b"".join(batch.frames)
        data = self._head(batch, len(body)) + body
        try:
            async with asyncio.timeout(self._timeout):
                if self._stream:
                    try:
                        return await self._try(data, *self._stream)
                    except OSError:  # closed while it was idle, most likely: that is not yet a failure
                        self.close()
                self._stream = await self._reach.reached(self._to.host, self._to.port, self._open, self._timeout)
                return await self._try(data, *self._stream)
        except BaseException:
            self.close()
            raise

    async def _open(self, address: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        name = self._to.host if self._tls else None
        return await asyncio.open_connection(address, self._to.port, ssl=self._tls, server_hostname=name)

    def close(self) -> None:
        """Leave the connection."""
        if self._stream:
            self._stream[1].transport.abort()  # nothing is under way: every request was answered, or given up
            self._stream = None

    def _head(self, batch: Post, length: int) -> bytes:
        """Heroku: log-drains, HTTPS drains."""
        lines = [
            f"POST {self._to.path} HTTP/1.1",
            f"Host: {self._to.netloc()}",
            "Content-Type: application/logplex-1",
            f"Content-Length: {length}",
            f"Logplex-Msg-Count: {len(batch.frames)}",
            f"Logplex-Frame-Id: {batch.frame_id}",
            f"Logplex-Drain-Token: {self._token}",
            f"User-Agent: {USER_AGENT}",
        ]
        if self._to.authorization:
            lines.append(f"Authorization: {self._to.authorization}")
        return "\r\n".join([*lines, "", ""]).encode("latin-1")

    async def _try(self, data: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> int:
        writer.write(data)
        await writer.drain()
        try:
            status, headers = await answer(reader)
            while status < 200 and status != 101:
                status, headers = await answer(reader)
            length = headers.get("content-length", "0" if status == 204 else "")
            if length.isdecimal() and int(length) <= BODY_BYTES and headers.get("connection", "").lower() != "close":
                await reader.readexactly(int(length))
            else:
                self.close()
        except (ValueError, EOFError) as error:
            raise ConnectionError("no HTTP answer") from error
        return status


async def answer(reader: asyncio.StreamReader) -> tuple[int, dict[str, str]]:
    """Status and headers, in lower case. Raises ValueError, EOFError."""
    line = await reader.readline()
    if not line.endswith(b"\n"):
        raise EOFError
    version, _, rest = line.partition(b" ")
    if not version.startswith(b"HTTP/1.") or not rest[:3].isdigit():
        raise ValueError("not HTTP")
    headers: dict[str, str] = {}
    for _ in range(HEADER_LINES):
        line = await reader.readline()
        if line in (b"\r\n", b"\n"):
            return int(rest[:3]), headers
        name, colon, value = line.decode("latin-1").partition(":")
        if not colon:
            raise EOFError
        headers[name.lower()] = value.strip()
    raise ValueError("too many headers")
