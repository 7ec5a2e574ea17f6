"""The way of HAProxy's log to us: a FIFO that HAProxy holds open itself.

HAProxy writes each line by one ``write`` that does not wait. While nobody reads, the pipe fills (up to a megabyte), and
then lines are dropped; requests never notice. Whoever comes next reads what is left. (A ``ring`` with a stream socket
would keep more; but HAProxy 2.6 and 2.8 spin at full speed while nobody listens there.)
"""

import asyncio
import fcntl
import os
import stat
from collections.abc import Callable

OnLines = Callable[[list[bytes]], None]
PIPE_BYTES = (1 << 20, 1 << 18)  # what any user may ask for, unless the system's administrator has said otherwise
REST_S = 0.01  # between two reads: so lines come many at a time
LONGEST = 1 << 17  # bytes without a newline: torn


class LogPipe:
    """The FIFO ``name`` in a directory, made if need be."""

    def __init__(self, directory: int, name: str, on_lines: OnLines) -> None:
        self._on_lines = on_lines
        self._rest = b""
        self._handle: asyncio.TimerHandle | None = None
        try:
            os.mkfifo(name, 0o600, dir_fd=directory)
        except FileExistsError:
            if not stat.S_ISFIFO(os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode):
                raise
        # Open both ways: neither the reader nor the writers ever see an end.
        self.fd = os.open(name, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory)
        for size in PIPE_BYTES:
            try:
                fcntl.fcntl(self.fd, fcntl.F_SETPIPE_SZ, size)
                break
            except OSError:
                continue

    def start(self) -> None:
        """Read from now on."""
        asyncio.get_running_loop().add_reader(self.fd, self._ready)

    def _ready(self) -> None:
        """Take what is there, and look away for a moment."""
        loop = asyncio.get_running_loop()
        loop.remove_reader(self.fd)
        self._handle = loop.call_later(REST_S, self.start)
        self.take()

    def take(self) -> None:
        """Hand on the whole lines that have come."""
        try:
            data = os.read(self.fd, PIPE_BYTES[0])
        except BlockingIOError:
            return
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > LONGEST:
            self._rest = b""
        if lines:
            self._on_lines(lines)

    def close(self) -> None:
        """Leave the rest to whoever comes next."""
        if self._handle is not None:
            self._handle.cancel()
        asyncio.get_running_loop().remove_reader(self.fd)
        os.close(self.fd)
