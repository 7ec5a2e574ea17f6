"""How lines look: text as honcho prints it, JSON, Heroku's own.

Each format turns a batch of whole lines of one source into buffers for one ``writev``, prefixing per batch.
"""

import time

from procman.core.model import DynoName
from procman.typed import Callable, NamedTuple, Protocol, Sequence

Buffer = bytes | memoryview
HEROKU_LINE_BYTES = 10_000  # Dev Center "limits": dyno output lines over 10,000 bytes are split


class Source(NamedTuple):
    """Who wrote: a dyno's program (``app``), or its keeper (``heroku``).

    ``dyno`` None: procman itself, or the part of it that ``ps`` names, such as ``router``.
    """

    dyno: DynoName | None
    origin: str  # "app" or "heroku"
    stream: str = "stdout"  # "stdout", "stderr" or "system"
    ps: str = "procman"

    def label(self) -> str:
        """``web.1``, or ``procman`` for the manager's own lines."""
        return str(self.dyno) if self.dyno else self.ps


class LogFormat(Protocol):
    """Turns a batch of lines into what the reader sees."""

    shows_partials: bool  # whether an unfinished line may be written before its newline comes

    def lines(self, source: Source, data: bytes, wall: float) -> list[Buffer]:
        """``data``: whole lines, each ended by a newline. ``wall``: seconds since the epoch."""

    def partial(self, source: Source, data: bytes, wall: float) -> list[Buffer]:
        """``data``: part of a line, without a newline. Only where ``shows_partials``."""

    def end(self) -> list[Buffer]:
        """What closes the output, such as the newline of an unfinished line."""


class TextFormat:
    """``12:00:01 web.1    | line``; system lines have a ``*`` for the bar.

    ``color``: bytes of an SGR sequence for a dyno's prefix, or None for no colour at all.
    """

    shows_partials = True

    def __init__(
        self,
        width: int,
        timestamps: bool = True,
        prefix: bool = True,
        color: Callable[[DynoName | None], bytes] | None = None,
    ) -> None:
        self.width = width
        self.timestamps = timestamps
        self.prefix = prefix
        self.color = color
        self.open: Source | None = None  # whose unfinished line the cursor stands in
        self._second = 0
        self._prefixes: dict[Source, bytes] = {}

    def lines(self, source: Source, data: bytes, wall: float) -> list[Buffer]:
        """See ``LogFormat``. The first line of ``data`` may go on an open partial one."""
        out: list[Buffer] = []
        if self.open:
            out, data = self._close(source, data)
            if not data:
                return out
        prefix = self._prefix(source, wall)
        if not prefix:
            return [*out, data]
        body = data.replace(b"\n", b"\n" + prefix)
        return [*out, prefix, memoryview(body)[: -len(prefix)]]

    def partial(self, source: Source, data: bytes, wall: float) -> list[Buffer]:
        """See ``LogFormat``. What follows from the same source is written right behind it."""
        if self.open == source:
            return [data]
        before = self.end()
        self.open = source
        return [*before, self._prefix(source, wall), data]

    def end(self) -> list[Buffer]:
        """The newline that an unfinished line still lacks."""
        was_open, self.open = self.open, None
        return [b"\n"] if was_open else []

    def _close(self, source: Source, data: bytes) -> tuple[list[Buffer], bytes]:
        if self.open != source:
            return self.end(), data
        self.open = None
        cut = data.index(b"\n") + 1
        return [data[:cut]], data[cut:]

    def _prefix(self, source: Source, wall: float) -> bytes:
        if int(wall) != self._second:
            self._second = int(wall)
            self._prefixes.clear()
        found = self._prefixes.get(source)
        if found is None:
            found = self._prefixes[source] = self._make_prefix(source)
        return found

    def _make_prefix(self, source: Source) -> bytes:
        if not self.prefix:
            return b""
        stamp = time.strftime("%H:%M:%S ", time.localtime(self._second)) if self.timestamps else ""
        bar = "|" if source.origin == "app" else "*"
        text = f"{stamp}{source.label():<{self.width}} {bar}".encode()
        return self.color(source.dyno) + text + b"\x1b[0m " if self.color else text + b" "

    def prefix_width(self) -> int:
        """Columns taken from every line."""
        return (self.width + 3 + (9 if self.timestamps else 0)) if self.prefix else 0


