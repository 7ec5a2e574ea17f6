"""What an attached client types, on its way to a dyno: nothing is lost, and nothing waits in memory without end."""

import os
from collections.abc import Callable, Mapping
from typing import Any

from procman.supervisor.loop import FOREVER, Loop

MOST = 256 << 10  # bytes that wait for a dyno before its client has to
END = b"\x04"  # what clients without a terminal send at the end of their input (heroku run)
END_S = 0.1  # a client that means the end says nothing more


class Typist:
    """Writes to a dyno's pty or pipe. ``hold`` stops the client, or lets it go on. ``ends``: END closes the pipe."""

    def __init__(
        self,
        loop: Loop,
        fd: int,
        hold: Callable[[bool], None],
        ends: bool,
        on_closed: Callable[[], None] = lambda: None,
    ) -> None:
        self._loop = loop
        self._fd = fd
        self._hold = hold
        self._ends = ends
        self.on_closed = on_closed
        self._unread = b""
        self._watching = False
        self._ended = False  # to be closed once all is written
        self._closed = False
        self.end_at = FOREVER  # when ``end`` is to be called

    def take(self, data: bytes) -> None:
        """What was typed. An END with nothing behind it is the end of the input; within it, a byte like others."""
        if self._closed or self._ended:
            return
        if self.end_at < FOREVER:
            data, self.end_at = END + data, FOREVER
        if self._ends and data.endswith(END):
            data, self.end_at = data[:-1], self._loop.now() + END_S
        self._unread += data
        self._write()

    def close(self) -> None:
        """The dyno has gone. A pipe is closed here; a pty by whoever reads it."""
        if not self._closed:
            self._closed = True
            self.end_at = FOREVER
            self._watch(False)
            if self._ends:
                os.close(self._fd)
                self.on_closed()

    def pack(self) -> dict[str, Any]:
        """What is still on its way."""
        return {"unread": self._unread.hex(), "end": self.end_at < FOREVER, "ended": self._ended or self._closed}

    def unpack(self, row: Mapping[str, Any]) -> None:
        """Go on with that."""
        self._unread = bytes.fromhex(row["unread"])
        self._ended = row["ended"]
        if row["end"]:
            self.end_at = self._loop.now() + END_S
        self._write()

    def end(self) -> None:
        """There was nothing behind the END."""
        self.end_at = FOREVER
        self._ended = True
        self._write()

    def _write(self) -> None:
        while self._unread:
            try:
                self._unread = self._unread[os.write(self._fd, self._unread) :]
            except BlockingIOError:
                break
            except OSError:
                self._unread = b""  # nobody reads any more
        self._watch(bool(self._unread))
        self._hold(len(self._unread) > MOST)
        if self._ended and not self._unread:
            self.close()

    def _watch(self, wanted: bool) -> None:
        if wanted != self._watching:
            self._watching = wanted
            if wanted:
                self._loop.watch(self._fd, self._write, writable=True)
            else:
                self._loop.unwatch(self._fd)
