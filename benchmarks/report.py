"""Rows of measurements, the table of them, and the file that keeps it."""

import os
import platform
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import NamedTuple

from benchmarks import svg
from benchmarks.peers import Manager

ROOT = Path(__file__).resolve().parent.parent
PAGE, PLOTS = ROOT / "docs" / "benchmarks.md", ROOT / "docs" / "benchmarks"
LEARNT = "## What was learnt"  # from here on the page is written by hand, and kept
MISSING, UNABLE = "MISSING", "-"
ALONE = "floor"  # the column of what no manager can beat: a bare interpreter, a shell loop, `cat`


class Row(NamedTuple):
    """One measure. ``values``: by manager's name. ``mark``: what procman shall reach, in words."""

    measure: str
    unit: str
    values: Mapping[str, float | Sequence[float]]
    more_is_better: bool = False
    mark: str = ""

    def value(self, name: str) -> float | None:
        """The median, if there is any."""
        found = self.values.get(name)
        if found is None:
            return None
        return float(found) if isinstance(found, (int, float)) else median(found) if found else None


def cell(row: Row, manager: Manager) -> str:
    """A number of three digits, or why there is none."""
    value = row.value(manager.name)
    if value is None:
        return UNABLE if manager.present else MISSING
    return number(value)


def number(value: float) -> str:
    """Three significant digits, without exponent."""
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def ratio(row: Row, peers: Iterable[str]) -> str:
    """How many times better procman is than honcho, its model, and than the best peer if that is another."""
    ours = row.value("procman")
    theirs = {name: value for name in peers if (value := row.value(name)) is not None}
    if ours is None or not theirs:
        return ""
    best = max(theirs, key=lambda name: theirs[name] if row.more_is_better else -theirs[name])
    named = [name for name in dict.fromkeys(("honcho", best)) if name in theirs]
    return ", ".join(times(ours, theirs[name], row.more_is_better) + f" {name}" for name in named)


def times(ours: float, theirs: float, more_is_better: bool) -> str:
    """ "2.5 x", or "=" where both have none."""
    above, below = (ours, theirs) if more_is_better else (theirs, ours)
    if below:
        return f"{number(above / below)} x"
    return "∞ x" if above else "="


def table(rows: Sequence[Row], managers: Sequence[Manager]) -> str:
    """Markdown: a line a measure, a column a manager."""
    names = [marked(manager.name, rows) for manager in managers]
    head = ["measure", "unit", *names, ALONE, "procman is better by", "mark"]
    floor = Manager(ALONE, "-", lambda app: [], False, False)
    peers = [manager.name for manager in managers if manager.name != "procman"]
    body = [
        [
            row.measure,
            row.unit,
            *(cell(row, manager) for manager in managers),
            cell(row, floor),
            ratio(row, peers),
            row.mark,
        ]
        for row in rows
    ]
    widths = [max(len(line[column]) for line in [head, *body]) for column in range(len(head))]
    rule = ["-" * width for width in widths]
    return "\n".join(
        "| " + " | ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)) + " |"
        for line in [head, rule, *body]
    )


def marked(name: str, rows: Sequence[Row]) -> str:
    """A manager's name, with a dagger if a row says that it loses, tears or changes lines."""
    bad = any(row.mark in ("0", "1") and row.unit == "lines" and row.value(name) for row in rows)
    bad = bad or any(row.unit.startswith("1 = ") and row.value(name) == 0 for row in rows)
    return f"{name} †" if bad else name


def circumstances(managers: Sequence[Manager]) -> str:
    """When, on what kind of machine, which versions; nothing that names the machine."""
    versions = ", ".join(f"{manager.name} {manager.version or 'MISSING'}" for manager in managers)
    return (
        f"{datetime.now(UTC):%Y-%m-%d}: {os.cpu_count()} cores ({platform.machine()}), "
        f"{platform.system()} {platform.release().split('-')[0]}, Python {platform.python_version()}; {versions}."
    )


def write(rows: Sequence[Row], managers: Sequence[Manager], notes: Sequence[str]) -> None:
    """Replace docs/benchmarks.md and its plots; what is written by hand at its end stays."""
    listed = "\n".join(f"- {note}" for note in notes)
    old = PAGE.read_text() if PAGE.exists() else ""
    kept = old[old.index(LEARNT) :] if LEARNT in old else f"{LEARNT}\n"
    text = (
        "# Measured beside the peers\n\nMade by `make bench` (`python -m benchmarks`); do not edit above "
        "\"What was learnt\". Cells are medians, managers take turns within each measure.\n"
        f"`{UNABLE}`: cannot do this; `{MISSING}`: not installed when this was measured; "
        f"`{ALONE}`: the same without any manager; †: loses, tears or changes lines.\n\n"
        f"{circumstances(managers)}\n\n{table(rows, managers)}\n\n{listed}\n\n{plots(rows)}\n\n{kept}"
    )
    temporary = PAGE.with_suffix(".tmp")
    temporary.write_text(text)
    temporary.replace(PAGE)


def plots(rows: Sequence[Row]) -> str:
    """Draw every row that has something to compare; the Markdown that shows them."""
    PLOTS.mkdir(exist_ok=True)
    shown = []
    for row in rows:
        values = {name: value for name in row.values if (value := row.value(name)) is not None}
        if len(values) < 2 or not any(values.values()):
            continue
        name = re.sub(r"[^a-z0-9]+", "-", f"{row.measure} {row.unit}".lower()).strip("-")
        (PLOTS / f"{name}.svg").write_text(svg.bars(row.measure, row.unit, values))
        shown.append(f"![{row.measure}, {row.unit}](benchmarks/{name}.svg)")
    return "\n".join(shown)


def warn(text: str) -> None:
    """Say it where it is seen."""
    print(f"!!! {text}", file=sys.stderr, flush=True)
