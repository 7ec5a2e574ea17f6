"""The log of one app on disk: numbered segments of lines in Heroku's format, appended to.

``append`` writes through: one ``writev`` a batch and no buffer of ours, so that what was appended is with the kernel
when it returns, and a killed supervisor loses nothing (a power cut may: there is no fsync). Trouble with the disk
never reaches the caller: what cannot be written is counted, and the gap is told of in the log once it is over.

An outsider may rename, truncate or delete the current segment. Each is noticed at the next append, by one ``stat``,
and answered alike: what follows stands in the next segment. A segment's bytes thus never change their place, and a
reader's ``Position`` stays true. (Truncated files are not written on: a reader could not tell old offsets from new.)

In a flood, where what is kept would be deleted within seconds, the oldest segment is written over (see ``reuse``).
"""

import os

from procman.logs.formats import Buffer, Source, heroku_lines
from procman.logs.open_segment import OpenSegment, open_to_append
from procman.logs.reuse import FLOOD, Reuse, make_ordinary, open_to_reuse, read_end
from procman.typed import NamedTuple

SEGMENT_BYTES = 10 << 20
SEGMENTS_KEPT = 5
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
        self._segment: OpenSegment | None = None  # open or closed, the last one that we had
        self._reuse: Reuse | None = None  # it is written over, and the size of its file says nothing
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
        kept, segment = 0, self._settle()
        if segment and not segment.full and segment.size + length <= self._max_bytes:
            kept = self._write(segment, buffers, length)
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
        segment = self._segment
        return Position(segment.number, segment.size) if segment else Position(1, 0)

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
        if self._segment:
            self._segment.close()

    def _write_over(self, buffers: list[Buffer], length: int) -> bool:
        """Write what was an older segment, if this one is or the next can be. False: append, as ever."""
        if not self._segment or self._segment.size + length > self._max_bytes:
            if self._reuse:
                self._end_reuse()
            if length <= self._max_bytes:
                self._begin_reuse()
        reuse, segment = self._reuse, self._segment
        if not (reuse and segment):
            return False
        try:
            seen = os.stat(segment.path)
            there = segment.is_at(seen) and seen.st_size >= segment.size
            if there and reuse.write(buffers, length, segment.size, seen.st_size):
                segment.size += length
                return True
        except OSError as error:
            self._note(error)
        self._end_reuse()
        return False

    def _begin_reuse(self) -> None:
        """The next segment is the oldest one, where all are as good as deleted."""
        last = self._segment
        if last is None or last.fd is None:
            return
        try:
            oldest = self._spare(last.number)
            if oldest and (fd := open_to_reuse(oldest, last.fd)) is not None:
                self._take_over(fd, oldest, last.number + 1)
        except OSError as error:
            self._note(error)

    def _spare(self, newest: int) -> str | None:
        """The segment that would be deleted next. None: all are needed, or are not as we left them. Raises OSError."""
        numbers = segments(self.directory)
        if self._keep < 2 or len(numbers) < self._keep or numbers[-1] != newest:
            return None
        told = read_end(self.directory)
        if told and told[0] in numbers:
            return None  # a segment could not be cut, and ``end`` tells of that one
        return segment_path(self.directory, numbers[0])

    def _take_over(self, fd: int, oldest: str, number: int) -> None:
        """Go on in what was the oldest segment, open as ``fd``. Raises OSError."""
        path = segment_path(self.directory, number)
        segment = OpenSegment(fd, path, number, size=0)
        try:
            self._reuse = Reuse(self.directory, fd, oldest, path, number)
        except OSError:
            segment.close()
            raise
        self._go_to(segment)

    def _end_reuse(self) -> None:
        """From now on it is a segment like any other."""
        assert self._reuse and self._segment and self._segment.fd is not None
        self._reuse.close()
        self._reuse = None
        try:
            make_ordinary(self.directory, self._segment.fd, self._segment.size)
        except OSError as error:
            self._note(error)
            self._segment.close()  # opened anew it is tried again, or left

    def _settle(self) -> OpenSegment | None:
        """The open segment, which is what the directory shows and ends with a line. None: impossible now."""
        segment = self._segment
        if segment is None or segment.fd is None:
            return self._reopen()
        try:
            seen = os.stat(segment.path)
        except (FileNotFoundError, NotADirectoryError):
            return self._leave(segment)
        except OSError:
            return self._mend(segment)  # the open file may well work
        if not segment.is_at(seen):
            return self._leave(segment)
        if seen.st_size < segment.size:
            if not seen.st_size:
                remove(segment.path)  # else nothing but empty segments would be kept, if this is done daily
            return self._leave(segment)
        if seen.st_size > segment.size:
            segment.take_size(seen.st_size)  # somebody else wrote a line
        return self._mend(segment)

    def _mend(self, segment: OpenSegment) -> OpenSegment | None:
        try:
            segment.mend()
        except OSError as error:
            self._note(error)
            return None
        return segment

    def _leave(self, segment: OpenSegment) -> OpenSegment | None:
        """The open segment is not in the directory any more, or not as it was: go on in the next."""
        following = self._turn()
        if not following:
            segment.close()
        return following

    def _reopen(self) -> OpenSegment | None:
        """Go on in the newest segment, or in a new one."""
        try:
            newest = max(segments(self.directory), default=0)
        except OSError as error:
            self._note(error)
            return None
        if newest and (not self._segment or newest >= self._segment.number) and (found := self._open(newest, 0)):
            return self._mend(found)
        return self._turn()

    def _turn(self) -> OpenSegment | None:
        """Begin the next segment and delete the oldest. If there can be none, the old one stays open."""
        try:
            os.makedirs(self.directory, mode=0o700, exist_ok=True)
            numbers = segments(self.directory)
        except OSError as error:
            self._note(error)
            return None
        number = max([self._segment.number if self._segment else 0, *numbers]) + 1
        following = self._open(number, os.O_CREAT | os.O_EXCL)
        if following:
            for old in [*numbers, number][: -self._keep]:
                remove(segment_path(self.directory, old))
        return following

    def _open(self, number: int, flags: int) -> OpenSegment | None:
        try:
            found = open_to_append(self.directory, segment_path(self.directory, number), number, flags)
        except OSError as error:
            self._note(error)
            return None
        return self._go_to(found)

    def _go_to(self, segment: OpenSegment) -> OpenSegment:
        if self._segment:
            self._segment.close()
        self._segment = segment
        return segment

    def _spread(self, text: bytes) -> int:
        """Write lines over as many segments as they need; the bytes of lines that were kept."""
        kept = 0
        while kept < len(text) and (segment := self._settle()):
            room = 0 if segment.full else max(self._max_bytes - segment.size, 0)
            cut = text.rfind(b"\n", kept, kept + room) + 1
            if cut <= kept:
                if segment.size and self._turn():
                    continue
                # A line too long for any segment has one to itself; without a next segment this one must take all.
                cut = len(text) if segment.size else text.index(b"\n", kept) + 1
            done = self._write(segment, [text[kept:cut]], cut - kept)
            kept += done
            if kept < cut and not (segment.full and self._turn()):
                break
        return kept

    def _write(self, segment: OpenSegment, buffers: list[Buffer], length: int) -> int:
        """Append; the bytes of whole lines that now stand in it."""
        kept, error = segment.write(buffers, length)
        if error:
            self._note(error)
        return kept

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
