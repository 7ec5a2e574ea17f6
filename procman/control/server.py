"""The server half: connections on the loop, each bounded in bytes and time, none able to disturb another."""

import os
import resource
import socket
import struct
from collections.abc import Callable
from typing import Any, Protocol

from procman.control.protocol import PATIENCE_S, REQUEST_LIMIT, BadRequest, Message, decode_request, encode, refusal

CONNECTIONS = 2_000  # at once; over that whoever has asked for nothing yet makes room, the longest there first
SHARE = 4  # of the descriptors we may have, no more than one in so many: dynos need them too
BREATH_S = 1.0  # without a descriptor for the next client, it is not tried again sooner
BACKLOG = 128  # clients that knock at the same instant
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

    def __init__(self, server: "ControlServer", peer: socket.socket) -> None:
        self._server = server
        self._peer = peer
        self._inbox = b""
        self._outbox = bytearray()
        self._asked = False  # from here on the time is the supervisor's
        self._closing = False
        self._writing = False
        self._held = False  # not read, until whoever takes its bytes has room again
        self.closed = False
        self.request: Message | None = None
        self.resumed = False  # another server was asked, and has answered in part
        self.on_bytes: Callable[[bytes], None] | None = None  # raw input, once a terminal is attached
        self.on_taken: Callable[[], None] | None = None  # the client was behind, and is no more
        self.on_close: Callable[[], None] | None = None

    @property
    def closing(self) -> bool:
        """Its answer is whole, and only to be read."""
        return self._closing

    @property
    def behind(self) -> bool:
        """The client has not taken all that was sent."""
        return self._writing

    def send(self, message: Message) -> None:
        """One more line of the answer."""
        self.write(encode(message))

    def finish(self, message: Message | None = None) -> None:
        """The last line of the answer, if there is still one to say; then the connection ends."""
        self._asked = self._closing = True
        if message is not None:
            self.send(message)
        self._flush()
        if not self.closed:
            self._server.hurry(self)  # to read it

    def expire(self) -> None:
        """The client has had its time, to ask or to read the answer."""
        if self._closing:
            self.close()
        else:
            self.finish(refusal("cannot wait any longer for the request"))

    def write(self, data: bytes) -> None:
        """Raw bytes. A client that leaves too much unread is let go."""
        if self.closed or not data:
            return
        self._outbox += data
        if len(self._outbox) > OUTBOX_LIMIT:
            self.close()
        else:
            self._flush()

    def hold(self, held: bool) -> None:
        """Read nothing more from the client, or go on. Its end is not noticed meanwhile."""
        if held == self._held or self.closed:
            return
        self._held = held
        if held and not self._writing:
            self._server.loop.unwatch(self._peer.fileno())
        elif not self._writing:
            self._server.loop.watch(self._peer.fileno(), self.readable)

    def close(self) -> None:
        """Let the client go."""
        if self.closed:
            return
        self.closed = True
        if self._writing or not self._held:
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
        elif self._asked:
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
        self._asked = True
        self._server.relieve(self)
        self._inbox = b""
        try:
            request = decode_request(line)
        except BadRequest as error:
            self.finish(refusal(str(error)))
            return
        self.request = request
        self._server.handle(request, self)

    def pack(self) -> dict[str, Any]:
        """What another server has to know to go on with the client."""
        unsent, inbox = self._outbox.hex(), self._inbox.hex()
        return {"fd": self._peer.fileno(), "request": self.request, "unsent": unsent, "inbox": inbox}

    def unpack(self, row: dict[str, Any]) -> None:
        """Go on: the request, if it is whole, is still to be served; what was not sent comes first."""
        self.request = row["request"]
        if self.request is None:
            self._inbox = bytes.fromhex(row["inbox"])
            self._server.hurry(self)
            return
        self._asked = self.resumed = True
        self.write(bytes.fromhex(row["unsent"]))

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
        if self._closing and not self._outbox:
            self.close()
        elif bool(self._outbox) != self._writing:
            # Who does not read is not read either: a descriptor is watched for one thing at a time.
            if self._writing or not self._held:
                self._server.loop.unwatch(self._peer.fileno())
            self._writing = bool(self._outbox)
            if self._writing or not self._held:
                callback = self._flush if self._writing else self.readable
                self._server.loop.watch(self._peer.fileno(), callback, self._writing)
            if not self._writing and self.on_taken:
                self.on_taken()


