"""Clients that never stop asking, each in its own manner, and keep what became of every request."""

import asyncio
import os
import threading
import time
from typing import NamedTuple

UPLOAD = b"x" * (4 << 20)
SLOW_S = (2.0, 3.0)
TIMEOUT_S = 40.0
MASK = b"mask"


class Outcome(NamedTuple):
    """One request, or one word through a WebSocket. ``trouble``: None when all was well; times are monotonic."""

    kind: str
    began: float
    ended: float
    trouble: str | None


class Load:
    """``with Load(port, host) as load``: a thread of its own, in which all clients are. ``outcomes`` only grows.

    Clients that keep their connection never try a request twice: a connection that ends without an answer is a failure.
    """

    def __init__(self, port: int, host: str, pace_s: float = 0.01, clients: int = 4) -> None:
        self.outcomes: list[Outcome] = []
        self._port, self._host, self._pace_s, self._clients = port, host, pace_s, clients
        self._ending = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._all()))

    def __enter__(self) -> "Load":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._thread.join()

    async def _all(self) -> None:
        kept = [self._keep_alive(number) for number in range(self._clients)]
        slow = [self._slow(seconds) for seconds in SLOW_S]
        await asyncio.gather(*kept, *slow, self._fresh(), self._upload(), self._upload(), self._websocket())

    def _note(self, kind: str, began: float, trouble: str | None) -> None:
        self.outcomes.append(Outcome(kind, began, time.monotonic(), trouble))

    async def _keep_alive(self, number: int) -> None:
        await asyncio.sleep(number * self._pace_s / self._clients)
        await self._ask_on("keep-alive", self._head("GET", "/"), self._pace_s)

    async def _slow(self, seconds: float) -> None:
        await self._ask_on("slow", self._head("GET", f"/slow?{seconds}"), self._pace_s)

    async def _upload(self) -> None:
        head = self._head("POST", "/upload", f"Content-Length: {len(UPLOAD)}\r\n")
        await self._ask_on("upload", head + UPLOAD, 0.1, b"%d" % len(UPLOAD))

    async def _fresh(self) -> None:
        await self._ask_on("new connection", self._head("GET", "/", "Connection: close\r\n"), self._pace_s)

    def _head(self, method: str, path: str, more: str = "") -> bytes:
        return f"{method} {path} HTTP/1.1\r\nHost: {self._host}\r\n{more}\r\n".encode()

    async def _ask_on(self, kind: str, request: bytes, pause_s: float, wanted: bytes | None = None) -> None:
        """The same request again and again, on one connection for as long as both sides keep it."""
        pair: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        while not self._ending.is_set():
            began, trouble, kept = time.monotonic(), None, False
            try:
                async with asyncio.timeout(TIMEOUT_S):
                    pair = pair or await asyncio.open_connection("127.0.0.1", self._port)
                    pair[1].write(request)
                    await pair[1].drain()
                    status, body, kept = await answer(pair[0])
                if status != 200 or wanted not in (None, body):
                    trouble = f"status {status}"
            except (OSError, EOFError, ValueError) as error:  # TimeoutError is an OSError
                trouble = type(error).__name__
            self._note(kind, began, trouble)
            if pair and not kept:
                pair[1].close()
                pair = None
            await asyncio.sleep(pause_s)
        if pair:
            pair[1].close()

    async def _websocket(self) -> None:
        while not self._ending.is_set():
            began, trouble = time.monotonic(), None
            try:
                trouble = await self._echo()
            except (OSError, EOFError, ValueError) as error:
                trouble = type(error).__name__
            if trouble or not self._ending.is_set():
                self._note("websocket", began, trouble)
            await asyncio.sleep(self._pace_s)

    async def _echo(self) -> str | None:
        """Until it ends: None when the dyno said that it goes, as it may only when it is stopped."""
        words = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: "
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            writer.write(self._head("GET", "/ws", f"{words}dGhlIHNhbXBsZSBub25jZQ==\r\n"))
            async with asyncio.timeout(TIMEOUT_S):
                head = await reader.readuntil(b"\r\n\r\n")
            if b" 101 " not in head:
                return head.split(b"\r\n")[0].decode()
            while not self._ending.is_set():
                began, word = time.monotonic(), os.urandom(8)
                masked = bytes(byte ^ MASK[at % 4] for at, byte in enumerate(word))
                writer.write(bytes([0x82, 0x80 | len(word)]) + MASK + masked)
                async with asyncio.timeout(TIMEOUT_S):
                    first, size = await reader.readexactly(2)
                    echoed = await reader.readexactly(size)
                if first == 0x88:
                    return None
                self._note("websocket", began, None if echoed == word else "another word")
                await asyncio.sleep(0.05)
            return None
        finally:
            writer.close()


async def answer(reader: asyncio.StreamReader) -> tuple[int, bytes, bool]:
    """Status, body, and whether the connection may be used again."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    fields = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:] if b": " in line)
    size = fields.get(b"content-length")
    body = await reader.readexactly(int(size)) if size else await reader.read()
    return int(head.split(b" ")[1]), body, size is not None and fields.get(b"connection") != b"close"
