"""A line of the log store, and which of them are wanted."""

import os
import re
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from procman.logs.formats import stamp

STAMP = rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00"
STAMP_BYTES = 32
LINE = re.compile(rb"(%s) ([^\s\[]+)\[([^\s\]]+)\]: " % STAMP)


class Line(NamedTuple):
    """A stored line. ``time``: seconds since the epoch. Garbage has no time and is all message."""

    time: float | None
    source: str
    ps: str
    message: bytes


def parse_line(line: bytes) -> Line:
    """Take a line apart, with or without its newline."""
    line = line.removesuffix(b"\n")
    head = LINE.match(line)
    if head:
        when, source, ps = (part.decode("utf-8", "replace") for part in head.groups())
        try:
            return Line(datetime.fromisoformat(when).timestamp(), source, ps, line[head.end() :])
        except ValueError:  # the 31st of February
            pass
    return Line(None, "", "", line)


class Filter(NamedTuple):
    """Which lines are wanted; None: no matter. Lines that are not in the store's format pass only without
    ``dyno``, ``process_type``, ``source``, ``since`` and ``among``.

    ``dyno``: ``web.1``, or another writer such as ``router``. ``source``: ``app`` or ``heroku``. ``since``: seconds
    since the epoch. ``grep``: searched for in the message, without its newline. ``among``: dynos and process types, of
    which it is one.
    """

    dyno: str | None = None
    process_type: str | None = None
    source: str | None = None
    since: float | None = None
    grep: re.Pattern[bytes] | None = None
    among: Sequence[str] = ()

    def lines(self, batch: bytes) -> list[bytes]:
        """Those of a batch of whole lines, each with its newline."""
        found = self._pattern().findall(batch)
        if self.since is not None:
            since = stamp(self.since).encode()
            found = [line for line in found if line[:STAMP_BYTES] >= since]
        if self.grep:
            search = self.grep.search
            found = [line for line in found if line and search(parse_line(line).message)]
        return list(filter(None, found))

    def _pattern(self) -> re.Pattern[bytes]:
        """Finds the wanted lines, and b"" for each of the others, so that the search never starts within a line."""
        if self._replace(grep=None) == EVERYTHING:
            return re.compile(rb"[^\n]*\n")
        source = rb"[^\s\[]+" if self.source is None else re.escape(self.source.encode())
        ps = rb"[^\s\]]+" if self.dyno is None else re.escape(os.fsencode(self.dyno))
        for names in ([] if self.process_type is None else [self.process_type], self.among):
            if names:
                ps = rb"(?=(?:%s)(?:\.\d+)?\])" % b"|".join(map(re.escape, map(os.fsencode, names))) + ps
        return re.compile(rb"(%s %s\[%s\]: [^\n]*\n)|[^\n]*\n" % (STAMP, source, ps))


EVERYTHING = Filter()
