"""A segment of a log store from the reader's side, also while its writer writes over it (see ``reuse``)."""

import errno
import os
import stat

from procman.logs.reuse import end_in
from procman.logs.store import segment_path

HEAD = 64  # bytes: a time, who says it, and what
LARGEST = 64 << 20  # bytes; no segment and no line of ours comes near, so what is larger is somebody's trap


class WrittenOver(Exception):
    """This segment has become a newer one: what was read of it may be of either."""


class Segment:
    """One segment, open to be read."""

    def __init__(self, directory: str, number: int, fd: int) -> None:
        self._directory = directory
        self._number = number
        self._fd = fd
        self._head = b""  # how it began when it was last seen under its number: what is written over begins anew

    def size(self) -> int:
        """Bytes that count."""
        return counted(self._directory, self._number, self.status().st_size)

    def status(self) -> os.stat_result:
        """Of the file."""
        return os.fstat(self._fd)

    def read(self, size: int, offset: int) -> bytes:
        """Up to ``size`` bytes; fewer at its end. Raises WrittenOver."""
        end = counted(self._directory, self._number, offset + size)
        chunk = os.pread(self._fd, max(end - offset, 0), offset)
        head = os.pread(self._fd, HEAD, 0)
        if self._has_its_name():
            self._head = head
        elif not self._begins_so(head):  # else it was only deleted, or renamed or truncated by an outsider
            raise WrittenOver
        return chunk

    def _begins_so(self, head: bytes) -> bool:
        return not head or (self._head != b"" and (head.startswith(self._head) or self._head.startswith(head)))

    def _has_its_name(self) -> bool:
        try:
            return os.path.samestat(os.lstat(segment_path(self._directory, self._number)), self.status())
        except FileNotFoundError:
            return False

    def close(self) -> None:
        """Give the descriptor back."""
        os.close(self._fd)


def open_segment(directory: str, number: int) -> Segment | None:
    """To read from; None if the segment is not there (any more), or is no file.

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
        return Segment(directory, number, fd)
    os.close(fd)
    return None


def size_of(directory: str, number: int) -> int:
    """Bytes of a segment that count. Raises OSError."""
    return counted(directory, number, os.lstat(segment_path(directory, number)).st_size)


def counted(directory: str, number: int, size: int) -> int:
    """Of the first ``size`` bytes of a segment those that count. Raises OSError."""
    end = end_in(directory, number)
    return size if end is None else min(size, end)
