"""Several stores of one app read as one stream: by time, and in each store in its own order.

What a supervisor wrote and what the server wrote about the same app are two stores with a writer each. Lines without
a time keep their place behind the one before. A line that reaches its store late comes late: order is by arrival then
(as on Heroku). While only one store has news its bytes are passed on whole; only where two overlap are there keys.
"""

import re
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Iterable, Sequence
from itertools import accumulate, chain
from operator import itemgetter
from typing import NamedTuple

from procman.logs import tail
from procman.logs.line import EVERYTHING, STAMP, Filter
from procman.logs.store import Position
from procman.logs.tail import Follower

PIECE = 64 << 10  # bytes of text that one read gives, unless a line is longer
KEYS = re.compile(rb"(?:(%s) )?[^\n]*\n" % STAMP)
PLACE = re.compile(r"(0|[1-9a-f][0-9a-f]{0,11})\.(0|[1-9a-f][0-9a-f]{0,11})")

Place = tuple[Position, ...]  # in each of the stores, in their order


class Piece(NamedTuple):
    """Whole lines, and the place behind them."""

    data: bytes
    place: Place


def encode(place: Place) -> str:
    """A place as a short word, fit for a header and a file name."""
    return "-".join(f"{segment:x}.{offset:x}" for segment, offset in place)


def decode(word: str, stores: int) -> Place:
    """The place in so many stores that ``encode`` wrote. Raises ValueError for anything else."""
    found = [PLACE.fullmatch(part) for part in word.split("-")]
    place = tuple(Position(int(part[1], 16), int(part[2], 16)) for part in found if part)
    if not len(place) == len(found) == stores:
        raise ValueError("not a place in this log")
    return place


def end(stores: Sequence[str]) -> Place:
    """Behind the last whole line of each."""
    return tuple(tail.end(store) for store in stores)


def last(stores: Sequence[str], count: int, wants: Filter = EVERYTHING, before: Place | None = None) -> list[bytes]:
    """The last ``count`` lines that are wanted, oldest first, each with its newline; of those that stand ``before``.

    Reads each store backwards, no further than it must.
    """
    places = before or end(stores)
    found = [tail.last(store, count, wants, place) for store, place in zip(stores, places, strict=True)]
    busy = [lines for lines in found if lines]
    if len(busy) == 1:
        return busy[0]
    return in_order(busy)[-count:] if count > 0 else []


def in_order(lists: Iterable[list[bytes]]) -> list[bytes]:
    """Lines of several stores as one list."""
    return sorted_lines((keys_of(b"".join(lines), b""), lines) for lines in lists)


def sorted_lines(keyed: Iterable[tuple[list[bytes], list[bytes]]]) -> list[bytes]:
    """By key; where these are equal, the earlier store first. (The sort is stable, and fast over sorted runs.)"""
    pairs = chain.from_iterable(zip(keys, lines, strict=True) for keys, lines in keyed)
    return [line for _, line in sorted(pairs, key=itemgetter(0))]


def keys_of(data: bytes, floor: bytes) -> list[bytes]:
    """A key a line, never falling: its time, or that of a line before it (``floor`` at first) if that is later."""
    return list(accumulate(KEYS.findall(data), max, initial=floor))[1:]


class MergedFollower:
    """All that comes, or has come, behind a place. It does not wait: its reader does, when there is nothing."""

    def __init__(self, stores: Sequence[str], place: Place) -> None:
        pairs = zip(stores, place, strict=True)
        self._lanes = [Lane(store, position) for store, position in pairs]

    def read(self, limit: int = PIECE) -> Piece | None:
        """About ``limit`` bytes of whole lines, more if one is longer; None if there is nothing more for now."""
        busy = [lane for lane in self._lanes if lane.window(limit)]
        if not busy:
            return None
        data = busy[0].take_all() if len(busy) == 1 else merge_windows(busy)
        return Piece(data, self.place())

    def place(self) -> Place:
        """Behind what ``read`` has given out."""
        return tuple(lane.place() for lane in self._lanes)

    def close(self) -> None:
        """Give the descriptors back."""
        for lane in self._lanes:
            lane.close()


def merge_windows(lanes: list["Lane"]) -> bytes:
    """What can stand in order now: a store that has more may still bring lines as early as its window's last."""
    keys = [lane.keys() for lane in lanes]
    counts = [len(of_lane) for of_lane in keys]
    for limiting, lane in enumerate(lanes):
        if lane.has_more():
            horizon = keys[limiting][-1]
            for index, of_lane in enumerate(keys):
                if index != limiting:  # equal times: the earlier store first
                    cut = (bisect_right if index < limiting else bisect_left)(of_lane, horizon)
                    counts[index] = min(counts[index], cut)
    heads = [of_lane[:count] for of_lane, count in zip(keys, counts, strict=True)]
    taken = [lane.take(head) for lane, head in zip(lanes, heads, strict=True)]
    return b"".join(sorted_lines(zip(heads, taken, strict=True)))


class Lane:
    """One store: what was read of it and not given out, and where that stands."""

    def __init__(self, store: str, position: Position) -> None:
        self._follower = Follower(store, position)
        self._batches: deque[tuple[bytes, Position]] = deque()  # bytes, and the place behind them
        self._done = 0  # bytes of the first batch that were given out
        self._before = position  # of the first batch
        self._cut = 0  # end of the window into the first batch
        self._floor = b""

    def window(self, limit: int) -> bool:
        """Look at the next lines; False if there are none."""
        if not self._batches and not self._more():
            return False
        data = self._batches[0][0]
        cut = data.rfind(b"\n", self._done, self._done + limit) + 1
        self._cut = cut or data.index(b"\n", self._done) + 1
        return True

    def has_more(self) -> bool:
        """Whether there is something behind the window, as of now."""
        return self._cut < len(self._batches[0][0]) or len(self._batches) > 1 or self._more()

    def keys(self) -> list[bytes]:
        """Of the lines in the window."""
        return keys_of(self._batches[0][0][self._done : self._cut], self._floor)

    def take_all(self) -> bytes:
        """The whole window."""
        data = self._batches[0][0]
        newest = KEYS.match(data, max(self._done, data.rfind(b"\n", 0, self._cut - 1) + 1))
        window = data[self._done : self._cut]
        self._go_on(len(window), newest[1] if newest else None)
        return window

    def take(self, keys: list[bytes]) -> list[bytes]:
        """The first lines of the window, whose keys these are."""
        parts = self._batches[0][0][self._done : self._cut].split(b"\n", len(keys))
        lines = [part + b"\n" for part in parts[: len(keys)]]
        if lines:
            self._go_on(sum(map(len, lines)), keys[-1])
        return lines

    def _go_on(self, size: int, key: bytes | None) -> None:
        self._done += size
        self._floor = max(self._floor, key or b"")
        data, behind = self._batches[0]
        if self._done == len(data):
            self._batches.popleft()
            self._before, self._done = behind, 0

    def _more(self) -> bool:
        data = self._follower.read()
        if data:
            self._batches.append((data, self._follower.position()))
        return bool(data)

    def place(self) -> Position:
        """Behind what was given out."""
        if not self._done:
            return self._before
        data, (segment, offset) = self._batches[0]
        return Position(segment, offset - (len(data) - self._done))

    def close(self) -> None:
        """Give the descriptor back."""
        self._follower.close()
