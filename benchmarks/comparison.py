"""The ratios of one run beside those of the last committed report: ratios, as absolute times are the machine's."""

import json
from collections.abc import Sequence
from pathlib import Path

from benchmarks.report import Row

REPORT = Path(__file__).parent / "report.json"
TOLERATED = 0.25  # of a ratio may be lost


def ratios(row: Row) -> dict[str, float]:
    """How many times better procman is than each other column; none where either is zero or missing."""
    ours = row.value("procman")
    others = {name: row.value(name) for name in row.values if name != "procman"}
    if not ours:
        return {}
    return {name: ours / their if row.more_is_better else their / ours for name, their in others.items() if their}


def losses(now: Sequence[Row], before: Sequence[Row]) -> list[str]:
    """A sentence for each ratio that lost more than is tolerated, among the rows that both runs have."""
    old = {(row.measure, row.unit): ratios(row) for row in before}
    return [
        f"{row.measure} ({row.unit}): {value:.3g} x {name}, was {was:.3g} x"
        for row in now
        for name, value in ratios(row).items()
        if (was := old.get((row.measure, row.unit), {}).get(name)) and value < was * (1 - TOLERATED)
    ]


def load(path: Path = REPORT) -> list[Row]:
    """The committed rows; none if there is no report yet."""
    if not path.exists():
        return []
    return [Row(**row) for row in json.loads(path.read_text())["rows"]]


def dump(rows: Sequence[Row], said: str, path: Path = REPORT) -> None:
    """Keep a run, with what was said of its circumstances."""
    kept = [{**row._asdict(), "values": dict(row.values)} for row in rows]
    path.write_text(json.dumps({"circumstances": said, "rows": kept}, indent=1) + "\n")