class JsonFormat:
    """One object a line: time, dyno, source, stream, message. Invalid UTF-8 survives as lone surrogates."""

    shows_partials = False

    def __init__(self) -> None:
        from json import dumps  # noqa: PLC0415 - only this format pays for the import

        self._dumps = dumps

    def lines(self, source: Source, data: bytes, wall: float) -> list[Buffer]:
        """See ``LogFormat``. The array of all lines is encoded at once; its separators become the frames."""
        head = self._dumps(
            {
                "time": stamp(wall),
                "dyno": source.label(),
                "source": source.origin,
                "stream": source.stream,
            }
        )[:-1] + ', "message": '
        messages = data[:-1].decode("utf-8", "surrogateescape").split("\n")
        # A raw newline cannot occur inside an encoded string, so it is a safe separator.
        body = self._dumps(messages, separators=("\n", ":"))[1:-1].replace("\n", "}\n" + head)
        return [(head + body + "}\n").encode()]

    def partial(self, source: Source, data: bytes, wall: float) -> list[Buffer]:
        """A piece of a line too long to hold: an object of its own."""
        return self.lines(source, data + b"\n", wall)

    def end(self) -> list[Buffer]:
        """Nothing is ever open."""
        return []


class NoFormat:
    """For a sink that nobody reads: a detached formation has its store."""

    shows_partials = False

    def lines(self, source: Source, data: bytes, wall: float) -> list[Buffer]:
        """Nothing."""
        return []

    def partial(self, source: Source, data: bytes, wall: float) -> list[Buffer]:
        """Nothing."""
        return []

    def end(self) -> list[Buffer]:
        """Nothing."""
        return []


class HerokuFormat:
    """``2024-05-01T10:00:00.123456+00:00 app[web.1]: line``, as ``heroku logs`` prints it."""

    shows_partials = False

    def lines(self, source: Source, data: bytes, wall: float) -> list[Buffer]:
        """See ``LogFormat``. Lines over 10,000 bytes become several, as on Heroku."""
        if len(data) > HEROKU_LINE_BYTES:
            lines = data.split(b"\n")
            if max(map(len, lines)) > HEROKU_LINE_BYTES:
                data = b"\n".join(split_long(lines))
        return heroku_lines(source, data, wall)

    def partial(self, source: Source, data: bytes, wall: float) -> list[Buffer]:
        """A piece of a line too long to hold."""
        return self.lines(source, data + b"\n", wall)

    def end(self) -> list[Buffer]:
        """Nothing is ever open."""
        return []


def heroku_lines(source: Source, data: bytes, wall: float) -> list[Buffer]:
    """Whole lines in Heroku's format, of whatever length. ``wall``: seconds since the epoch."""
    prefix = f"{stamp(wall)} {source.origin}[{source.label()}]: ".encode()
    body = data.replace(b"\n", b"\n" + prefix)
    return [prefix, memoryview(body)[: -len(prefix)]]


def split_long(lines: Sequence[bytes]) -> list[bytes]:
    """Cut every line over Heroku's limit into pieces of it."""
    return [
        line[start : start + HEROKU_LINE_BYTES]
        for line in lines
        for start in range(0, max(len(line), 1), HEROKU_LINE_BYTES)
    ]


def stamp(wall: float) -> str:
    """RFC 5424 time with microseconds, in UTC, as logplex writes it."""
    seconds, micros = divmod(int(wall * 1_000_000), 1_000_000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{micros:06d}+00:00"
