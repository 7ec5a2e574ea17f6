"""Rows as Markdown: a line a measure, or, where measures say yes or no, a line a manager."""

from collections.abc import Collection, Sequence

from benchmarks.rows import FLOOR, OURS, YES_OR_NO, Row, met, number

UNABLE = "-"
WORDS = {True: "yes", False: "**no**", None: ""}


def measures(rows: Sequence[Row], tearing: Collection[str], marked: Collection[str]) -> str:
    """A line a measure, a column a manager that has a number in any of them. ``marked``: get a dagger."""
    names = list(dict.fromkeys(name for row in rows for name in row.values if name not in (OURS, FLOOR)))
    columns = [f"{name} †" if name in marked else name for name in names]
    head = ["measure", "unit", OURS, *columns, FLOOR, "procman is better by", "mark", "met"]
    body = [
        [
            row.measure,
            row.unit,
            *(cell(row, name) for name in (OURS, *names)),
            f"{cell(row, FLOOR)} ({row.floor})" if row.value(FLOOR) is not None else UNABLE,
            better(row),
            ", ".join(mark.said(row.more_is_better) for mark in row.marks),
            WORDS[met(row, tearing)],
        ]
        for row in rows
    ]
    return markdown([head, *body])


def matrix(rows: Sequence[Row], beside: Sequence[Row]) -> str:
    """A line a manager: the numbers of ``beside``, and whether each row is as it should be."""
    names = list(dict.fromkeys(name for row in rows for name in row.values))
    head = ["", *(f"{row.measure}, {row.unit}" for row in beside), *(row.measure for row in rows)]
    return markdown([head, *([name, *(cell(row, name) for row in [*beside, *rows])] for name in names)])


def cell(row: Row, name: str) -> str:
    """A number of three digits, yes or no, or that there is none."""
    value = row.value(name)
    if value is None:
        return UNABLE
    return WORDS[bool(value)] if row.unit == YES_OR_NO else number(value)


def better(row: Row) -> str:
    """How many times better procman is than honcho, its model, and than the best peer if that is another."""
    ours, theirs, best = row.value(OURS), row.peers(), row.best()
    if ours is None or best is None:
        return ""
    named = [name for name in dict.fromkeys(("honcho", best)) if name in theirs]
    return ", ".join(times(ours, theirs[name], row.more_is_better) + f" {name}" for name in named)


def times(ours: float, theirs: float, more_is_better: bool) -> str:
    """ "2.5 x", or "=" where both have none."""
    above, below = (ours, theirs) if more_is_better else (theirs, ours)
    if below:
        return f"{number(above / below)} x"
    return "∞ x" if above else "="


def markdown(lines: Sequence[Sequence[str]]) -> str:
    """A table; the first line is its head."""
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    head, *body = ("| " + " | ".join(map(str.ljust, line, widths)) + " |" for line in lines)
    return "\n".join([head, "| " + " | ".join("-" * width for width in widths) + " |", *body])
