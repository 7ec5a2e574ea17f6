"""What every measure is given: who takes part, and where to put what shall be said below the table."""

from collections.abc import Iterator
from typing import NamedTuple

from benchmarks.peers import Manager


class Bench(NamedTuple):
    """``python``: the interpreter that procman runs under. ``effort``: 1 for a full run, less for a quick look."""

    managers: list[Manager]
    python: str
    effort: float
    notes: list[str]

    @property
    def present(self) -> list[Manager]:
        """Those that are installed."""
        return [manager for manager in self.managers if manager.present]

    @property
    def prefixing(self) -> list[Manager]:
        """Those that show every dyno's lines on their own output."""
        return [manager for manager in self.present if manager.prefixes]

    def times(self, full: int) -> Iterator[int]:
        """As many rounds as the effort allows, at least one."""
        return iter(range(self.count(full)))

    def count(self, full: int) -> int:
        """A quantity scaled by the effort."""
        return max(1, round(full * self.effort))
