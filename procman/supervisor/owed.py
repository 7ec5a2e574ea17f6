"""What a supervisor has read of a log pipe and may not have written yet, for the next one, should it be killed then.

A chunk is looked at without being taken (tee(2)), handed to the log, and taken only when it is written. What is in
between stands in a small file that is mapped into memory, so that to note it costs no more than an assignment: how many
bytes of the pipe it is about, where the log ended before, and the line that was begun before. With that the next
supervisor can tell how much of the chunk was written: the lines of this dyno that stand behind that place.
"""

import ctypes
import mmap
import os
import struct
from collections.abc import Callable, Iterator
from typing import NamedTuple

from procman.logs.formats import Source, stamp
from procman.logs.sink import widen_pipe
from procman.logs.store import segment_path, segments
from procman.supervisor.ends import OWED

HEAD = struct.Struct("=QQQQ")  # bytes of the pipe, place in the log (segment and offset), bytes of the begun line
SIZE = 64 << 10  # of the file; of a longer begun line nothing is kept
STAMP = len(stamp(0.0))
TAIL = 8 << 20  # bytes, more than the longest line
NONBLOCK = 2  # fcntl.h: SPLICE_F_NONBLOCK


class Debt(NamedTuple):
    """``size`` bytes of the pipe may be written, all or in part, behind ``place`` in the log. ``rest``: the line that
    was begun before them.
    """

    size: int
    place: tuple[int, int]
    rest: bytes


class Owed:
    """The note about one pipe."""

    def __init__(self, path: str) -> None:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(fd, 0, SIZE)  # a hole that a full disk cannot fill would kill us when it is written to
            self._map = mmap.mmap(fd, SIZE)
        finally:
            os.close(fd)

    def read(self) -> Debt:
        """As it was left."""
        size, segment, offset, length = HEAD.unpack_from(self._map)
        return Debt(size, (segment, offset), self._map[HEAD.size : HEAD.size + min(length, SIZE - HEAD.size)])

    def begin(self, size: int, place: tuple[int, int]) -> None:
        """So much is looked at and will be written behind this place; the begun line stays as it is."""
        _, _, _, length = HEAD.unpack_from(self._map)
        HEAD.pack_into(self._map, 0, size, *place, length)

    def end(self, rest: bytes) -> None:
        """All of that is written, but for the line that it began."""
        if len(rest) > SIZE - HEAD.size:
            rest = b""
        self._map[HEAD.size : HEAD.size + len(rest)] = rest
        HEAD.pack_into(self._map, 0, 0, 0, 0, len(rest))

    def close(self) -> None:
        """The pipe is at its end."""
        self._map.close()


class Witness:
    """Looks into pipes, and knows what the log has of them. Raises OSError where that cannot be.

    ``directory``: the log's. ``place``: where its next line will stand. ``waits``: whether something is still to be
    written. ``chunk``: bytes of one look.
    """

    def __init__(
        self,
        directory: str,
        place: Callable[[], tuple[int, int]],
        waits: Callable[[], bool],
        chunk: int = 256 << 10,
    ) -> None:
        self.place = place
        self.waits = waits
        self._directory = directory
        self._tee = ctypes.CDLL(None, use_errno=True).tee
        self._tee.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_size_t, ctypes.c_uint)
        self._tee.restype = ctypes.c_ssize_t
        self._chunk = chunk
        self._reader, self._writer = os.pipe()
        widen_pipe(self._writer, chunk)
        self._null = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)

    def owed(self, pipe: str) -> Owed:
        """The note about a pipe, by its path."""
        return Owed(pipe + OWED)

    def look(self, fd: int) -> bytes:
        """What is in a pipe, up to a whole one; b"" at its end. Raises BlockingIOError when there is nothing now."""
        found: int = self._tee(fd, self._writer, self._chunk, NONBLOCK)
        if found < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        chunk = os.read(self._reader, found) if found else b""
        while len(chunk) < found:
            chunk += os.read(self._reader, found - len(chunk))
        return chunk

    def take(self, fd: int, size: int) -> None:
        """So many bytes that are in a pipe have been dealt with."""
        while size > 0 and (taken := os.splice(fd, self._null, size)):
            size -= taken

    def settle(self, owed: Owed, fd: int, source: Source) -> bytes:
        """Take of a pipe what a killed supervisor has written already; the line that was begun then."""
        debt = owed.read()
        if not debt.size:
            return debt.rest
        try:
            chunk = self.look(fd)[: debt.size]
        except OSError:
            return debt.rest
        pending, written = debt.rest + chunk, 0
        for line in self._lines(source, debt.place):
            if pending.startswith(line, written):  # else a namesake's, of another generation
                written += len(line)
        if not written:
            return debt.rest
        self.take(fd, written - len(debt.rest))
        return b""

    def _lines(self, source: Source, place: tuple[int, int]) -> Iterator[bytes]:
        """Those of a source that the log has behind a place."""
        head = f" {source.origin}[{source.label()}]: ".encode()
        segment, offset = place
        for number in [number for number in segments(self._directory) if number >= segment]:
            with open(segment_path(self._directory, number), "rb") as file:
                file.seek(offset if number == segment else 0)
                for line in file:
                    if line.startswith(head, STAMP) and line.endswith(b"\n"):
                        yield line[STAMP + len(head) :]


def cut_torn(directory: str) -> None:
    """End the log with a whole line: a kill may tear even one write, and what it tore is still in its pipe."""
    try:
        newest = segment_path(directory, max(segments(directory)))
        with open(newest, "r+b") as file:
            size = file.seek(0, os.SEEK_END)
            start = max(size - TAIL, 0)
            file.seek(start)
            tail = file.read()
            if tail and not tail.endswith(b"\n") and (whole := tail.rfind(b"\n") + 1):
                file.truncate(start + whole)
    except (OSError, ValueError):
        return  # there is no log yet, or it is left as it is
