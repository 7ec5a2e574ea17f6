"""The server half: connections on the loop, each bounded in bytes and time, none able to disturb another."""

import os
import resource
import socket

from procman.control.connection import Connection
from procman.control.protocol import PATIENCE_S, Message
from procman.control.sockets import peer_uid
from procman.typed import Any, Callable, Protocol

CONNECTIONS = 2_000  # at once; over that whoever has asked for nothing yet makes room, the longest there first
SHARE = 4  # of the descriptors we may have, no more than one in so many: dynos need them too
BREATH_S = 1.0  # without a descriptor for the next client, it is not tried again sooner
FOREVER = float("inf")


class Loop(Protocol):
    """What the server needs of the supervisor's loop."""

    def now(self) -> float: ...
    def watch(self, fd: int, callback: Callable[[], None], writable: bool = False) -> None: ...
    def unwatch(self, fd: int) -> None: ...
    def on_deadline(self, deadline: Callable[[], float], callback: Callable[[float], None]) -> None: ...


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
