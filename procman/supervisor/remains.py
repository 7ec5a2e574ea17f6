"""What is left of dynos that nobody goes on with: their last words, in log pipes that have names.

A supervisor may be killed with the very instruction that makes a dyno, before its books tell of it. The next one ends
such a dyno, and whatever else it finds no books of. What that wrote is read before its pipe goes.
"""

import os
import re
import stat
import time
from collections.abc import Collection, Iterator
from typing import NamedTuple

from procman.core.model import DynoName
from procman.logs.formats import Source
from procman.logs.splitter import LineSplitter
from procman.logs.store import LogStore
from procman.supervisor.ends import STREAMS, open_fifo, remove
from procman.supervisor.home import Home
from procman.supervisor.owed import Witness

# As ``LocalProcesses`` calls them: type, number, generation, run, stream.
PIPE = re.compile(r"(.+)\.(\d+)(?:@(\d+))?\.\d+\+*\.(\w+)")


class Remainder(NamedTuple):
    """A log pipe, open, and whose lines are in it."""

    path: str
    source: Source
    fd: int


class Remains:
    """Log pipes of a home but for those that are ``kept``. Opened at once, so that they outlive their dynos."""

    def __init__(self, home: Home, kept: Collection[str]) -> None:
        self._home = home
        self._pipes = [each for each in pipes_of(home.pipes) if each.path not in kept]

    def tell(self) -> None:
        """Write what they hold into the log, and remove them. Nothing of their dynos lives any more."""
        if not self._pipes:
            return
        store = LogStore(self._home.log)
        witness = Witness(self._home.log, store.place, lambda: False)
        for each in self._pipes:
            try:
                tell(each, store, witness)
            except OSError:
                pass  # where there is no room for a note, there is none for lines
            os.close(each.fd)
            remove([each.path])
        witness.close()
        store.close()


def pipes_of(folder: str) -> Iterator[Remainder]:
    """Every log pipe that is there."""
    try:
        names = os.listdir(folder)
    except OSError:
        return
    for name in names:
        found = PIPE.fullmatch(name)
        path = f"{folder}/{name}"
        if not found or found[4] not in STREAMS:
            continue
        try:
            if not stat.S_ISFIFO(os.lstat(path).st_mode):
                continue
            fd = open_fifo(path)
        except OSError:
            continue
        dyno = DynoName(found[1], int(found[2]), int(found[3] or 0))
        yield Remainder(path, Source(dyno, "app", STREAMS[found[4]]), fd)


def tell(pipe: Remainder, store: LogStore, witness: Witness) -> None:
    """Write what a pipe holds, as carefully as if it were a living dyno's: we may be killed too. Raises OSError."""
    owed, splitter = witness.owed(pipe.path), LineSplitter()
    splitter.feed(witness.settle(owed, pipe.fd, pipe.source))
    try:
        while chunk := look(pipe.fd, witness):
            owed.begin(chunk, store.place())
            store.append(pipe.source, splitter.feed(chunk), time.time())
            owed.written(rest := splitter.take())
            splitter.feed(rest)
            witness.take(pipe.fd, len(chunk))
            owed.taken()
        if splitter.size:
            store.append(pipe.source, splitter.take() + b"\n", time.time())
        owed.end(b"")
    finally:
        owed.close()


def look(fd: int, witness: Witness) -> bytes:
    """What is in it now; b"" if that is nothing."""
    try:
        return witness.look(fd)
    except BlockingIOError:
        return b""
