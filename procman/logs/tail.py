"""The log store from the reader's side: the last lines, and what comes after.

Needs only the files, no supervisor. Every read is of whole lines; blocks are bounded by ``BLOCK`` or the longest line.
Errors of the disk and of permissions are raised as ``OSError``; segments that go while one reads are not errors.
"""

import errno
import os
import stat
import time
from collections.abc import Iterator

from procman.logs.formats import heroku_lines
from procman.logs.line import EVERYTHING, Filter
from procman.logs.store import PROCMAN, Position, segment_path, segments

BLOCK = 1 << 20  # bytes of one read
LARGEST = 64 << 20  # bytes; no segment and no line of ours comes near, so what is larger is somebody's trap


def end(directory: str) -> Position:
    """Behind the last whole line: what ``last`` and ``follow_from`` can share, so that no line falls between."""
    for number in reversed(segments(directory)):
        fd = open_segment(directory, number)
        if fd is not None:
            try:
                return Position(number, whole_bytes(fd))
            finally:
                os.close(fd)
    return Position(1, 0)


def last(directory: str, count: int, wants: Filter = EVERYTHING, before: Position | None = None) -> list[bytes]:
    """The last ``count`` lines that are wanted, oldest first, each with its newline; of those that stand ``before``.

    Reads backwards, no further than it must.
    """
    found: list[list[bytes]] = []
    if count > 0:
        for batch in batches_backwards(directory, before or end(directory)):
            lines = wants.lines(batch)[-count:]
            found.append(lines)
            count -= len(lines)
            if not count:
                break
    return [line for lines in reversed(found) for line in lines]


def follow_from(directory: str, position: Position) -> "Follower":
    """All that comes, or has come, behind ``position``."""
    return Follower(directory, position)


