"""A segment that is written over: in a flood, the oldest becomes the newest, with the pages that it has.

A page that a file has already costs a fifth of a new one. But the file's size says nothing then: behind what counts
stand lines of before. Where they begin says a file beside the segments, ``end``, and only while there is such a
segment. What was written counts from the moment it says so: a kill in between leaves no half of it.

For whoever reads, in this order: open a segment, look at ``end``, read, and see whether the segment still begins as it
did when it had its name.
"""

import errno
import fcntl
import os
import stat

from procman.logs.formats import Buffer

FLOOD = 64 << 10  # bytes of one batch
FLOOD_S = 10.0  # in which all segments that are kept were filled
TRIES = 1000
NONE_OF_OURS = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO})


def end_path(directory: str) -> str:
    """Beside the segments."""
    return f"{directory}/end"


def record(number: int, size: int) -> bytes:
    """What stands in ``end``: a segment, and its bytes that count; twice, so that a half-written one can be seen."""
    half = b"%020d %020d" % (number, size)
    return half + b"  " + half + b"\n"


def read_end(directory: str) -> tuple[int, int] | None:
    """The segment that is written over, and how many bytes of it count; None: there is none such. Raises OSError."""
    try:
        fd = os.open(end_path(directory), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in NONE_OF_OURS:
            return None
        raise
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            return None
        for _ in range(TRIES):  # it may just be written
            first, _, second = os.pread(fd, RECORD_BYTES, 0).rstrip(b"\n").partition(b"  ")
            segment, _, size = first.partition(b" ")
            if first == second and segment.isdigit() and size.isdigit():
                return int(segment), int(size)
    finally:
        os.close(fd)
    return None


def end_in(directory: str, number: int) -> int | None:
    """How many bytes of a segment count; None: all. Ask once it is open. Raises OSError."""
    segment, size = read_end(directory) or (None, None)
    return size if segment == number else None


RECORD_BYTES = len(record(0, 0))


class Reuse:
    """The writer's side: the oldest segment, open as ``fd``, becomes the one at ``path``. Raises OSError.

    ``fd`` is written to from its beginning, not appended to, and stays the caller's.
    """

    def __init__(self, directory: str, fd: int, oldest: str, path: str, number: int) -> None:
        self._fd = fd
        self._number = number
        flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        self._end = os.open(end_path(directory), flags, 0o600)
        try:
            self._tell(0)  # before it has that number: who finds it under that shall know
            os.rename(oldest, path)
        except OSError:
            self.close()
            raise

    def write(self, buffers: list[Buffer], length: int, size: int, before: int) -> bool:
        """Write this behind ``size`` bytes of a file that had ``before``; False: nothing of it counts."""
        if os.pwritev(self._fd, buffers, size) < length:
            return False
        after = os.fstat(self._fd)
        if after.st_size < before:  # an outsider has truncated it: there is a hole before what we wrote
            os.ftruncate(self._fd, 0)
        if after.st_size < before or not after.st_nlink:
            return False
        self._tell(size + length)
        return True

    def _tell(self, size: int) -> None:
        os.pwrite(self._end, record(self._number, size), 0)

    def close(self) -> None:
        """Give the descriptor of ``end`` back."""
        os.close(self._end)


def make_ordinary(directory: str, fd: int, size: int) -> None:
    """So many bytes of the open segment count, and from now on its size says so; it is appended to. Raises OSError."""
    if os.fstat(fd).st_size > size:
        os.ftruncate(fd, size)
    fcntl.fcntl(fd, fcntl.F_SETFL, fcntl.fcntl(fd, fcntl.F_GETFL) | os.O_APPEND)
    os.unlink(end_path(directory))


def open_to_reuse(oldest: str, newest: int) -> int | None:
    """The oldest segment, if what lies between it and the newest was written in a moment; and if it is only ours.

    Raises OSError.
    """
    fd = os.open(oldest, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    first, last = os.fstat(fd), os.fstat(newest)
    if stat.S_ISREG(first.st_mode) and first.st_nlink == 1 and last.st_mtime - first.st_mtime < FLOOD_S:
        return fd
    os.close(fd)
    return None
