"""Whether lines survive: the flood of ``throughput`` again, every line judged."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks import lines
from benchmarks.bench import Bench
from benchmarks.formation import Formation
from benchmarks.peers import Manager
from benchmarks.report import Row, warn
from benchmarks.throughput import DYNOS, LINES, SCALED, writer

UNREAD = ("nf",)  # its prefix is not one that `lines.NAME` knows: no verdict is better than a wrong one


def measure(bench: Bench) -> Iterator[Row]:
    """Lines that did not come, and lines that are not what their dyno wrote next; 0 is the only good number."""
    missing: dict[str, float] = {}
    torn: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="procman-bench-lines-") as folder:
        for manager in bench.prefixing:
            if manager.name in UNREAD:
                continue
            count = max(bench.count(LINES) // SCALED.get(manager.name, 1), 1000)
            source = Path(folder, f"{count}.txt")
            verdict = judge(manager, source, lines.make(source, count))
            missing[manager.name], torn[manager.name] = verdict.missing(), verdict.torn
            if verdict.torn or verdict.missing():
                warn(f"{manager.name}: {verdict.missing()} lost, {verdict.torn} torn; first: {verdict.first_torn!r}")
    yield Row("lines lost in the flood", "lines", missing, mark="0")
    yield Row("lines merged, torn or out of order", "lines", torn, mark="0")
    bench.notes.append("Integrity: the same flood read by a slower reader that compares every line (back-pressure).")


def judge(manager: Manager, source: Path, expected: bytes) -> lines.Verdict:
    """Run it and read everything."""
    reader, writing = os.pipe()
    verdict = lines.Verdict(expected, DYNOS)
    with Formation(manager, writer(source), DYNOS, stdout=writing) as formation:
        os.close(writing)
        formation.open_gate()
        while verdict.ended < DYNOS and (chunk := os.read(reader, lines.TAKE)):
            verdict.read(chunk)
        lines.drain(reader)
    return verdict
