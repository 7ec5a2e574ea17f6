"""Rows of measurements, and the marks that procman shall reach in them."""

import sys
from collections.abc import Collection, Mapping, Sequence
from statistics import median
from typing import NamedTuple

OURS = "procman"
FLOOR = "floor"  # the column of what no manager can beat: a bare interpreter, a shell loop, `cat`
BEST = "best peer"
BEST_WHOLE = "best peer that keeps lines whole"
YES_OR_NO = "1 = yes"  # the unit of rows that say whether something is as it should be


class Mark(NamedTuple):
    """At most ``factor`` times the column ``of``, and ``plus`` more; without ``of``, that number.

    At least, where more is better.
    """

    factor: float
    of: str = ""
    plus: float = 0.0

    def said(self, more_is_better: bool) -> str:
        """As the table has it."""
        sign = "≥" if more_is_better else "≤"
        if not self.of:
            return f"{sign} {number(self.factor)}" if self.factor else "0"
        if more_is_better and self.factor < 1:
            return f"{sign} {self.factor:.0%} of {self.of}"
        times = "" if self.factor == 1 else f"{self.factor:g} x "
        return f"{sign} {times}{self.of}{f' + {self.plus:g}' if self.plus else ''}"


class Row(NamedTuple):
    """One measure. ``values``: by manager's name, a number or one of each round. ``floor``: what the floor is here."""

    measure: str
    unit: str
    values: Mapping[str, float | Sequence[float]]
    more_is_better: bool = False
    marks: tuple[Mark, ...] = ()
    floor: str = ""
    section: str = ""

    def value(self, name: str) -> float | None:
        """The median, if there is any."""
        found = self.values.get(name)
        if found is None:
            return None
        return float(found) if isinstance(found, (int, float)) else median(found) if found else None

    def peers(self, but: Collection[str] = ()) -> dict[str, float]:
        """The medians of all others, without the floor and those named."""
        return {
            name: value
            for name in self.values
            if name not in (OURS, FLOOR, *but) and (value := self.value(name)) is not None
        }

    def best(self, but: Collection[str] = ()) -> str | None:
        """Whichever peer is best."""
        peers = self.peers(but)
        return max(peers, key=lambda name: peers[name] if self.more_is_better else -peers[name], default=None)


def limit(row: Row, mark: Mark, tearing: Collection[str]) -> float | None:
    """The number that a mark comes to; None if the column that it speaks of is empty. ``tearing``: see ``tears``."""
    if not mark.of:
        return mark.factor
    name = row.best(tearing if mark.of == BEST_WHOLE else ()) if mark.of in (BEST, BEST_WHOLE) else mark.of
    value = row.value(name) if name else None
    return None if value is None else mark.factor * value + mark.plus


def met(row: Row, tearing: Collection[str] = ()) -> bool | None:
    """Whether procman reached every mark that can be judged; None if there is none."""
    ours = row.value(OURS)
    limits = [found for mark in row.marks if (found := limit(row, mark, tearing)) is not None]
    if ours is None or not limits:
        return None
    return all(ours >= found if row.more_is_better else ours <= found for found in limits)


def tears(rows: Sequence[Row]) -> set[str]:
    """Who does not keep lines whole: loses or tears some of a flood, or makes two of one that comes in two pieces."""
    return {
        name
        for row in rows
        for name in row.values
        if (row.unit == "lines" and row.value(name)) or (row.measure == "split writes" and row.value(name) == 0)
    }


def number(value: float) -> str:
    """Three significant digits, without exponent."""
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def warn(text: str) -> None:
    """Say it where it is seen."""
    print(f"!!! {text}", file=sys.stderr, flush=True)
