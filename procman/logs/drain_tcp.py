"""A syslog drain: frames over one TCP or TLS connection that stays open."""

import asyncio
import ssl
from collections.abc import Callable

from procman.logs.drain_url import Receiver


class Wire(asyncio.Protocol):
    """One connection. Says when it is lost, and when all that was written has left."""

    def __init__(self) -> None:
        self.lost = False
        self.gone = asyncio.get_running_loop().create_future()
        self._transport: asyncio.Transport | None = None
        self._drained: asyncio.Future[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.set_write_buffer_limits(high=1, low=0)  # writing resumes when nothing is left

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        self.gone.set_result(None)
        self.resume_writing()

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
        if not self.lost:
            self._transport.write(data)
        if self._drained:
            await self._drained
        if self.lost or self._transport.is_closing():
            raise ConnectionError("the receiver closed the connection")

    def close(self) -> None:
        """What was written is still delivered."""
        assert self._transport is not None
        self._transport.close()

    def abort(self) -> None:
        assert self._transport is not None
        self._transport.abort()


class TcpReceiver:
    """One drain's connection, made anew when it is lost. ``timeout``: seconds for a connection, and for a write.

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
    ) -> None:
        self._to = to
        self._tls = tls
        self._timeout = timeout
        self._first_wait = first_wait
        self._longest_wait = longest_wait
        self._clock = clock
        self._wire: Wire | None = None
        self._not_before = 0.0
        self._wait = first_wait

    async def send(self, data: bytes) -> None:
        """Hand all of it to the kernel, on a connection of now. Raises OSError: then try again after ``wait``."""
        try:
            async with asyncio.timeout(self._timeout):
                if self._wire is None or self._wire.lost:
                    self._wire = await self._connect()
                await self._wire.write(data)
        except BaseException:
            if self._wire:
                self._wire.abort()
                self._wire = None
            raise
        self._wait = self._first_wait

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
        loop = asyncio.get_running_loop()
        _, wire = await loop.create_connection(Wire, self._to.host, self._to.port, ssl=self._tls)
        return wire
