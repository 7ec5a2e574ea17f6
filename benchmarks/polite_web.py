"""A web dyno as an app should be: after SIGTERM it accepts nothing, answers what it has begun, and ends."""

import asyncio
import base64
import hashlib
import os
import signal

MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
GOING_AWAY = b"\x88\x02\x03\xe9"  # a WebSocket's close frame, 1001
PID = str(os.getpid()).encode()


class Web:
    """Paths: ``/`` a word, ``/slow?S`` the same after S seconds, ``/upload`` how much came, ``/ws`` an echo."""

    def __init__(self) -> None:
        self.ending = asyncio.Event()
        self.busy: set[asyncio.Task[None]] = set()

    async def main(self) -> None:
        """Until SIGTERM, and until the last answer has been given."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self.ending.set)
        server = await asyncio.start_server(self.accept, "127.0.0.1", int(os.environ["PORT"]), backlog=1024)
        print("serving", flush=True)
        await self.ending.wait()
        server.close()
        while self.busy:
            await asyncio.wait(self.busy)

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        task = asyncio.current_task()
        assert task
        self.busy.add(task)
        try:
            while (head := await self.unless_ending(reader.readuntil(b"\r\n\r\n"))) and await self.answer(
                head, reader, writer
            ):
                pass
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.busy.discard(task)
            writer.close()

    async def unless_ending(self, reading) -> bytes:
        """What was read, or nothing when it is time to go."""
        read, ending = asyncio.ensure_future(reading), asyncio.ensure_future(self.ending.wait())
        await asyncio.wait((read, ending), return_when=asyncio.FIRST_COMPLETED)
        ending.cancel()
        if read.done():
            return read.result()
        read.cancel()
        return b""

    async def answer(self, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One request; whether the connection goes on."""
        path, _, query = head.split(b" ", 2)[1].partition(b"?")
        fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:] if b": " in line)
        if path == b"/ws":
            await self.echo(head, reader, writer)
            return False
        body = os.environ.get("WORD", "-").encode()
        if path == b"/slow":
            await asyncio.sleep(float(query))
        elif path == b"/upload":
            left = size = int(fields[b"content-length"])
            while left:
                part = await reader.read(min(left, 1 << 16))
                if not part:  # whoever sent it is gone; to read on would be to read nothing, for ever
                    return False
                left -= len(part)
            body = b"%d" % size
        last = b"Connection: close\r\n" if self.ending.is_set() else b""
        writer.write(b"HTTP/1.1 200 OK\r\nX-Pid: %s\r\n%sContent-Length: %d\r\n\r\n%s" % (PID, last, len(body), body))
        await writer.drain()
        return not last

    async def echo(self, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """RFC 6455, short frames."""
        [key] = [line.split(b": ")[1] for line in head.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key")]
        accept = base64.b64encode(hashlib.sha1(key + MAGIC).digest())
        writer.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nX-Pid: " + PID
            + b"\r\nSec-WebSocket-Accept: " + accept + b"\r\n\r\n"
        )
        while frame := await self.unless_ending(reader.readexactly(2)):
            rest = await reader.readexactly(4 + (frame[1] & 0x7F))
            writer.write(bytes([frame[0], len(rest) - 4]) + bytes(b ^ rest[at % 4] for at, b in enumerate(rest[4:])))
        writer.write(GOING_AWAY)


if __name__ == "__main__":
    asyncio.run(Web().main())
