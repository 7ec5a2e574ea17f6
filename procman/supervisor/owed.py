"""What a supervisor has read of a log pipe and may not have written yet, for the next one, should it be killed then.

A chunk is looked at without being taken (tee(2)), handed to the log, and taken only when it is written. What is in
between stands in a small file that is mapped into memory, so that to note it costs no more than an assignment: how many
bytes of the pipe it is about, how they end, where the log ended before, and the line that was begun before. With that
the next supervisor can tell how much of the chunk was written: the lines of this dyno that stand behind that place.

When all of it is written, that is noted, and it is taken. Which of the two a kill came between, the pipe itself tells:
what is still to be taken ends as it did.
"""

import ctypes
import mmap
import os
import struct
from collections.abc import Callable, Iterator
from typing import NamedTuple
from zlib import crc32

from procman.logs.formats import Source, stamp
from procman.logs.sink import widen_pipe
from procman.logs.store import segment_path, segments
from procman.supervisor.ends import OWED

# Bytes of the pipe, place in the log (segment and offset), bytes of the begun line, whether all is written, and how the
# chunk ends.
HEAD = struct.Struct("=QQQQ?I")
ENDING = 4096  # bytes of a chunk by which it is known again
SIZE = 64 << 10  # of the file; of a longer begun line nothing is kept
STAMP = len(stamp(0.0))
TAIL = 8 << 20  # bytes, more than the longest line
NONBLOCK = 2  # fcntl.h: SPLICE_F_NONBLOCK


class Debt(NamedTuple):
    """``size`` bytes of the pipe may be written, all or in part, behind ``place`` in the log; if they are
    ``written``, all that is open is whether they were taken. ``rest``: the line that was begun before them, or by them
    if they are written. ``ending``: see ``ending_of``.
    """

    size: int
    place: tuple[int, int]
    rest: bytes
    written: bool = False
    ending: int = 0


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
        size, segment, offset, length, written, ending = HEAD.unpack_from(self._map)
        rest = self._map[HEAD.size : HEAD.size + min(length, SIZE - HEAD.size)]
        return Debt(size, (segment, offset), rest, written, ending)

    def begin(self, chunk: bytes, place: tuple[int, int]) -> None:
        """This is looked at and will be written behind this place; the begun line stays as it is."""
        _, _, _, length, _, _ = HEAD.unpack_from(self._map)
        HEAD.pack_into(self._map, 0, len(chunk), *place, length, False, ending_of(chunk))

    def go_on(self, chunk: bytes) -> None:
        """It has grown, and goes on behind the same place."""
        _, segment, offset, length, _, _ = HEAD.unpack_from(self._map)
        HEAD.pack_into(self._map, 0, len(chunk), segment, offset, length, False, ending_of(chunk))

    def written(self, rest: bytes) -> None:
        """All of that is written, but for the line that it began, and will now be taken."""
        size, segment, offset, _, _, ending = HEAD.unpack_from(self._map)
        HEAD.pack_into(self._map, 0, size, segment, offset, self._keep(rest), True, ending)

    def taken(self) -> None:
        """That is done."""
        _, _, _, length, _, _ = HEAD.unpack_from(self._map)
        HEAD.pack_into(self._map, 0, 0, 0, 0, length, False, 0)

    def end(self, rest: bytes) -> None:
        """Nothing is owed, but for the line that was begun."""
        HEAD.pack_into(self._map, 0, 0, 0, 0, self._keep(rest), False, 0)

    def _keep(self, rest: bytes) -> int:
        if len(rest) > SIZE - HEAD.size:
            return 0
        self._map[HEAD.size : HEAD.size + len(rest)] = rest
        return len(rest)

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

    def close(self) -> None:
        """It looks no more."""
        for fd in (self._reader, self._writer, self._null):
            os.close(fd)

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
        if debt.written:
            if len(chunk) == debt.size and ending_of(chunk) == debt.ending:
                self.take(fd, debt.size)
            return debt.rest
        pending, written = debt.rest + chunk, 0
        for line in self._lines(source, debt.place):
            if pending.startswith(line, written):  # else a namesake's, of another generation
                written += len(line)
        if not written:
            return debt.rest
        done = chunk[: written - len(debt.rest)]
        owed.begin(done, debt.place)
        owed.written(b"")
        self.take(fd, len(done))
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


def ending_of(chunk: bytes) -> int:
    """By which a chunk is known again."""
    return crc32(chunk[-ENDING:])


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
