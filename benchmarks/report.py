"""The page that shows a run: where it was measured, a table and plots of each section, and what did not work."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks import svg, tables
from benchmarks.rows import FLOOR, OURS, YES_OR_NO, Row, met, tears

ROOT = Path(__file__).resolve().parent.parent
PAGE, PLOTS = ROOT / "docs" / "benchmarks.md", ROOT / "docs" / "benchmarks"
HEAD = """\
# Measured beside the peers

Made by `make bench`; do not edit. What was learnt, and where the time goes: [by hand](benchmarks/learnt.md).
The numbers of all rounds: [report.json](../benchmarks/report.json).

Cells are medians of rounds in which the managers take turns. `floor`: the same without any manager. `-`: cannot do it.
†: loses, tears or changes lines, see [lines kept whole](#{lines}). A mark is what procman shall reach.
"""
LINES = "Lines kept whole"
SPEED = ("4 dynos, lines to a pipe", "MB/s")  # shown beside how well lines are kept


class Run(NamedTuple):
    """What a run came to. ``failed``: measures that did not end; ``missing``: peers that are not there."""

    circumstances: str
    rows: Sequence[Row]
    notes: Sequence[str] = ()
    failed: Sequence[str] = ()
    missing: Sequence[str] = ()


def write(run: Run, page: Path = PAGE, plots: Path = PLOTS) -> None:
    """Replace the page and its plots; what is written by hand beside them stays."""
    plots.mkdir(exist_ok=True)
    for old in plots.glob("*.svg"):
        old.unlink()
    temporary = page.with_suffix(".tmp")
    temporary.write_text(text(run, draw(run.rows, plots)))
    temporary.replace(page)


def text(run: Run, drawn: dict[str, str]) -> str:
    """The page; ``drawn``: file names of the plots by section."""
    parts = [HEAD.format(lines=anchor(LINES)), run.circumstances, verdict(run)]
    for section in sections(run.rows):
        parts.append(f"## {section}\n\n{table(run.rows, section)}")
        if section in drawn:
            parts.append(f"![{section}](benchmarks/{drawn[section]})")
    if run.notes:
        parts.append("## Notes\n\n" + "\n".join(f"- {note}" for note in run.notes))
    return "\n\n".join(part.rstrip("\n") for part in parts) + "\n"


def verdict(run: Run) -> str:
    """How many marks were met, and what is not in the tables."""
    tearing = tears(run.rows)
    judged = {f"{row.measure} ({row.unit})": found for row in run.rows if (found := met(row, tearing)) is not None}
    missed = [name for name, found in judged.items() if not found]
    said = [f"procman met {len(judged) - len(missed)} of {len(judged)} marks."]
    if missed:
        said.append(f"Not met: {'; '.join(missed)}.")
    if run.missing:
        said.append(f"Not installed, and so not measured: {', '.join(run.missing)}.")
    if run.failed:
        said.append(f"**Failed: {'; '.join(run.failed)}.**")
    return "\n".join(said)


def sections(rows: Sequence[Row]) -> list[str]:
    """In their order."""
    return list(dict.fromkeys(row.section for row in rows))


def table(rows: Sequence[Row], section: str) -> str:
    """Of one section."""
    own = [row for row in rows if row.section == section]
    if section == LINES:
        return tables.matrix(own, [row for row in rows if (row.measure, row.unit) == SPEED])
    return tables.measures(own, tears(rows), marked(rows))


def marked(rows: Sequence[Row]) -> set[str]:
    """Who loses, tears or changes lines, in whichever way."""
    return tears(rows) | {
        name for row in rows if row.unit == YES_OR_NO for name in row.values if row.value(name) == 0
    }


def draw(rows: Sequence[Row], folder: Path) -> dict[str, str]:
    """A sheet a section, of the rows that have something to compare; the names of the files."""
    drawn = {}
    for section in sections(rows):
        own = [row for row in rows if row.section == section and row.unit not in (YES_OR_NO, "lines")]
        panels = [svg.Panel(title(row), found) for row in own if len(found := medians(row)) > 1 and any(found.values())]
        if panels:
            drawn[section] = f"{anchor(section)}.svg"
            (folder / drawn[section]).write_text(svg.sheet(panels))
    return drawn


def title(row: Row) -> str:
    """Of a plot."""
    return f"{row.measure}, {row.unit}{' (more is better)' if row.more_is_better else ''}"


def medians(row: Row) -> dict[str, float]:
    """Ours first, the floor last."""
    order = [OURS, *row.peers(), FLOOR]
    return {name: value for name in order if (value := row.value(name)) is not None}


def anchor(heading: str) -> str:
    """As links have it."""
    return re.sub(r"[^a-z0-9]+", "-", heading.lower()).strip("-")
