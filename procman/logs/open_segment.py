"""The newest segment of a log store, as its writer has it: whole lines, whatever the disk and outsiders do."""

import errno
import os

from procman.logs.formats import Buffer
from procman.logs.reuse import end_in, make_ordinary
from procman.typed import NamedTuple

NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})


class Written(NamedTuple):
    """What came of a write: bytes of whole lines that stand in the segment now, and why it is not all."""

    kept: int
    error: OSError | None = None


class OpenSegment:
    """A segment that is appended to. ``fd`` is its own from now on; it may be closed, and the rest still be asked.

    ``size``: bytes that are in it as far as we know. ``torn``: it does not end with a newline. ``full``: no file may
    grow beyond this size (EFBIG: RLIMIT_FSIZE, FAT). Raises OSError, and closes ``fd`` then.
    """

    def __init__(self, fd: int, path: str, number: int, size: int | None = None) -> None:
        self.fd: int | None = fd
        self.path = path
        self.number = number
        self.full = False
        try:
            seen = os.fstat(fd)
            self.size = seen.st_size if size is None else size
            self.torn = self.size > 0 and os.pread(fd, 1, self.size - 1) != b"\n"
        except OSError:
            self.close()
            raise
        self._identity = (seen.st_ino, seen.st_dev)

    def is_at(self, seen: os.stat_result) -> bool:
        """Whether it is that file."""
        return (seen.st_ino, seen.st_dev) == self._identity

    def take_size(self, size: int) -> None:
        """Somebody else wrote into it."""
        assert self.fd is not None
        self.size = size
        try:
            self.torn = os.pread(self.fd, 1, size - 1) != b"\n"
        except OSError:
            self.torn = True  # at worst an empty line

    def mend(self) -> None:
        """End the line that a crash or an outsider tore. Raises OSError."""
        if self.torn:
            assert self.fd is not None
            self.size += os.write(self.fd, b"\n")
            self.torn = False

    def write(self, buffers: list[Buffer], length: int) -> Written:
        """Append. After an error that does not mean a full disk, it is closed: opened anew it may work."""
        assert self.fd is not None
        done = 0
        try:
            done = os.writev(self.fd, buffers)
            if done < length:  # the next try tells why
                rest = memoryview(b"".join(buffers))
                while done < length:
                    done += os.write(self.fd, rest[done:])
            if os.fstat(self.fd).st_nlink:
                self.size += done
                return Written(done)
            # Deleted since we looked: write again, elsewhere. Who still reads this file shall not see it twice.
            os.ftruncate(self.fd, self.size)
        except OSError as error:
            done = self._cut_back(b"".join(buffers)[:done])
            if error.errno == errno.EFBIG:
                self.full = self.size > 0
            elif error.errno not in NO_ROOM:
                self.close()
            return Written(done, error)
        return Written(0, OSError(errno.ENOENT, "the file was deleted"))

    def _cut_back(self, written: bytes) -> int:
        """After a write that stopped half-way, leave nothing but whole lines; the bytes of these."""
        assert self.fd is not None
        whole = written.rfind(b"\n") + 1
        end = self.size + whole
        try:
            size = os.fstat(self.fd).st_size
            if size > end:  # never less: ftruncate would fill the gap with NULs
                os.ftruncate(self.fd, end)
            self.size = end
        except OSError:
            self.size += len(written)
            self.torn = len(written) > whole
        return whole

    def close(self) -> None:
        """Give the descriptor back."""
        if self.fd is not None:
            os.close(self.fd)
            self.fd = None


def open_to_append(directory: str, path: str, number: int, flags: int) -> OpenSegment:
    """The segment at ``path``, ours alone to read; ``flags``: more for open(2). Raises OSError."""
    fd = os.open(path, os.O_RDWR | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC | flags, 0o600)
    try:
        os.fchmod(fd, 0o600)
        counted = end_in(directory, number)
        if counted is not None:  # its writer was killed in a flood
            make_ordinary(directory, fd, counted)
    except OSError:
        os.close(fd)
        raise
    return OpenSegment(fd, path, number)
