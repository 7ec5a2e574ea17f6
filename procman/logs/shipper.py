"""One drain at work: reads its app's log from the disk at its own pace, and ships it.

What a receiver has not taken stays in the log. Memory holds one batch a drain, so a slow or dead one costs nobody
anything: it falls behind, and further behind than ``behind_bytes`` it is brought to the present. What it does not get
is counted, and told to it by an L10 frame before the next it does get. The place is kept in a file, batch by batch.
"""

import asyncio
import json
import os
import re
import time
from hashlib import sha256
from typing import NamedTuple, Protocol

from procman.files import write_private
from procman.logs import merge
from procman.logs.formats import stamp
from procman.logs.line import STAMP
from procman.logs.merge import MergedFollower, Piece, decode, encode
from procman.logs.news import AppLog
from procman.logs.syslog import Framing, groups, short
from procman.logs.unread import unread

TEXT_BYTES = 72 << 10  # of the log for a batch: frames are up to a third longer
BATCH_BYTES = 102_400  # logplex's target
FIRST_STAMP = re.compile(STAMP)


class Pace(NamedTuple):
    """How a drain is treated. Times in seconds."""

    attempts: int = 2  # for a batch over HTTP (logplex)
    retry_s: float = 1.0  # after a failed attempt, and twice as long after each further one
    retry_max_s: float = 60.0
    reconnect_s: float = 30.0  # TCP (logplex)
    reconnect_max_s: float = 300.0
    timeout_s: float = 30.0  # for a connection, for an answer, for a write
    patience_s: float = 5.0  # for what is on the way when the server ends
    behind_bytes: int = 16 << 20


class Batch(NamedTuple):
    """Frames for one request. ``word``: names them, the same however often they are sent."""

    frames: list[bytes]
    word: str


class Courier(Protocol):
    """The way to a receiver."""

    resting: bool  # between two attempts

    async def carry(self, batch: Batch) -> bool:
        """False if the receiver will not get it. Takes as long as it takes."""

    async def tidy(self) -> None:
        """Nothing is to be carried now: make up for what went wrong before. (It rings the app's bell.)"""

    async def close(self) -> None:
        """No more is coming; what was carried still arrives."""


class Shipper:
    """One drain. ``path``: of the file for its place; without that file it begins with what comes now."""

    def __init__(self, log: AppLog, path: str, courier: Courier, framing: Framing, pace: Pace) -> None:
        self._log = log
        self._path = path
        self._courier = courier
        self._framing = framing
        self._pace = pace
        self._place, self._dropped, self._since = self._load()
        self._stopping = False
        self._carrying = False
        self._save()

    async def run(self) -> None:
        """Until cancelled, or ``stop``."""
        follower = MergedFollower(self._log.stores, self._place)
        try:
            while not self._stopping:
                seen = self._log.news.count
                await self._catch_up(follower)
                piece = follower.read(TEXT_BYTES)
                if piece is None:
                    await self._courier.tidy()
                    await self._log.news.after(seen)
                    continue
                await self._ship(piece)
                self._place = piece.place
                self._save()
        finally:
            follower.close()  # what was read and not shipped comes again
            await self._courier.close()

    async def stop(self, task: "asyncio.Task[None]") -> None:
        """End ``run``: at once if it waits, else when the receiver has the batch, or patience is at an end."""
        self._stopping = True
        if not self._carrying or self._courier.resting:
            task.cancel()
        await asyncio.wait([task], timeout=self._pace.patience_s)
        if not task.done():
            task.cancel()
            await asyncio.wait([task], timeout=self._pace.patience_s)

    async def _ship(self, piece: Piece) -> None:
        # Whoever takes a batch by its word for one that it has must be right: the same word, the same lines.
        begin_and_end = f"{os.path.basename(self._path)} {encode(self._place)} {encode(piece.place)}"
        now = stamp(time.time()).encode()
        frames = self._framing.frames(piece.data, now)
        for number, group in enumerate(groups(frames, BATCH_BYTES)):
            extra = [self._framing.overflow(self._dropped, self._since, short(now))] if self._dropped else []
            word = sha256(f"{begin_and_end} {number}".encode()).hexdigest()[:32]
            self._carrying = True
            try:
                arrived = await self._courier.carry(Batch([*extra, *group], word))
            finally:
                self._carrying = False
            if not arrived:
                self._drop(len(group), piece.data)
            elif extra:
                self._dropped = 0

    async def _catch_up(self, follower: MergedFollower) -> None:
        """To the present, if that is too far away."""
        left = unread(self._log.stores, follower.place())
        if left <= self._pace.behind_bytes:
            return
        while left > 0 and (piece := follower.read()):
            left -= len(piece.data)
            self._drop(piece.data.count(b"\n"), piece.data)
            self._place = piece.place
            await asyncio.sleep(0)
        self._save()

    def _drop(self, count: int, text: bytes) -> None:
        if not self._dropped:
            found = FIRST_STAMP.match(text)
            self._since = short(found[0] if found else stamp(time.time()).encode())
        self._dropped += count

    def _load(self) -> tuple[merge.Place, int, bytes]:
        try:
            with open(self._path, encoding="ascii") as file:
                kept = json.load(file)
            place = decode(kept["place"], len(self._log.stores))
            return place, int(kept["dropped"]), str(kept["since"]).encode("ascii")
        except (OSError, ValueError, LookupError, TypeError):
            return merge.end(self._log.stores), 0, b""

    def _save(self) -> None:
        """No fsync: after a power cut lines may come again. So they may if the disk does not take the place."""
        kept = {"place": encode(self._place), "dropped": self._dropped, "since": self._since.decode()}
        try:
            write_private(self._path, json.dumps(kept).encode(), lasting=False)
        except OSError:
            return
