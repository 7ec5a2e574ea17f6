"""The ratios of one run beside those of the last committed report: ratios, as absolute times are the machine's."""

import json
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

from benchmarks.report import Run
from benchmarks.rows import OURS, Mark, Row, number

REPORT = Path(__file__).parent / "report.json"
TOLERATED = 0.25  # of a row's ratios may be lost


class Loss(NamedTuple):
    """A row that lost more than is tolerated, and how much in words."""

    row: Row
    sentence: str


def ratios(row: Row) -> dict[str, float]:
    """How many times better procman is than each other column; none where either is zero or missing."""
    ours = row.value(OURS)
    others = {name: row.value(name) for name in row.values if name != OURS}
    if not ours:
        return {}
    return {name: ours / their if row.more_is_better else their / ours for name, their in others.items() if their}


def losses(now: Sequence[Row], before: Sequence[Row], tolerated: float = TOLERATED) -> list[Loss]:
    """Those rows, among the ones that both runs have.

    A row's loss is the median over its columns: one peer that had a bad moment, then or now, decides nothing.
    """
    old = {(row.measure, row.unit): ratios(row) for row in before}
    found = []
    for row in now:
        was, is_now = old.get((row.measure, row.unit), {}), ratios(row)
        both = sorted(was.keys() & is_now.keys())
        if both and (kept := median(is_now[name] / was[name] for name in both)) < 1 - tolerated:
            detail = ", ".join(f"{number(is_now[name])} x {name}, was {number(was[name])}" for name in both)
            found.append(Loss(row, f"{row.measure} ({row.unit}): {kept:.0%} of what it was ({detail})"))
    return found


def load(path: Path = REPORT) -> list[Row]:
    """The committed rows; none if there is no report yet."""
    if not path.exists():
        return []
    rows = json.loads(path.read_text())["rows"]
    return [Row(**{**row, "marks": tuple(Mark(*mark) for mark in row["marks"])}) for row in rows]


def dump(run: Run, path: Path = REPORT) -> None:
    """Keep a run."""
    kept = {**run._asdict(), "rows": [row._asdict() for row in run.rows]}
    path.write_text(json.dumps(kept, indent=1) + "\n")
