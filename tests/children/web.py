"""A web dyno that behaves as its path says. Listens on 127.0.0.1:$PORT (0: any), prints the port, ends by a signal."""

import asyncio
import base64
import hashlib
import os
import socket

NAME = os.environ.get("DYNO", "web.1")
MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
gates: dict[bytes, asyncio.Event] = {}


def answer(body: bytes, *headers: bytes, status: bytes = b"200 OK") -> bytes:
    lines = [b"HTTP/1.1 " + status, b"Content-Length: %d" % len(body), b"X-Dyno: " + NAME.encode(), *headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


async def read_body(head: bytes, reader: asyncio.StreamReader) -> bytes:
    fields = {}
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        fields[name.lower()] = value.strip()
    if fields.get(b"transfer-encoding") == b"chunked":
        body = b""
        while size := int(await reader.readline(), 16):
            body += (await reader.readexactly(size + 2))[:-2]
        await reader.readline()
        return body
    return await reader.readexactly(int(fields.get(b"content-length", b"0")))


async def echo_frames(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """RFC 6455, short text frames only: unmask and send back."""
    while True:
        first, second = await reader.readexactly(2)
        mask = await reader.readexactly(4)
        data = await reader.readexactly(second & 0x7F)
        plain = bytes(byte ^ mask[at % 4] for at, byte in enumerate(data))
        writer.write(bytes([first, len(plain)]) + plain)
        await writer.drain()
        if first & 0x0F == 8:
            return


async def upgrade(head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    lines = head.split(b"\r\n")
    key = next(line.split(b":")[1].strip() for line in lines if line.lower().startswith(b"sec-websocket-key"))
    accept = base64.b64encode(hashlib.sha1(key + MAGIC).digest())
    writer.write(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
    )
    await echo_frames(reader, writer)


async def stream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One chunk at once, the next when its gate opens."""
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n")
    await writer.drain()
    await gates.setdefault(b"stream", asyncio.Event()).wait()
    writer.write(b"6\r\nsecond\r\n0\r\n\r\n")


async def respond(head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:  # noqa: PLR0912 - a table
    """False: hang up."""
    method, target, _ = head.split(b"\r\n")[0].split(b" ")
    path, _, word = target.partition(b"?")
    if path == b"/hang":
        await asyncio.Event().wait()
    elif path == b"/drop":
        return False
    elif path == b"/junk":
        writer.write(b"this is not HTTP\r\n\r\n")
        return False
    elif path == b"/part":
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nnot all")
        return False
    elif path == b"/stall":
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nnot all")
        await asyncio.Event().wait()
    elif path == b"/teapot":
        writer.write(answer(b"own words", status=word.replace(b"+", b" ")))
    elif path == b"/head":
        writer.write(answer(head))
    elif path == b"/upload":
        writer.write(answer(b"%d" % len(await read_body(head, reader))))
    elif path == b"/hold":
        print(f"holds {word.decode()}", flush=True)
        await gates.setdefault(word, asyncio.Event()).wait()
        writer.write(answer(NAME.encode()))
    elif path == b"/open":
        gates.setdefault(word, asyncio.Event()).set()
        writer.write(answer(b"open"))
    elif path == b"/stream":
        await stream(reader, writer)
    elif path == b"/ws":
        await upgrade(head, reader, writer)
        return False
    else:
        await read_body(head, reader)
        writer.write(answer(b"" if method == b"HEAD" else NAME.encode(), b"Keep-Alive: timeout=5"))
    return True


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while await respond(await reader.readuntil(b"\r\n\r\n"), reader, writer):
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def main() -> None:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", int(os.environ.get("PORT", "0"))))
    listener.listen(1024)
    await asyncio.start_server(serve, sock=listener)
    print(listener.getsockname()[1], flush=True)
    await asyncio.Event().wait()


asyncio.run(main())
