"""One program's lines as it wrote them, and procman's own behind its name."""

from procman.logs.file import LogFiles
from procman.logs.formats import Buffer, Source, TextFormat
from procman.logs.scribe import Keeper


class Unmarked(TextFormat):
    """Text without a prefix, but for what procman says itself."""

    def __init__(self) -> None:
        super().__init__(0)

    def _make_prefix(self, source: Source) -> bytes:
        return b"" if source.origin == "app" else b"procman: "


class PlainFormat:
    """See ``LogFormat``. ``apart``: stdout goes to one place, and all else to another."""

    shows_partials = True

    def __init__(self, apart: bool) -> None:
        self._out = Unmarked()
        self._rest = Unmarked() if apart else self._out

    def lines(self, source: Source, data: bytes, wall: float) -> list[Buffer]:
        """See ``LogFormat``."""
        return self._of(source).lines(source, data, wall)

    def partial(self, source: Source, data: bytes, wall: float) -> list[Buffer]:
        """See ``LogFormat``."""
        return self._of(source).partial(source, data, wall)

    def end(self) -> list[Buffer]:
        """See ``LogFormat``."""
        return self._out.end()

    def _of(self, source: Source) -> Unmarked:
        return self._out if source.origin == "app" and source.stream != "stderr" else self._rest


class Keepers:
    """A ``Keeper`` that hands lines to a store and to files."""

    def __init__(self, store: Keeper | None, files: LogFiles | None) -> None:
        self._store = store
        self._files = files

    def append(self, source: Source, data: bytes, wall: float) -> None:
        """See ``Keeper``."""
        if self._store:
            self._store.append(source, data, wall)
        if self._files:
            self._files.append(stream_of(source), data)

    def lose(self, source: Source, lines: int, size: int, why: str) -> None:
        """See ``Keeper``."""
        if self._store:
            self._store.lose(source, lines, size, why)
        if self._files:
            self._files.lose(stream_of(source), size, why)

    def close(self) -> None:
        """See ``Keeper``."""
        if self._store:
            self._store.close()


def stream_of(source: Source) -> str:
    """What ``LogFiles`` calls it."""
    return source.stream if source.origin == "app" else "system"
