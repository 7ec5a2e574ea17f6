"""A log session: the last lines of an app and what follows, as events (SSE) or as plain text for older clients.

An iterator that reads only when it is asked for more: what a slow reader has not taken stays on disk, not in memory.
One too far behind is brought to the present and told how much it missed (L11). Every event's id says what was still
to come of the last lines and where to go on behind them, so that a reader that comes back with it (Last-Event-ID, also
to another server) gets each line once. The iterator ends with the last line, or goes on for ever with ``tail``.
"""

import asyncio
import re
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from typing import NamedTuple

from procman.logs import merge
from procman.logs.formats import Source, heroku_lines
from procman.logs.line import EVERYTHING, STAMP_BYTES, Filter
from procman.logs.merge import PIECE, MergedFollower, Piece, Place, decode, encode
from procman.logs.news import AppLog
from procman.logs.syslog import short
from procman.logs.unread import unread

LINES = 100  # heroku logs
MOST_LINES = 100_000  # of the past, in one session
HEARTBEAT_S = 20.0  # Heroku's router and others close what is silent for 55 s
LOOK_BYTES = 1 << 20
BEHIND_BYTES = 16 << 20  # of the log, before a session is brought to the present: segments go at 50 MiB
LOGPLEX = Source(None, "heroku", ps="logplex")
WORD = re.compile(r"(?:([1-9]\d{0,6})~)?([0-9a-f.-]{1,200})", re.ASCII)


class Session(NamedTuple):
    """What somebody asked for. ``dyno``: ``web.1``, or a type, or another writer such as ``router``."""

    lines: int = LINES
    tail: bool = False
    source: str | None = None
    dyno: str | None = None
    process_type: str | None = None

    def filter(self) -> Filter:
        """Which lines are wanted."""
        dyno, process_type = self.dyno or None, self.process_type or None
        if dyno and "." not in dyno:
            dyno, process_type = None, process_type or dyno
        return Filter(dyno, process_type, self.source or None)


class Settings(NamedTuple):
    """For tests, and for whoever knows better."""

    heartbeat_s: float = HEARTBEAT_S
    behind_bytes: int = BEHIND_BYTES


class Mark(NamedTuple):
    """How far a reader is: ``left`` of the last lines before ``place`` are still to come, then what follows it."""

    place: Place
    left: int = 0

    def word(self) -> str:
        """As an event's id."""
        return f"{self.left}~{encode(self.place)}" if self.left else encode(self.place)


def mark_of(word: str, stores: int) -> Mark:
    """The mark of an event's id. Raises ValueError."""
    found = WORD.fullmatch(word)
    if not found:
        raise ValueError("not the id of an event of this log")
    return Mark(decode(found[2], stores), int(found[1] or 0))


def events(
    log: AppLog, session: Session, last_id: str | None = None, settings: Settings | None = None
) -> AsyncGenerator[bytes, None]:
    """The session as server-sent events. ``last_id``: of the last event that arrived. Raises ValueError, at once."""
    mark = mark_of(last_id, len(log.stores)) if last_id else start(log, session)
    return framed(log, session, mark, settings or Settings())


def plain(log: AppLog, session: Session, settings: Settings | None = None) -> AsyncGenerator[bytes, None]:
    """The session as the lines themselves."""
    return unframed(log, session, start(log, session), settings or Settings())


def start(log: AppLog, session: Session) -> Mark:
    """The place that parts past and future is fixed when the session begins."""
    return Mark(merge.end(log.stores), max(0, min(session.lines, MOST_LINES)))


async def framed(log: AppLog, session: Session, mark: Mark, settings: Settings) -> AsyncGenerator[bytes, None]:
    """See ``events``."""
    async with aclosing(pieces(log, session, mark, settings)) as found:
        async for text, at in found:
            yield event(text, at.word()) if text else b": ping\n\n"


