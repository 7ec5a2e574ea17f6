"""What every measure is given: who takes part, whose turn it is, and where to put what is said below the tables."""

import math
import subprocess
from collections.abc import Callable, Iterable
from typing import NamedTuple, TypeVar

from benchmarks.peers import Manager
from benchmarks.rows import OURS, warn

T = TypeVar("T")


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
        """Those that show every dyno's lines with its name on their own output."""
        return [manager for manager in self.present if manager.prefixes]

    @property
    def restarting(self) -> list[Manager]:
        """Those that bring a dyno back."""
        return [manager for manager in self.present if manager.restarts]

    def able(self, dynos: int) -> list[Manager]:
        """Those that are asked for so many dynos."""
        return [manager for manager in self.present if manager.most >= dynos]

    def count(self, full: int) -> int:
        """A quantity scaled by the effort, at least one."""
        return max(1, round(full * self.effort))

    def turns(self, managers: Iterable[Manager], rounds: int, run: Callable[[Manager], T]) -> dict[str, list[T]]:
        """What ``run`` says of each, who take turns for as many rounds as the effort allows.

        A peer that cannot do it is left out from then on, which is noted; procman's own failure is the measure's.
        """
        found: dict[str, list[T]] = {}
        taking_part = list(managers)
        for _ in range(self.count(rounds)):
            for manager in list(taking_part):
                try:
                    found.setdefault(manager.name, []).append(run(manager))
                except (OSError, EOFError, subprocess.SubprocessError) as error:  # TimeoutError is an OSError
                    if manager.name == OURS:
                        raise
                    taking_part.remove(manager)
                    self.note(f"{manager.name} was left out: {error}")
        return found

    def note(self, text: str) -> None:
        """Say it below the table, once, and now."""
        if text not in self.notes:
            self.notes.append(text)
            warn(text)


def pick(found: dict[str, list[tuple[float, ...]]], index: int) -> dict[str, list[float]]:
    """One field of all; NaN is what did not come about."""
    fields = {name: [numbers[index] for numbers in rounds] for name, rounds in found.items()}
    real = {name: [value for value in values if not math.isnan(value)] for name, values in fields.items()}
    return {name: values for name, values in real.items() if values}
