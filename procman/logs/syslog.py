"""Stored lines as syslog messages in logplex's framing: what drains send. Pure: bytes in, bytes out.

``LEN SP <PRI>1 SP TIME SP HOST SP SOURCE SP PS SP - SP [- SP] MSG NL``: LEN counts the bytes behind its space. Over TCP
the host is the drain's token and there is a field for structured data, over HTTP the host is ``host`` and there is
none (Heroku: log-drains; logplex's source). Messages over 10,000 bytes become several (Heroku: limits).
"""

import re
from collections.abc import Iterator

from procman.logs.formats import HEROKU_LINE_BYTES
from procman.logs.line import STAMP

LINE = re.compile(rb"(%s) ([^\s\[]+)\[([^\s\]]+)\]: ([^\n]*)\n|([^\n]*)\n" % STAMP)
# PRI is facility * 8 + severity.
APP = b"<190>1 "  # local7.info
API = b"<134>1 "  # local0.info
ROUTER = b"<158>1 "  # local3.info
DYNO_MANAGER = b"<45>1 "  # syslog.notice
LOGPLEX = b"<172>1 "  # local5.warning


def head(source: bytes, ps: bytes) -> bytes:
    """Priority and version of a line's message."""
    if source == b"app":
        return API if ps == b"api" else APP
    return ROUTER if ps == b"router" else LOGPLEX if ps == b"logplex" else DYNO_MANAGER


class Framing:
    """How one drain wants its messages. ``token``: the host field of a TCP drain; None: HTTP."""

    def __init__(self, token: str | None = None) -> None:
        self._host = b" host " if token is None else b" " + token.encode() + b" "
        self._gap = b" - " if token is None else b" - - "
        self._heads: dict[tuple[bytes, bytes], tuple[bytes, bytes]] = {}

    def frames(self, batch: bytes, now: bytes) -> list[bytes]:
        """A frame a message of a batch of whole stored lines. ``now``: the time of those that have none."""
        found = []
        for stamp, source, ps, message, garbage in LINE.findall(batch):
            parts = self._heads.get((source, ps)) or self._parts(source, ps)
            for text in pieces(message or garbage):
                body = b"%s%s%s%s\n" % (parts[0], stamp or now, parts[1], text)
                found.append(b"%d %s" % (len(body), body))
        return found

    def overflow(self, dropped: int, since: bytes, now: bytes) -> bytes:
        """The frame that tells of messages this drain did not get (Heroku: error-codes L10). Times without fraction."""
        words = b"Error L10 (output buffer overflow): %d messages dropped since %s." % (dropped, since)
        before, after = self._parts(b"heroku", b"logplex")
        body = b"%s%s%s%s\n" % (before, now, after, words)
        return b"%d %s" % (len(body), body)

    def _parts(self, source: bytes, ps: bytes) -> tuple[bytes, bytes]:
        """What stands before and behind the time."""
        if not source:
            source, ps = b"app", b"unknown"  # a line by hand, or the rest of a torn one
        if len(self._heads) > 1000:  # one-off dynos come and go
            self._heads.clear()
        parts = head(source, ps), self._host + source + b" " + ps + self._gap
        self._heads[source, ps] = parts
        return parts


def short(stamp: bytes) -> bytes:
    """A time without its fraction, as logplex tells of losses."""
    return stamp[:19] + b"+00:00"


def pieces(message: bytes) -> Iterator[bytes]:
    """A message of no more than Heroku's limit at a time."""
    if len(message) <= HEROKU_LINE_BYTES:
        yield message
        return
    for begin in range(0, len(message), HEROKU_LINE_BYTES):
        yield message[begin : begin + HEROKU_LINE_BYTES]


def groups(frames: list[bytes], limit: int) -> Iterator[list[bytes]]:
    """Frames for one request each: as many as fit into ``limit`` bytes, at least one."""
    begin = size = 0
    for index, frame in enumerate(frames):
        if size and size + len(frame) > limit:
            yield frames[begin:index]
            begin, size = index, 0
        size += len(frame)
    if begin < len(frames):
        yield frames[begin:]
