"""A syslog drain: frames over one TCP or TLS connection that stays open.

Syslog has no receipts. What comes nearest is the receiver's kernel: what that has not acknowledged when a connection is
lost is sent again on the next. So a receiver that dies costs no line but what it had taken and not yet written down;
some may come twice (over TLS, and when it dies in the middle of a write, where the count is an upper bound).
"""

import asyncio
import fcntl
import os
import socket
import ssl
import struct
import termios
from collections import deque
from collections.abc import Callable

from procman.logs.drain_url import Receiver
from procman.reach import Reach

SILENCE_MS = 60_000  # what is not acknowledged for so long is lost with its connection
KEPT_BYTES = 8 << 20  # of frames that may have to be sent again: more than a socket's buffer holds


class Wire(asyncio.Protocol):
    """One connection. Says when it is lost, and how much of what was written nobody acknowledged (``owed``)."""

    def __init__(self, on_loss: Callable[[], None]) -> None:
        self.lost = False
        self._on_loss = on_loss
        self.owed = 0  # bytes, at most; known once it is lost
        self.gone = asyncio.get_running_loop().create_future()
        self._transport: asyncio.Transport | None = None
        self._drained: asyncio.Future[None] | None = None
        self._under_way = 0  # bytes of the write that has not returned
        self._at_end: int | None = None  # what was unacknowledged when the other side had ended
        self._fd = -1  # of the socket, for the count after its end

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        sock = transport.get_extra_info("socket")
        self._fd = os.dup(sock.fileno())
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux; else a receiver whose power failed is missed in 15 minutes
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, SILENCE_MS)
        transport.set_write_buffer_limits(high=1, low=0)  # writing resumes when nothing is left

    def eof_received(self) -> None:
        self._at_end = unacknowledged(self._fd)  # before TLS adds its farewell

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        left = unacknowledged(self._fd)
        self.owed = self._under_way + (left if self._at_end is None else min(left, self._at_end))
        os.close(self._fd)
        self.gone.set_result(None)
        self.resume_writing()
        self._on_loss()

    def pause_writing(self) -> None:
        if self._drained is None and not self.lost:
            self._drained = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        drained, self._drained = self._drained, None
        if drained and not drained.done():
            drained.set_result(None)

    async def write(self, data: bytes) -> None:
        """Returns when the kernel has it. Raises ConnectionError."""
        assert self._transport is not None
        self._under_way = len(data)
        if not self.lost:
            self._transport.write(data)
        if self._drained:
            await self._drained
        if self.lost or self._transport.is_closing():
            raise ConnectionError("the receiver closed the connection")
        self._under_way = 0

    def close(self) -> None:
        """What was written is still delivered."""
        assert self._transport is not None
        self._transport.close()

    def abort(self) -> None:
        assert self._transport is not None
        self._transport.abort()


class TcpReceiver:
    """One drain's connection, made anew when it is lost. ``timeout``: seconds for a connection, and for a write.

    ``on_loss``: called when a connection is lost, and ``owes`` may be worth a look.
    Between two connections lie ``first_wait`` seconds, and twice as many after each failure, up to ``longest_wait``
    (Heroku: 30 and 300).
    """

    def __init__(
        self,
        to: Receiver,
        tls: ssl.SSLContext | None,
        timeout: float,
        first_wait: float,
        longest_wait: float,
        clock: Callable[[], float],
        on_loss: Callable[[], None],
        reach: Reach,
    ) -> None:
        self._to = to
        self._reach = reach
        self._tls = tls
        self._timeout = timeout
        self._first_wait = first_wait
        self._longest_wait = longest_wait
        self._clock = clock
        self._on_loss = on_loss
        self._wire: Wire | None = None
        self._not_before = 0.0
        self._wait = first_wait
        self._kept: deque[bytes] = deque()  # frames that were put, the newest of them last
        self._kept_bytes = 0
        self._fresh = 0  # how many of the newest were never written

    def put(self, frames: list[bytes]) -> None:
        """Have these sent by the next ``push``."""
        self._kept.extend(frames)
        self._kept_bytes += sum(map(len, frames))
        self._fresh += len(frames)
        while self._kept_bytes > KEPT_BYTES and len(self._kept) > self._fresh:
            self._kept_bytes -= len(self._kept.popleft())

    async def push(self) -> None:
        """Hand all that was put to the kernel. Raises OSError: then try again after ``wait``."""
        try:
            async with asyncio.timeout(self._timeout):
                if self._wire is None or self._wire.lost:
                    self._wire = await self._connect()
                count, self._fresh = self._fresh, 0
                await self._wire.write(b"".join(list(self._kept)[len(self._kept) - count :]))
        except BaseException:
            if self._wire and not self._wire.lost:
                self._wire.abort()
                await self._wire.gone
            raise
        self._wait = self._first_wait
        self._not_before = min(self._not_before, self._clock() + self._first_wait)

    def owes(self) -> bool:
        """Whether there is something to send again, on a new connection."""
        return self._fresh > 0 or (self._wire is not None and self._wire.lost and self._wire.owed > 0)

    def wait(self) -> float:
        """Seconds until the next connection may be tried; 0 while one stands."""
        if self._wire and not self._wire.lost:
            return 0.0
        return max(self._not_before - self._clock(), 0.0)

    async def close(self) -> None:
        """Let the receiver have what was written."""
        if self._wire:
            self._wire.close()
            try:
                async with asyncio.timeout(self._timeout):
                    await self._wire.gone
            except TimeoutError:
                self._wire.abort()

    async def _connect(self) -> Wire:
        self._not_before = self._clock() + self._wait
        self._wait = min(self._wait * 2, self._longest_wait)
        if self._wire:
            self._owe(self._wire.owed)
            self._wire = None
        return await self._reach.reached(self._to.host, self._to.port, self._open, self._timeout)

    async def _open(self, address: str) -> Wire:
        loop, name = asyncio.get_running_loop(), self._to.host if self._tls else None
        _, wire = await loop.create_connection(
            lambda: Wire(self._on_loss), address, self._to.port, ssl=self._tls, server_hostname=name
        )
        return wire

    def _owe(self, size: int) -> None:
        """The last ``size`` bytes that were written, but for those never written, shall be written again."""
        written = len(self._kept) - self._fresh
        for frame in reversed(list(self._kept)[:written]):
            if size <= 0:
                break
            size -= len(frame)
            self._fresh += 1


def unacknowledged(fd: int) -> int:
    """Bytes that were sent and that the other side's kernel has not confirmed."""
    try:
        return int(struct.unpack("i", fcntl.ioctl(fd, termios.TIOCOUTQ, b"\0" * 4))[0])
    except OSError:
        return 0  # a system that does not count them
