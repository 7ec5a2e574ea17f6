"""The log store from the reader's side: the last lines, and what comes after.

Needs only the files, no supervisor. Every read is of whole lines; blocks are bounded by ``BLOCK`` or the longest line.
Errors of the disk and of permissions are raised as ``OSError``; segments that go while one reads are not errors.
"""

import os
import time
from collections.abc import Iterator

from procman.logs.formats import heroku_lines
from procman.logs.line import EVERYTHING, Filter
from procman.logs.segment import LARGEST, Segment, WrittenOver, counted, open_segment
from procman.logs.store import PROCMAN, Position, segment_path, segments

BLOCK = 1 << 20  # bytes of one read


def end(directory: str) -> Position:
    """Behind the last whole line: what ``last`` and ``follow_from`` can share, so that no line falls between."""
    for number in reversed(segments(directory)):
        segment = open_segment(directory, number)
        if segment:
            try:
                return Position(number, whole_bytes(segment))
            except WrittenOver:
                return end(directory)  # of a log that has become another meanwhile
            finally:
                segment.close()
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
        self._segment: Segment | None = None
        self._final = False  # there is a later segment, so this one grows no more
        self._rest = b""  # what stands behind the last whole line
        self._missed: Position | None = None  # first of what was deleted unread
        self._seen = self._snapshot()

    def read(self) -> bytes:
        """Whole lines, about 1 MiB at most unless one is longer; b"" if there is nothing more for now."""
        while True:
            segment = self._segment or self._open()
            if not segment:
                if not self._starts_over():
                    return b""
                continue
            if self._missed:
                return self._tell_missed()
            try:
                batch = self._batch(segment)
            except WrittenOver:
                self._catch_up()
                continue
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
        if self._segment:
            self._segment.close()
            self._segment = None

    def _open(self) -> Segment | None:
        """The segment wanted, or the first after it."""
        while True:
            self._segment = open_segment(self._directory, self._number)
            if self._segment:
                return self._segment
            later = next((number for number in segments(self._directory) if number > self._number), None)
            if later is None:
                return None
            self._missed = self._missed or Position(self._number, self._offset)
            self._go_to(later, 0)

    def _catch_up(self) -> None:
        """The rest of this segment is gone, as if deleted, and the next one goes in a moment: leave some out."""
        later = [number for number in segments(self._directory) if number > self._number]
        self._missed = self._missed or Position(self._number, self._offset)
        self._go_to(later[len(later) // 2] if later else self._number, 0 if later else self._offset)

    def _go_to(self, number: int, offset: int) -> None:
        self.close()
        self._number, self._offset = number, offset
        self._final = False
        self._rest = b""

    def _batch(self, segment: Segment) -> bytes:
        size = BLOCK
        while True:
            chunk = segment.read(size, self._offset)
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
                    status = os.lstat(segment_path(self._directory, number))
                except FileNotFoundError:
                    continue
                seen[number] = (status.st_ino, counted(self._directory, number, status.st_size))
        return seen

    def _starts_over(self) -> bool:
        """The store was emptied while no supervisor held it, and another began anew with lower numbers: go there."""
        before, now = self._seen, self._snapshot()
        self._seen = now
        inode, _ = now.get(self._number, (0, 0))
        if self._segment and inode == self._segment.status().st_ino:
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
            segment = open_segment(directory, number)
            if segment:
                try:
                    size = min(segment.size(), before.offset) if number == before.segment else segment.size()
                    yield from segment_backwards(segment, size)
                except WrittenOver:
                    return  # and what was before it too
                finally:
                    segment.close()


def segment_backwards(segment: Segment, size: int) -> Iterator[bytes]:
    """The same for the first ``size`` bytes of one segment. A torn line at the end gets a newline."""
    pieces: list[bytes] = []  # of the line whose beginning has not come yet, the last piece first
    if size and segment.read(1, size - 1) != b"\n":
        pieces.append(b"\n")
    while size:
        start = max(size - BLOCK, 0)
        block = segment.read(size - start, start)
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


def whole_bytes(segment: Segment) -> int:
    """How many bytes of whole lines a segment begins with."""
    size = segment.size()
    while size:
        start = max(size - BLOCK, 0)
        cut = segment.read(size - start, start).rfind(b"\n") + 1
        if cut:
            return start + cut
        size = start
    return 0
