"""Receives HAProxy's log: a stream that HAProxy keeps for us while we are away, and sends when we are back."""

import asyncio
import os
import pwd
from collections.abc import Callable

from procman.errors import ProcmanError

OnLines = Callable[[list[bytes]], None]
LONGEST = 1 << 20  # bytes without a newline: not HAProxy's


class LogStream(asyncio.Protocol):
    """One connection from HAProxy: lines, handed on as many at a time as have come."""

    def __init__(self, on_lines: OnLines, open_streams: set[asyncio.BaseTransport]) -> None:
        self._on_lines = on_lines
        self._open = open_streams
        self._rest = b""
        self._transport: asyncio.BaseTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """HAProxy has come."""
        self._transport = transport
        self._open.add(transport)

    def connection_lost(self, _: Exception | None) -> None:
        """HAProxy has gone, or we go."""
        if self._transport is not None:
            self._open.discard(self._transport)

    def data_received(self, data: bytes) -> None:
        """Whole lines go on at once, the rest waits for its end."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > LONGEST:
            self._rest = b""
        if lines:
            self._on_lines(lines)


class LogReceiver:
    """Listens at ``name`` in a directory. ``user``: who may connect besides ourselves."""

    def __init__(self, directory: int, name: str, user: str | None, on_lines: OnLines) -> None:
        self._directory = directory
        self._name = name
        self._user = user
        self._on_lines = on_lines
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.BaseTransport] = set()

    async def start(self) -> None:
        """Listen. A socket of an earlier server is replaced; HAProxy finds the new one within a second or so."""
        try:
            os.unlink(self._name, dir_fd=self._directory)
        except FileNotFoundError:
            pass
        path = f"/proc/self/fd/{self._directory}/{self._name}"
        loop = asyncio.get_running_loop()
        before = os.umask(0o177)
        try:
            self._server = await loop.create_unix_server(lambda: LogStream(self._on_lines, self._open), path)
        finally:
            os.umask(before)
        if self._user:
            try:
                os.chown(self._name, pwd.getpwnam(self._user).pw_uid, -1, dir_fd=self._directory)
            except KeyError:
                raise ProcmanError(f"cannot run HAProxy as {self._user}: there is no such user") from None

    async def stop(self) -> None:
        """No more lines."""
        if self._server is not None:
            self._server.close()
            for transport in list(self._open):
                transport.abort() if isinstance(transport, asyncio.Transport) else transport.close()
            await self._server.wait_closed()
