"""A file descriptor that log batches are written to without ever blocking the writer."""

import errno
import fcntl
import os
import stat
import sys

from procman.lean import deque
from procman.logs.formats import Buffer

HIGH_WATER = 1 << 20  # bytes waiting for a slow reader before whoever feeds the sink shall stop
BATCH = 256  # buffers in one writev; IOV_MAX is 1024 on Linux and macOS
READER_GONE = frozenset({errno.EPIPE, errno.EIO, errno.ECONNRESET, errno.ENXIO})
PIPE_BYTES = 1 << 20


class Sink:
    """Writes to ``fd`` as far as its reader takes it, and keeps the rest in order.

    ``broken``: the reader is gone for good. ``lost``: bytes dropped because the disk was full; they are counted,
    and the next write that succeeds ends the gap. ``hangup_fd``: becomes "readable" when the reader has gone.
    """

    def __init__(self, fd: int) -> None:
        self.fd, self._restore = open_nonblocking(fd)
        # The end of a pipe's reader shows as an error on its other end, at once (Linux), not only at the next write.
        pipe = stat.S_ISFIFO(os.fstat(fd).st_mode) and sys.platform == "linux"
        self.hangup_fd = os.dup(self.fd) if pipe else None
        self._pending: deque[Buffer] = deque()
        self.size = 0
        self.broken = False
        self.lost = 0
        self.trouble = ""  # the error behind ``lost``

    @property
    def full(self) -> bool:
        """More is waiting than a slow reader may cost in memory."""
        return self.size > HIGH_WATER

    def put(self, buffers: list[Buffer]) -> None:
        """Take buffers for the next flush."""
        if not self.broken:
            self._pending.extend(buffers)
            self.size += sum(map(len, buffers))

    def flush(self) -> None:
        """Write what can be written now."""
        pending = self._pending
        while pending and not self.broken:
            batch = [pending.popleft() for _ in range(min(len(pending), BATCH))]
            try:
                written = os.writev(self.fd, batch)
            except BlockingIOError:
                written = 0
            except OSError as error:
                self._fail(error, batch)
                continue
            self.size -= written
            if not self._keep(batch, written):
                return

    def unsent(self) -> bytes:
        """What waits."""
        return b"".join(self._pending)

    def give_up(self) -> None:
        """The reader has gone: nothing is kept for it any more."""
        self.broken = True
        self._pending.clear()
        self.size = 0

    def close(self) -> None:
        """Give the descriptor back as it was."""
        if self._restore:
            os.set_blocking(self.fd, True)
        else:
            os.close(self.fd)

    def _keep(self, batch: list[Buffer], written: int) -> bool:
        """Put back what was not written; True if all was."""
        kept: list[Buffer] = []
        for buffer in batch:
            if written >= len(buffer):
                written -= len(buffer)
            else:
                kept.append(memoryview(buffer)[written:] if written else buffer)
                written = 0
        self._pending.extendleft(reversed(kept))
        return not kept

    def _fail(self, error: OSError, batch: list[Buffer]) -> None:
        if error.errno in READER_GONE:
            self.give_up()
            return
        dropped = sum(map(len, batch))
        self.size -= dropped
        self.lost += dropped
        self.trouble = error.strerror or str(error)


def open_nonblocking(fd: int) -> tuple[int, bool]:
    """A descriptor for the same reader that does not block, and whether its mode must be restored at the end.

    Setting O_NONBLOCK on a terminal or pipe would change it for the shell and whoever else shares the open file;
    Linux lets us open it anew instead. Elsewhere, and for sockets, the mode is set and given back.
    """
    mode = os.fstat(fd).st_mode
    if stat.S_ISREG(mode):
        return os.dup(fd), False  # opened anew it would start at offset 0; and a file does not block
    if stat.S_ISFIFO(mode):
        widen_pipe(fd, PIPE_BYTES)
    try:
        return os.open(f"/proc/self/fd/{fd}", os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC), False
    except OSError:
        os.set_blocking(fd, False)
        return fd, True


def widen_pipe(fd: int, size: int) -> None:
    """Ask for a pipe of ``size`` bytes; fewer, larger reads cost less. Refused politely where not allowed."""
    try:
        fcntl.fcntl(fd, getattr(fcntl, "F_SETPIPE_SZ", 1031), size)
    except OSError:
        return
