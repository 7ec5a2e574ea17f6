"""What a formation says, in one format, to one sink."""

import time

from procman.core.model import DynoName
from procman.logs.formats import LogFormat, Source
from procman.logs.sink import Sink
from procman.logs.splitter import LINE_LIMIT
from procman.typed import Callable, Protocol


class Store(Protocol):
    """What takes lines for later, such as a ``Scribe``."""

    def append(self, source: Source, data: bytes, wall: float) -> None:
        """Whole lines, each with its newline. ``wall``: seconds since the epoch. Raises nothing."""

    def lend(self, work: Callable[[], None]) -> bool:
        """Have ``work`` done; False where it came no further than to its ``settle``, or did not begin."""

    def settle(self) -> None:
        """Have all of it written that can be written in a moment."""


class Output:
    """Lines of dynos and of procman itself, in the order they came. ``wall`` is the clock of the stamps.

    ``store``: keeps every line too, whole ones only. ``errors``: takes what does not belong on stdout, if that is
    somewhere else: what dynos write to their stderr, where it can be told apart, and procman's own lines.
    """

    def __init__(
        self,
        log_format: LogFormat,
        sink: Sink,
        quiet: frozenset[str] = frozenset(),
        wall: Callable[[], float] = time.time,
        store: Store | None = None,
        errors: Sink | None = None,
    ) -> None:
        self.format = log_format
        self.sink = sink
        self.sinks = [sink, errors] if errors else [sink]
        self.quiet = quiet
        self.wall = wall
        self.store = store
        self._begun: dict[Source, bytes] = {}  # parts of lines that were shown and not yet stored

    def say(self, dyno: DynoName | None, text: str) -> None:
        """A system line, Heroku's words about a dyno or procman's own (None)."""
        self.lines(Source(dyno, "heroku", "system"), text.encode("utf-8", "surrogateescape") + b"\n")

    def lines(self, source: Source, data: bytes) -> None:
        """Whole lines, each with its newline."""
        wall = self.wall()
        if self.store:
            self.store.append(source, self._begun.pop(source, b"") + data, wall)
        if not (source.origin == "app" and source.dyno and source.dyno.process_type in self.quiet):
            self._sink_of(source).put(self.format.lines(source, data, wall))

    def partial(self, source: Source, data: bytes) -> None:
        """Part of a line whose end has not come."""
        wall = self.wall()
        if self.store:
            begun = self._begun.pop(source, b"")
            if len(begun) + len(data) > LINE_LIMIT:
                self.store.append(source, b"".join((begun, data, b"\n")), wall)
            else:
                self._begun[source] = begun + data
        if not (source.dyno and source.dyno.process_type in self.quiet):
            self._sink_of(source).put(self.format.partial(source, data, wall))

    def lend(self, work: Callable[[], None]) -> bool:
        """Have something done that ends in ``flush`` where that costs least. False: the store stalls, flush again."""
        if self.store:
            return self.store.lend(work)
        work()
        return True

    def flush(self) -> None:
        """Show what the reader takes now, then have all stored: somebody may wait for a line, nobody for its copy."""
        self.show()
        if self.store:
            self.store.settle()

    def show(self) -> None:
        """Write what the reader takes now. A gap that a full disk tore is reported once it is over."""
        for sink in self.sinks:
            sink.flush()
            if sink.lost and not sink.size:
                lost, sink.lost = sink.lost, 0
                self.say(None, f"{lost} bytes of log were lost: {sink.trouble}")
                self.sinks[-1].flush()

    def begun(self, source: Source) -> bytes:
        """The part of a line that was shown and not yet stored."""
        return self._begun.get(source, b"")

    def resume(self, source: Source, begun: bytes) -> None:
        """That part, as another output had it."""
        if begun:
            self._begun[source] = begun

    def end_line(self, source: Source) -> None:
        """No more is coming of a line that was begun."""
        if self.store and source in self._begun:
            self.store.append(source, self._begun.pop(source) + b"\n", self.wall())

    def end(self) -> None:
        """Finish an open line and write what can be written."""
        self.sink.put(self.format.end())
        self.flush()

    def _sink_of(self, source: Source) -> Sink:
        return self.sink if source.origin == "app" and source.stream != "stderr" else self.sinks[-1]
