"""The asyncio half of a conversation with a supervisor: one request a connection, its answers, or raw bytes."""

import asyncio
import os
from collections.abc import AsyncIterator

from procman.control.protocol import Message, decode_answer, encode
from procman.control.sockets import credentials, near
from procman.errors import ProcmanError

LINE_LIMIT = 16 << 20  # bytes of one answer
CHUNK = 64 << 10


class Gone(ConnectionError):
    """Nobody listens at the socket, or whoever did has ended."""


class Connection:
    """One request to a supervisor. ``pid``: who answers."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, pid: int) -> None:
        self.pid = pid
        self._reader = reader
        self._writer = writer

    async def ask(self, verb: str, **arguments: object) -> AsyncIterator[Message]:
        """Send the request; every answer, the last of which has ``ok``. Raises Gone when it breaks off before."""
        try:
            self._writer.write(encode({"verb": verb, **arguments}))
            await self._writer.drain()
            while True:
                line = await self._reader.readline()
                if not line.endswith(b"\n"):
                    raise Gone("the supervisor ended")
                answer = decode_answer(line)
                yield answer
                if "ok" in answer:
                    return
        except OSError as error:
            raise Gone(str(error)) from None

    async def read(self) -> bytes:
        """What comes behind the last answer; b"" at its end."""
        try:
            return await self._reader.read(CHUNK)
        except OSError:
            return b""

    async def write(self, data: bytes) -> None:
        """Raw bytes to an attached dyno; what has ended takes none."""
        try:
            self._writer.write(data)
            await self._writer.drain()
        except OSError:
            return

    def close(self) -> None:
        """Hang up."""
        self._writer.close()


async def connect(path: str, uid: int | None = None) -> Connection:
    """Knock at a supervisor's socket. ``uid``: whose it has to be. Raises Gone."""
    try:
        with near(path) as short:
            reader, writer = await asyncio.open_unix_connection(short, limit=LINE_LIMIT)
    except OSError as error:
        raise Gone(str(error)) from None
    peer = credentials(writer.get_extra_info("socket"))
    if peer and uid is not None and peer[1] not in (uid, os.geteuid()):
        writer.close()
        raise Gone("another user listens there")
    return Connection(reader, writer, peer[0] if peer else 0)


async def call(path: str, uid: int | None, verb: str, **arguments: object) -> Message:
    """The last answer. Raises Gone; a refusal is returned."""
    connection = await connect(path, uid)
    try:
        async for answer in connection.ask(verb, **arguments):
            if "ok" in answer:
                return answer
    finally:
        connection.close()
    raise Gone("the supervisor ended")


def checked(answer: Message) -> Message:
    """The answer. Raises ProcmanError when it is a refusal."""
    if not answer.get("ok"):
        raise ProcmanError(str(answer.get("error") or "cannot do it"), answer.get("hint"))
    return answer