class Follower:
    """Goes along with the writer, from segment to segment. It does not wait: its reader does, when there is nothing.

    Segments that were deleted before they were read are named in one system line in their place.
    """

    def __init__(self, directory: str, position: Position) -> None:
        self._directory = directory
        self._number, self._offset = position
        self._fd: int | None = None
        self._final = False  # there is a later segment, so this one grows no more
        self._rest = b""  # what stands behind the last whole line
        self._missed: Position | None = None  # first of what was deleted unread
        self._seen = self._snapshot()

    def read(self) -> bytes:
        """Whole lines, about 1 MiB at most unless one is longer; b"" if there is nothing more for now."""
        while True:
            if self._fd is None:
                if not self._open():
                    if not self._starts_over():
                        return b""
                    continue
                if self._missed:
                    return self._tell_missed()
            batch = self._batch()
            if batch:
                return batch
            if self._final:
                rest = self._rest
                self._go_to(self._number + 1, 0)
                if rest:  # torn, and never mended
                    return rest + b"\n"
            elif any(number > self._number for number in segments(self._directory)):
                self._final = True  # but more may have come before it: read once again
            elif not self._starts_over():
                return b""

    def position(self) -> Position:
        """Behind what ``read`` has given out: where another follower can go on."""
        return Position(self._number, self._offset)

    def close(self) -> None:
        """Give the descriptor back."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def _open(self) -> bool:
        """The segment wanted, or the first after it."""
        while True:
            self._fd = open_segment(self._directory, self._number)
            if self._fd is not None:
                return True
            later = next((number for number in segments(self._directory) if number > self._number), None)
            if later is None:
                return False
            self._missed = self._missed or Position(self._number, self._offset)
            self._go_to(later, 0)

    def _go_to(self, number: int, offset: int) -> None:
        self.close()
        self._number, self._offset = number, offset
        self._final = False
        self._rest = b""

    def _batch(self) -> bytes:
        assert self._fd is not None
        size = BLOCK
        while True:
            chunk = os.pread(self._fd, size, self._offset)
            cut = chunk.rfind(b"\n") + 1
            if cut:
                self._offset += cut
                return chunk[:cut]
            if len(chunk) < size:
                self._rest = chunk
                return b""
            if size >= LARGEST:
                self._offset += size
                return chunk + b"\n"
            size *= 2  # a long line

    def _tell_missed(self) -> bytes:
        assert self._missed is not None
        first, offset = self._missed
        self._missed = None
        words = f"segment {first}" + (f" from byte {offset} on" if offset else "")
        if self._number > first + 2:
            words += f" and segments {first + 1} to {self._number - 1}"
        elif self._number > first + 1:
            words += f" and segment {first + 1}"
        text = f"Missed {words} of the log: deleted unread\n"
        return b"".join(heroku_lines(PROCMAN, text.encode(), time.time()))

    def _snapshot(self) -> dict[int, tuple[int, int]]:
        """Inode and size of the segments up to this one."""
        seen = {}
        for number in segments(self._directory):
            if number <= self._number:
                try:
                    status = os.stat(segment_path(self._directory, number))
                except FileNotFoundError:
                    continue
                seen[number] = (status.st_ino, status.st_size)
        return seen

    def _starts_over(self) -> bool:
        """The store was emptied while no supervisor held it, and another began anew with lower numbers: go there."""
        before, now = self._seen, self._snapshot()
        self._seen = now
        inode, _ = now.get(self._number, (0, 0))
        if self._fd is not None and inode == os.fstat(self._fd).st_ino:
            return False
        for number, (inode, size) in now.items():
            old_inode, old_size = before.get(number, (0, 0))
            start = old_size if inode == old_inode else 0
            if size > start:
                self._go_to(number, start)
                return True
        return False


def batches_backwards(directory: str, before: Position) -> Iterator[bytes]:
    """Everything before a position in batches of whole lines, the newest batch first, each in its order."""
    for number in reversed(segments(directory)):
        if number <= before.segment:
            fd = open_segment(directory, number)
            if fd is not None:
                try:
                    size = os.fstat(fd).st_size
                    yield from segment_backwards(fd, min(size, before.offset) if number == before.segment else size)
                finally:
                    os.close(fd)


def segment_backwards(fd: int, size: int) -> Iterator[bytes]:
    """The same for the first ``size`` bytes of one segment. A torn line at the end gets a newline."""
    pieces: list[bytes] = []  # of the line whose beginning has not come yet, the last piece first
    if size and os.pread(fd, 1, size - 1) != b"\n":
        pieces.append(b"\n")
    while size:
        start = max(size - BLOCK, 0)
        block = os.pread(fd, size - start, start)
        if len(block) < size - start:  # truncated meanwhile: what was read before does not go on from here
            block = block[: block.rfind(b"\n") + 1]
            pieces.clear()
        size = start
        cut = block.find(b"\n") + 1 if start else 0
        if cut or not start:
            batch = block[cut:] + b"".join(reversed(pieces))
            pieces = [block[:cut]]
            if batch:
                yield batch
        else:
            pieces.append(block)


def whole_bytes(fd: int) -> int:
    """How many bytes of whole lines a segment begins with."""
    size = os.fstat(fd).st_size
    while size:
        start = max(size - BLOCK, 0)
        cut = os.pread(fd, size - start, start).rfind(b"\n") + 1
        if cut:
            return start + cut
        size = start
    return 0


def open_segment(directory: str, number: int) -> int | None:
    """A descriptor to read from; None if the segment is not there (any more), or is no file.

    Dynos may be able to write to the directory of their app: nothing that they put there holds up a reader.
    """
    try:
        folder = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
            fd = os.open(os.path.basename(segment_path(directory, number)), flags, dir_fd=folder)
        finally:
            os.close(folder)
    except (FileNotFoundError, NotADirectoryError):  # also where the directory itself is a symbolic link
        return None
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):  # a symbolic link, a socket
            return None
        raise
    status = os.fstat(fd)
    if stat.S_ISREG(status.st_mode) and status.st_size <= LARGEST:
        return fd
    os.close(fd)
    return None
