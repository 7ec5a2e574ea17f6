"""A listening socket behind which TLS begins: who has not got through the handshake yet takes a place, too."""

import asyncio
import contextlib
import socket
from typing import Any


class Door(socket.socket):
    """``most``: of those who are in the handshake at once; of more, the first is hung up on.

    asyncio tells nobody of them before they are through it, so they are counted where they are accepted.
    """

    def __init__(self, *words: Any, most: int) -> None:
        super().__init__(*words)
        self._most = most
        self._knocking: dict[int, socket.socket] = {}  # by descriptor, in the order of their coming

    def accept(self) -> tuple[socket.socket, Any]:
        """Called by asyncio."""
        sock, address = super().accept()
        self._knocking.pop(sock.fileno(), None)  # whoever had that number has gone
        self._knocking[sock.fileno()] = sock
        if len(self._knocking) > self._most:
            self._make_room()
        return sock, address

    def let_in(self, transport: asyncio.BaseTransport) -> None:
        """Its handshake is over: from now on others count it."""
        self._knocking.pop(transport.get_extra_info("socket").fileno(), None)

    def _make_room(self) -> None:
        self._knocking = {fd: sock for fd, sock in self._knocking.items() if sock.fileno() >= 0}
        if len(self._knocking) > self._most:
            first = self._knocking.pop(next(iter(self._knocking)))
            with contextlib.suppress(OSError):
                first.shutdown(socket.SHUT_RDWR)  # asyncio, whose it is, sees its end and closes it