class ControlServer:
    """Listens on a Unix socket. ``handle(request, connection)`` is called for each well-formed request of our user.

    The socket is 0600 in a directory that is ours alone, and still every peer's user id is asked of the kernel
    (``uid_of``). ``most``: how many connections there may be at once.
    """

    def __init__(
        self,
        loop: Loop,
        listener: socket.socket,
        handle: Callable[[Message, Connection], None],
        uid_of: Callable[[socket.socket], int] | None = None,
        most: Callable[[], int] | None = None,
    ) -> None:
        self.loop = loop
        self.handle = handle
        self._listener = listener
        self._uid_of = uid_of or peer_uid
        self._most = most or most_connections
        self._connections: set[Connection] = set()
        self._hurried: dict[Connection, float] = {}  # and when their time is over, the earliest first
        self._deaf_until = FOREVER
        listener.setblocking(False)
        loop.watch(listener.fileno(), self._accept)
        loop.on_deadline(self._next_expiry, self._expire)
        loop.on_deadline(lambda: self._deaf_until, self._hear_again)

    def hurry(self, connection: Connection) -> None:
        """From now on the client has so much time."""
        self._hurried.pop(connection, None)
        self._hurried[connection] = self.loop.now() + PATIENCE_S

    def relieve(self, connection: Connection) -> None:
        """The client has done its part."""
        self._hurried.pop(connection, None)

    def forget(self, connection: Connection) -> None:
        """It has closed."""
        self._connections.discard(connection)
        self.relieve(connection)

    @property
    def connections(self) -> list[Connection]:
        """Those that have not asked for anything yet, or have not got all of it."""
        return [one for one in self._connections if not one.closing]

    def fileno(self) -> int:
        """The listening socket."""
        return self._listener.fileno()

    def resume(self, row: dict[str, Any]) -> Connection:
        """Another server's client is ours now."""
        peer = socket.socket(fileno=row["fd"])
        peer.setblocking(False)
        connection = Connection(self, peer)
        self._connections.add(connection)
        self.loop.watch(peer.fileno(), connection.readable)
        connection.unpack(row)
        return connection

    def close(self) -> None:
        """No more requests; whoever still waits is let go."""
        if self._deaf_until == FOREVER:
            self.loop.unwatch(self._listener.fileno())
        self._deaf_until = FOREVER
        self._listener.close()
        for connection in list(self._connections):
            connection.close()

    def _accept(self) -> None:
        try:
            peer, _ = self._listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return  # gone again
        except OSError:
            # No descriptor left, and the client still in the queue: to be told of it again and again would help nobody.
            self.loop.unwatch(self._listener.fileno())
            self._deaf_until = self.loop.now() + BREATH_S
            return
        peer.setblocking(False)
        if self._uid_of(peer) not in (os.getuid(), 0) or not self._make_room():
            peer.close()
            return
        connection = Connection(self, peer)
        self._connections.add(connection)
        self.loop.watch(peer.fileno(), connection.readable)
        self.hurry(connection)

    def _make_room(self) -> bool:
        """False when every connection there may be is one that waits for us."""
        if len(self._connections) >= self._most():
            if not self._hurried:
                return False
            next(iter(self._hurried)).close()
        return True

    def _hear_again(self, now: float) -> None:
        self._deaf_until = FOREVER
        self.loop.watch(self._listener.fileno(), self._accept)

    def _next_expiry(self) -> float:
        return next(iter(self._hurried.values()), FOREVER)

    def _expire(self, now: float) -> None:
        for connection in [one for one, end in self._hurried.items() if end <= now]:
            connection.expire()


def most_connections() -> int:
    """How many there may be at once."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return CONNECTIONS if soft == resource.RLIM_INFINITY else min(CONNECTIONS, soft // SHARE)


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
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    finally:
        os.umask(mask)
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
    found = credentials(peer)
    return os.getuid() if found is None else found[1]  # macOS: the directory's mode has to do


def credentials(peer: socket.socket) -> tuple[int, int] | None:
    """Process and user id at the other end, by the kernel's word, where it has one to give."""
    option = getattr(socket, "SO_PEERCRED", None)
    if option is None:
        return None
    pid, uid, _ = struct.unpack("3i", peer.getsockopt(socket.SOL_SOCKET, option, 12))
    return pid, uid
