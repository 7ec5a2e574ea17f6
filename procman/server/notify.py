"""What systemd is told about the server: that it serves, that its loop turns, that it ends (sd_notify(3))."""

import asyncio
import socket
from collections.abc import Mapping

from procman.supervisor.loop import FOREVER
from procman.supervisor.notify import ALIVE, address_of, interval


class Notifier:
    """Says nothing where nobody listens."""

    def __init__(self, environ: Mapping[str, str], pid: int) -> None:
        self._address = address_of(environ.get("NOTIFY_SOCKET", ""))
        self._every = interval(environ, pid) if self._address else FOREVER
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._timer: asyncio.TimerHandle | None = None

    def ready(self, status: str) -> None:
        """It serves; from now on there are signs of life, if somebody waits for them."""
        self._send(f"READY=1\nSTATUS={status}".encode())
        self._live()

    def stopping(self) -> None:
        """It ends."""
        if self._timer:
            self._timer.cancel()
        self._send(b"STOPPING=1")

    def close(self) -> None:
        """No more words."""
        self._socket.close()

    def _live(self) -> None:
        if self._every != FOREVER:
            self._send(ALIVE)
            self._timer = asyncio.get_running_loop().call_later(self._every, self._live)

    def _send(self, text: bytes) -> None:
        try:
            if self._address:
                self._socket.sendto(text, self._address)
        except OSError:
            return  # a manager that has gone is no reason to end
