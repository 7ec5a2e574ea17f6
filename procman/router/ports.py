"""The router's ports, kept from others while there is no HAProxy to listen on them.

A port above 32,767 that nobody has bound can become the near end of anybody's connection: even of a client's that keeps
trying this very port, and so is connected to itself. As long as that lasts, no HAProxy can be started again.
"""

import contextlib
import socket
from collections.abc import Iterable

from procman.router.settings import split_address


class Ports:
    """Addresses (``HOST:PORT``) that are kept: bound, never listened on; HAProxy, with SO_REUSEADDR, may join."""

    def __init__(self, addresses: Iterable[str]) -> None:
        self._kept: dict[str, socket.socket | None] = dict.fromkeys(addresses)

    def keep(self) -> None:
        """Take what is free; what is not will be said by HAProxy, or is HAProxy's own from before us."""
        for address, kept in self._kept.items():
            if kept is None:
                with contextlib.suppress(OSError):
                    self._kept[address] = bind(address)

    def close(self) -> None:
        """Give them back."""
        for address, kept in self._kept.items():
            if kept is not None:
                kept.close()
                self._kept[address] = None


def bind(address: str) -> socket.socket:
    """A socket at an address. Raises OSError."""
    host, port = split_address(address)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("" if host == "*" else host, port))
    except OSError:
        sock.close()
        raise
    return sock
