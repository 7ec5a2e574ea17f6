"""The log of one app on disk: numbered segments of lines in Heroku's format, appended to and never renamed.

``append`` writes through: one ``writev`` a batch and no buffer of ours, so that what was appended is with the kernel
when it returns, and a killed supervisor loses nothing (a power cut may: there is no fsync). Trouble with the disk
never reaches the caller: what cannot be written is counted, and the gap is told of in the log once it is over.

An outsider may rename, truncate or delete the current segment. Each is noticed at the next append, by one ``stat``,
and answered alike: what follows stands in the next segment. A segment's bytes thus never change their place, and a
reader's ``Position`` stays true. (Truncated files are not written on: a reader could not tell old offsets from new.)

In a flood, where what is kept would be deleted within seconds, the oldest segment is written over (see ``reuse``).
"""

import errno
import os

from procman.logs.formats import Buffer, Source, heroku_lines
from procman.logs.reuse import FLOOD, Reuse, end_in, fills_fast, make_ordinary
from procman.typed import NamedTuple

SEGMENT_BYTES = 10 << 20
SEGMENTS_KEPT = 5
NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})
NEWLINE = ord("\n")
PROCMAN = Source(None, "heroku", "system")


class Position(NamedTuple):
    """A place in a store: before ``offset`` bytes of segment number ``segment`` stand whole lines."""

    segment: int
    offset: int


def segment_path(directory: str, number: int) -> str:
    """``log.000001`` and so on; names grow beyond six digits when they must."""
    return f"{directory}/log.{number:06d}"


def segments(directory: str) -> list[int]:
    """The numbers of the segments there, oldest first. Raises ``OSError`` if that cannot be known."""
    try:
        names = os.listdir(directory)
    except FileNotFoundError:
        return []
    numbers = {int(name[4:]) for name in names if name.startswith("log.") and name[4:].isdecimal()}
    # log.1, log.000001.gz and the like are somebody else's.
    return sorted(number for number in numbers if f"log.{number:06d}" in names)