async def unframed(log: AppLog, session: Session, mark: Mark, settings: Settings) -> AsyncGenerator[bytes, None]:
    """See ``plain``."""
    async with aclosing(pieces(log, session, mark, settings)) as found:
        async for text, _ in found:
            if text:
                yield text


def event(text: bytes, word: str) -> bytes:
    """One server-sent event of whole lines. A carriage return would end a line there: it becomes a space."""
    if b"\r" in text:
        text = text.replace(b"\r\n", b"\n").replace(b"\r", b" ")
    return b"id: %s\ndata: %s\n\n" % (word.encode(), text[:-1].replace(b"\n", b"\ndata: "))


async def pieces(
    log: AppLog, session: Session, mark: Mark, settings: Settings
) -> AsyncGenerator[tuple[bytes, Mark], None]:
    """Text and the mark behind it; b"" is a sign of life."""
    wants = session.filter()
    if mark.left:
        past = await asyncio.to_thread(merge.last, log.stores, min(mark.left, MOST_LINES), wants, mark.place)
        left = len(past)
        for text, count in portions(past):
            left -= count
            yield text, Mark(mark.place, left)
        del past
    if session.tail:
        async with aclosing(Live(log, mark.place, wants, settings).pieces()) as live:
            async for piece in live:
                yield piece


def portions(lines: list[bytes]) -> Iterator[tuple[bytes, int]]:
    """Some lines at a time, as one text, and how many they are."""
    start = size = 0
    for index, line in enumerate(lines):
        size += len(line)
        if size >= PIECE or index == len(lines) - 1:
            yield b"".join(lines[start : index + 1]), index + 1 - start
            start, size = index + 1, 0


class Live:
    """What follows a place, as it comes."""

    def __init__(self, log: AppLog, place: Place, wants: Filter, settings: Settings) -> None:
        self.follower = MergedFollower(log.stores, place)
        self._log = log
        self._wants = wants
        self._settings = settings
        self._passed = 0  # bytes since one looked how far behind this is

    async def pieces(self) -> AsyncGenerator[tuple[bytes, Mark], None]:
        """Never ends of itself."""
        try:
            while True:
                seen = self._log.news.count
                if piece := self.follower.read():
                    text = await self._look(piece)
                    if text:
                        yield text, Mark(self.follower.place())
                elif not await self._more_than(seen):
                    yield b"", Mark(self.follower.place())
        finally:
            self.follower.close()

    async def _look(self, piece: Piece) -> bytes:
        """What to show for a piece."""
        self._passed += len(piece.data)
        if self._passed > LOOK_BYTES:
            self._passed = 0
            if unread(self._log.stores, piece.place) > self._settings.behind_bytes:
                return await self._skip(piece.data)
            await asyncio.sleep(0)  # a flood of what is not wanted must not keep the loop
        return self._wanted(piece.data)

    async def _more_than(self, seen: int) -> bool:
        """False if nothing came for a heartbeat."""
        try:
            async with asyncio.timeout(self._settings.heartbeat_s):
                await self._log.news.after(seen)
        except TimeoutError:
            return False
        return True

    def _wanted(self, text: bytes) -> bytes:
        return text if self._wants == EVERYTHING else b"".join(self._wants.lines(text))

    async def _skip(self, text: bytes) -> bytes:
        """Go to the present; what to say about it. Heroku: error-codes L11, the words are logplex's."""
        dropped, since = 0, b""
        left = unread(self._log.stores, self.follower.place())  # of now: it shall end, however fast more is written
        while text:
            if wanted := self._wanted(text):
                since = since or wanted[:STAMP_BYTES]
                dropped += wanted.count(b"\n")
            await asyncio.sleep(0)
            piece = self.follower.read() if left > 0 else None
            text = piece.data if piece else b""
            left -= len(text)
        if not dropped:
            return b""
        words = b"Error L11 (Tail buffer overflow) -> This tail session dropped %d messages since %s.\n"
        return b"".join(heroku_lines(LOGPLEX, words % (dropped, short(since)), time.time()))
