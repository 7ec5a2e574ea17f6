"""The server half: connections on the loop, each bounded in bytes and time, none able to disturb another."""

import os
import socket
import struct
from collections.abc import Callable
from typing import Any, Protocol

from procman.control.protocol import PATIENCE_S, REQUEST_LIMIT, BadRequest, Message, decode_request, encode, refusal

CONNECTIONS = 2_000  # at once; over that the newest is let go
OUTBOX_LIMIT = 8 << 20  # bytes a client may leave unread
FOREVER = float("inf")


class Loop(Protocol):
    """What the server needs of the supervisor's loop."""

    def now(self) -> float: ...
    def watch(self, fd: int, callback: Callable[[], None], writable: bool = False) -> None: ...
    def unwatch(self, fd: int) -> None: ...
    def on_deadline(self, deadline: Callable[[], float], callback: Callable[[float], None]) -> None: ...


class Connection:
    """One client. Whoever handles its request answers with ``send`` and ``finish``, now or later."""

    def __init__(self, server: "ControlServer", peer: socket.socket, now: float) -> None:
        self._server = server
        self._peer = peer
        self._inbox = b""
        self._outbox = bytearray()
        self._closing = False
        self._writing = False
        self.expires = now + PATIENCE_S
        self.closed = False
        self.on_bytes: Callable[[bytes], None] | None = None  # raw input, once a terminal is attached
        self.on_close: Callable[[], None] | None = None

    def send(self, message: Message) -> None:
        """One more line of the answer."""
        self.write(encode(message))

    def finish(self, message: Message | None = None) -> None:
        """The last line of the answer, if there is still one to say; then the connection ends."""
        if message is not None:
            self.send(message)
        self._closing = True
        self._flush()

    def write(self, data: bytes) -> None:
        """Raw bytes. A client that leaves too much unread is let go."""
        if self.closed or not data:
            return
        self._outbox += data
        if len(self._outbox) > OUTBOX_LIMIT:
            self.close()
        else:
            self._flush()

    def close(self) -> None:
        """Let the client go."""
        if self.closed:
            return
        self.closed = True
        if self._writing:
            self._server.loop.unwatch(self._write_fd)
            os.close(self._write_fd)
        self._server.loop.unwatch(self._peer.fileno())
        self._server.forget(self)
        self._peer.close()
        if self.on_close:
            self.on_close()

    def readable(self) -> None:
        """Bytes have come, or the client has gone."""
        try:
            data = self._peer.recv(REQUEST_LIMIT)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.close()
        elif self.on_bytes:
            self.on_bytes(data)
        elif self.expires == FOREVER:
            return  # words behind the request: nobody asked for them
        else:
            self._inbox += data
            self._take_request()

    def _take_request(self) -> None:
        line, newline, _ = self._inbox.partition(b"\n")
        if not newline:
            if len(self._inbox) >= REQUEST_LIMIT:
                self.finish(refusal(f"cannot read the request: over {REQUEST_LIMIT} bytes"))
            return
        self.expires = FOREVER  # from here on the time is the supervisor's
        self._inbox = b""
        try:
            request = decode_request(line)
        except BadRequest as error:
            self.finish(refusal(str(error)))
            return
        self._server.handle(request, self)

    def _flush(self) -> None:
        while self._outbox and not self.closed:
            try:
                sent = self._peer.send(self._outbox)
            except BlockingIOError:
                break
            except OSError:
                self.close()
                return
            del self._outbox[:sent]
        if self.closed:
            return
        if bool(self._outbox) != self._writing:
            self._writing = bool(self._outbox)
            if self._writing:
                # A descriptor of its own, as one can be watched for one thing only.
                self._write_fd = os.dup(self._peer.fileno())
                self._server.loop.watch(self._write_fd, self._flush, writable=True)
            else:
                self._server.loop.unwatch(self._write_fd)
                os.close(self._write_fd)
        if self._closing and not self._outbox:
            self.close()


class ControlServer:
    """Listens on a Unix socket. ``handle(request, connection)`` is called for each well-formed request of our user.

    The socket is 0600 in a directory that is ours alone, and still every peer's user id is asked of the kernel.
    """

    def __init__(self, loop: Loop, listener: socket.socket, handle: Callable[[Message, Connection], None]) -> None:
        self.loop = loop
        self.handle = handle
        self._listener = listener
        self._connections: set[Connection] = set()
        listener.setblocking(False)
        loop.watch(listener.fileno(), self._accept)
        loop.on_deadline(self._next_expiry, self._expire)

    def forget(self, connection: Connection) -> None:
        """It has closed."""
        self._connections.discard(connection)

    def close(self) -> None:
        """No more requests; whoever still waits is let go."""
        self.loop.unwatch(self._listener.fileno())
        self._listener.close()
        for connection in list(self._connections):
            connection.close()

    def _accept(self) -> None:
        try:
            peer, _ = self._listener.accept()
        except OSError:
            return  # gone again, or no descriptor left: the next turn tries anew
        peer.setblocking(False)
        if len(self._connections) >= CONNECTIONS or peer_uid(peer) not in (os.getuid(), 0):
            peer.close()
            return
        connection = Connection(self, peer, self.loop.now())
        self._connections.add(connection)
        self.loop.watch(peer.fileno(), connection.readable)

    def _next_expiry(self) -> float:
        return min((connection.expires for connection in self._connections), default=FOREVER)

    def _expire(self, now: float) -> None:
        for connection in [one for one in self._connections if one.expires <= now]:
            connection.finish(refusal("cannot wait any longer for the request"))


def listen(path: str) -> socket.socket:
    """A listening socket at ``path``, 0600, in place of a stale one. The caller holds the lock that makes it ours."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
    mask = os.umask(0o177)
    try:
        with near(path) as short:
            listener.bind(short)
    finally:
        os.umask(mask)
    listener.listen(128)
    return listener


class near:  # noqa: N801 - used as a function
    """A short name for a long path: sockets have at most 107 bytes of it, directories on Linux have none such."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._fd = -1

    def __enter__(self) -> str:
        if len(os.fsencode(self._path)) < 100:
            return self._path
        directory, name = os.path.split(self._path)
        self._fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        return f"/proc/self/fd/{self._fd}/{name}"

    def __exit__(self, *_: Any) -> None:
        if self._fd >= 0:
            os.close(self._fd)


def peer_uid(peer: socket.socket) -> int:
    """The user at the other end, by the kernel's word; our own where it has none to give."""
    option = getattr(socket, "SO_PEERCRED", None)
    if option is None:
        return os.getuid()  # macOS: the directory's mode has to do
    _, uid, _ = struct.unpack("3i", peer.getsockopt(socket.SOL_SOCKET, option, 12))
    return int(uid)