class LogStore:
    """The writing side. One writer a directory (the supervisor's lock sees to that), any number of readers.

    Segments hold up to ``max_bytes``, or one longer line; the newest ``keep`` of them stay. Files are made with mode
    0600, the directory with 0700. ``lost_lines``, ``lost_bytes``: what the disk refused since the last report in the
    log (bytes as the dyno wrote them, with newlines); ``trouble``: why. Nothing here raises for an ``OSError``.
    """

    def __init__(self, directory: str, max_bytes: int = SEGMENT_BYTES, keep: int = SEGMENTS_KEPT) -> None:
        self.directory = directory
        self.lost_lines = 0
        self.lost_bytes = 0
        self.trouble = ""
        self._max_bytes = max_bytes
        self._keep = max(keep, 1)
        self._fd: int | None = None
        self._reuse: Reuse | None = None  # the open segment is written over, and its size says nothing
        self._number = 0
        self._path = ""
        self._identity = (0, 0)  # inode and device of the open segment
        self._size = 0
        self._torn = False  # the segment does not end with a newline
        self._full = False  # no file may grow beyond this size (EFBIG: RLIMIT_FSIZE, FAT)
        self._settle()

    def append(self, source: Source, data: bytes, wall: float) -> None:
        """Write a batch: whole lines, each with its newline. ``wall``: their time, in seconds since the epoch."""
        if not data:
            return
        assert data[-1] == NEWLINE, "part of a line"
        flood = len(data) >= FLOOD and not self.lost_lines
        if self._reuse and not flood:
            self._end_reuse()
        if self.lost_lines and not self._report(wall):
            self._lose(data.count(b"\n"), len(data))
            return
        buffers = heroku_lines(source, data, wall)
        length = sum(map(len, buffers))
        if flood and self._write_over(buffers, length):
            return
        kept = 0
        if self._settle() and not self._full and self._size + length <= self._max_bytes:
            kept = self._write(buffers, length)
        if kept < length:
            text = b"".join(buffers)
            kept += self._spread(text[kept:])
            if kept < length:
                lines = text.count(b"\n", kept)
                self._lose(lines, length - kept - lines * len(buffers[0]))

    def position(self) -> Position:
        """Where the next line will stand, or the end behind which it will."""
        if not self._reuse:
            self._settle()
        return self.place()

    def place(self) -> Position:
        """The end of what was last appended, without a look at the disk; any thread may ask."""
        return Position(max(self._number, 1), self._size)

    def lose(self, source: Source, lines: int, size: int, why: str) -> None:
        """So much was lost on its way here. It is told of before the next line."""
        self.trouble = why
        self._lose(lines, size)

    def close(self) -> None:
        """Tell of a gap, if that is possible now, and give the descriptor back."""
        if self.lost_lines:
            import time  # noqa: PLC0415 - only a gap at the very end has no line to take its time from

            self._report(time.time())
        if self._reuse:
            self._end_reuse()
        self._release()

    def _write_over(self, buffers: list[Buffer], length: int) -> bool:
        """Write what was an older segment, if this one is or the next can be. False: append, as ever."""
        if self._size + length > self._max_bytes:
            if self._reuse:
                self._end_reuse()
            if length <= self._max_bytes:
                self._begin_reuse()
        if not self._reuse:
            return False
        try:
            seen = os.stat(self._path)
            there = (seen.st_ino, seen.st_dev) == self._identity and seen.st_size >= self._size
            if there and self._reuse.write(buffers, length, self._size):
                self._size += length
                return True
        except OSError as error:
            self._note(error)
        self._end_reuse()
        return False

    def _begin_reuse(self) -> None:
        """The next segment is the oldest one, where all are as good as deleted."""
        try:
            numbers = segments(self.directory)
            if self._fd is None or self._keep < 2 or len(numbers) < self._keep or numbers[-1] != self._number:
                return
            oldest, path = segment_path(self.directory, numbers[0]), segment_path(self.directory, self._number + 1)
            if not fills_fast(oldest, self._path):
                return
            self._reuse = Reuse(self.directory, oldest, path, self._number + 1)
        except OSError as error:
            self._note(error)
            return
        seen = os.fstat(self._reuse.fd)
        self._release()
        self._fd, self._number, self._path = self._reuse.fd, self._number + 1, path
        self._identity, self._size, self._torn, self._full = (seen.st_ino, seen.st_dev), 0, False, False

    def _end_reuse(self) -> None:
        """From now on it is a segment like any other."""
        assert self._reuse and self._fd is not None
        self._reuse.close()
        self._reuse = None
        try:
            make_ordinary(self.directory, self._fd, self._size)
        except OSError as error:
            self._note(error)
            self._release()  # opened anew it is tried again, or left

    def _settle(self) -> bool:
        """Make sure that the open segment is what the directory shows and ends with a line. False: impossible now."""
        if self._fd is None:
            return self._reopen()
        try:
            seen = os.stat(self._path)
        except (FileNotFoundError, NotADirectoryError):
            return self._leave()
        except OSError:
            return self._mend()  # the open file may well work
        if (seen.st_ino, seen.st_dev) != self._identity:
            return self._leave()
        if seen.st_size < self._size:
            if not seen.st_size:
                remove(self._path)  # else nothing but empty segments would be kept, if this is done daily
            return self._leave()
        if seen.st_size > self._size:
            self._take_size(seen.st_size)  # somebody else wrote a line
        return self._mend()

    def _leave(self) -> bool:
        """The open segment is not in the directory any more, or not as it was: go on in the next."""
        if self._turn():
            return True
        self._release()
        return False

    def _reopen(self) -> bool:
        """Go on in the newest segment, or in a new one."""
        try:
            newest = max(segments(self.directory), default=0)
        except OSError as error:
            self._note(error)
            return False
        if newest and newest >= self._number and self._open(newest, 0):
            return self._mend()
        return self._turn()

    def _turn(self) -> bool:
        """Begin the next segment and delete the oldest. If there can be none, the old one stays open."""
        try:
            os.makedirs(self.directory, mode=0o700, exist_ok=True)
            numbers = segments(self.directory)
        except OSError as error:
            self._note(error)
            return False
        number = max([self._number, *numbers]) + 1
        if not self._open(number, os.O_CREAT | os.O_EXCL):
            return False
        for old in [*numbers, number][: -self._keep]:
            remove(segment_path(self.directory, old))
        return True

    def _open(self, number: int, flags: int) -> bool:
        path = segment_path(self.directory, number)
        fd = None
        try:
            fd = os.open(path, os.O_RDWR | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC | flags, 0o600)
            os.fchmod(fd, 0o600)
            counted = end_in(self.directory, number)
            if counted is not None:  # we were killed in a flood
                make_ordinary(self.directory, fd, counted)
            seen = os.fstat(fd)
            torn = seen.st_size > 0 and os.pread(fd, 1, seen.st_size - 1) != b"\n"
        except OSError as error:
            self._note(error)
            if fd is not None:
                os.close(fd)
            return False
        self._release()
        self._fd, self._number, self._path = fd, number, path
        self._identity = (seen.st_ino, seen.st_dev)
        self._size, self._torn, self._full = seen.st_size, torn, False
        return True

    def _release(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def _take_size(self, size: int) -> None:
        assert self._fd is not None
        self._size = size
        try:
            self._torn = os.pread(self._fd, 1, size - 1) != b"\n"
        except OSError:
            self._torn = True  # at worst an empty line

    def _mend(self) -> bool:
        """End the line that a crash or an outsider tore."""
        if self._torn:
            assert self._fd is not None
            try:
                self._size += os.write(self._fd, b"\n")
            except OSError as error:
                self._note(error)
                return False
            self._torn = False
        return True

    def _spread(self, text: bytes) -> int:
        """Write lines over as many segments as they need; the bytes of lines that were kept."""
        kept = 0
        while kept < len(text) and self._settle():
            room = 0 if self._full else max(self._max_bytes - self._size, 0)
            cut = text.rfind(b"\n", kept, kept + room) + 1
            if cut <= kept:
                if self._size and self._turn():
                    continue
                # A line too long for any segment has one to itself; without a next segment this one must take all.
                cut = len(text) if self._size else text.index(b"\n", kept) + 1
            done = self._write([text[kept:cut]], cut - kept)
            kept += done
            if kept < cut and not (self._full and self._turn()):
                break
        return kept

    def _write(self, buffers: list[Buffer], length: int) -> int:
        """Append to the open segment; the bytes of whole lines that now stand in it."""
        assert self._fd is not None
        done = 0
        try:
            done = os.writev(self._fd, buffers)
            if done < length:  # the next try tells why
                rest = memoryview(b"".join(buffers))
                while done < length:
                    done += os.write(self._fd, rest[done:])
            if os.fstat(self._fd).st_nlink:
                self._size += done
                return done
            # Deleted since we looked: write again, elsewhere. Who still reads this file shall not see it twice.
            os.ftruncate(self._fd, self._size)
        except OSError as error:
            self._note(error)
            done = self._cut_back(b"".join(buffers)[:done])
            if error.errno == errno.EFBIG:
                self._full = self._size > 0
            elif error.errno not in NO_ROOM:
                self._release()  # a stale handle or a bad disk: opened anew it may work
            return done
        self.trouble = "the file was deleted"
        return 0

    def _cut_back(self, written: bytes) -> int:
        """After a write that stopped half-way, leave nothing but whole lines; the bytes of these."""
        assert self._fd is not None
        whole = written.rfind(b"\n") + 1
        end = self._size + whole
        try:
            size = os.fstat(self._fd).st_size
            if size > end:  # never less: ftruncate would fill the gap with NULs
                os.ftruncate(self._fd, end)
            self._size = end
        except OSError:
            self._size += len(written)
            self._torn = len(written) > whole
        return whole

    def _report(self, wall: float) -> bool:
        """Tell of the gap, in the log; False if it goes on."""
        lines = "1 line" if self.lost_lines == 1 else f"{self.lost_lines} lines"
        words = f"{lines} ({self.lost_bytes} bytes) of log were lost: {self.trouble}\n"
        text = b"".join(heroku_lines(PROCMAN, words.encode(), wall))
        if self._spread(text) < len(text):
            return False
        self.lost_lines = self.lost_bytes = 0
        return True

    def _lose(self, lines: int, size: int) -> None:
        self.lost_lines += lines
        self.lost_bytes += size

    def _note(self, error: OSError) -> None:
        self.trouble = error.strerror or str(error)


def remove(path: str) -> None:
    """Delete a file, if that can be done."""
    try:
        os.unlink(path)
    except OSError:
        return
