"""Whether lines survive: the flood of ``throughput`` again, every line judged."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks import lines
from benchmarks.bench import Bench, pick
from benchmarks.formation import Formation
from benchmarks.peers import Manager
from benchmarks.rows import Mark, Row
from benchmarks.throughput import LINES, MANY, lines_of, writer


def measure(bench: Bench) -> Iterator[Row]:
    """Lines that did not come, and lines that are not what their dyno wrote next; 0 is the only good number."""
    with tempfile.TemporaryDirectory(prefix="procman-bench-lines-") as folder:

        def run(manager: Manager) -> tuple[float, float]:
            count = lines_of(manager, bench.count(LINES))
            source = Path(folder, f"{count}.txt")
            verdict = judge(manager, source, lines.make(source, count))
            if verdict.torn or verdict.missing():
                lost = f"{verdict.missing()} lines lost, {verdict.torn} torn"
                bench.note(f"{manager.name}: {lost}; first: `{verdict.first_torn[:60].decode(errors='replace')}`")
            return verdict.missing(), verdict.torn

        found = bench.turns(bench.prefixing, 1, run)
    yield Row("lost in a flood", "lines", pick(found, 0), marks=(Mark(0),))
    yield Row("torn or out of order", "lines", pick(found, 1), marks=(Mark(0),))


def judge(manager: Manager, source: Path, expected: bytes) -> lines.Verdict:
    """Run it and read everything."""
    reader, writing = os.pipe()
    verdict = lines.Verdict(expected, MANY)
    with Formation(manager, writer(source), MANY, stdout=writing) as formation:
        os.close(writing)
        formation.open_gate()
        while verdict.ended < MANY and (chunk := os.read(reader, lines.TAKE)):
            verdict.read(chunk)
        lines.drain(reader)
    return verdict
