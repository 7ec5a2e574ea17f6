"""What systemd is told: that the formation is started, that it ends, and that our loop still turns (sd_notify(3))."""

import os
import socket
from collections.abc import Mapping

from procman.supervisor.loop import FOREVER, Loop
from procman.supervisor.supervisor import Supervisor

RETRY_S = 1.0  # when the manager's queue is full: READY must not be lost, nor may the dynos wait for it
ALIVE = b"WATCHDOG=1"


def notify(supervisor: Supervisor, environ: Mapping[str, str]) -> None:
    """Say READY before the next turn of the loop, then STATUS whenever the formation is another, then STOPPING.

    For a supervisor that has started its dynos and opened its control socket. Without NOTIFY_SOCKET, or with one of
    a kind that we do not know, nothing is said. Where no watchdog waits, nothing ever wakes us up.
    """
    address = address_of(environ.get("NOTIFY_SOCKET", ""))
    if not address:
        return
    notifier = Notifier(address, supervisor.loop, interval(environ, os.getpid()))
    told: dict[str, int] | None = None
    stopping = False

    def tell() -> None:
        nonlocal told, stopping
        if closing := supervisor.engine.closing:
            if not stopping:
                stopping = True
                notifier.send(f"STOPPING=1\nSTATUS=Stopping: {closing.why}")
        elif supervisor.formation != told:
            ready = "READY=1\n" if told is None else ""
            told = dict(supervisor.formation)
            listed = " ".join(f"{name}={quantity}" for name, quantity in told.items())
            notifier.send(f"{ready}STATUS=Formation: {listed or 'none'}")

    supervisor.after_turn.append(tell)


class Notifier:
    """Datagrams to the service manager, in order. ``every``: seconds between signs of life; FOREVER for none."""

    def __init__(self, address: bytes, loop: Loop, every: float = FOREVER) -> None:
        self._address = address
        self._loop = loop
        self._every = every
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._unsent: list[bytes] = []
        self._retry_at = FOREVER
        self._alive_at = loop.now() + every
        loop.on_deadline(lambda: min(self._alive_at, self._retry_at), self._due)

    def send(self, text: str) -> None:
        """Tell it, now or as soon as it can be told."""
        self._unsent.append(text.encode("utf-8", "replace"))
        self._flush()

    def _due(self, now: float) -> None:
        if now >= self._alive_at:
            self._alive_at = now + self._every
            if ALIVE not in self._unsent:
                self._unsent.append(ALIVE)
        self._flush()

    def _flush(self) -> None:
        self._retry_at = FOREVER
        while self._unsent:
            try:
                self._socket.sendto(self._unsent[0], self._address)
            except BlockingIOError:
                self._retry_at = self._loop.now() + RETRY_S
                return
            except OSError:
                pass  # a manager that has gone, or never was there: no reason for the dynos to suffer
            del self._unsent[0]


def address_of(text: str) -> bytes:
    """The address to send to; nothing for what is none. ``@`` begins a name of Linux's abstract namespace."""
    if text.startswith("@") and len(text) > 1:
        return b"\0" + os.fsencode(text[1:])
    return os.fsencode(text) if text.startswith("/") else b""


def interval(environ: Mapping[str, str], pid: int) -> float:
    """Seconds between signs of life: half of what the watchdog grants (sd_watchdog_enabled(3)); FOREVER for none."""
    whole = environ.get("WATCHDOG_USEC", "")
    meant = environ.get("WATCHDOG_PID", "")
    if not (whole.isascii() and whole.isdigit() and int(whole)) or (meant and meant != str(pid)):
        return FOREVER
    return int(whole) / 2 / 1_000_000
