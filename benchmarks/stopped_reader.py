"""What a manager's memory comes to when dynos write all they can and nobody reads."""

import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks import lines
from benchmarks.bench import Bench
from benchmarks.formation import Formation
from benchmarks.kernel import manager_pids, memory_mib
from benchmarks.peers import Manager
from benchmarks.rows import Mark, Row
from benchmarks.throughput import MANY, writer

LINES = 500_000
ROUNDS = 5
STOPPED_S = 2.0


def measure(bench: Bench) -> Iterator[Row]:
    """A row."""
    with tempfile.TemporaryDirectory(prefix="procman-bench-lines-") as folder:
        source = Path(folder, "lines.txt")
        lines.make(source, max(bench.count(LINES), 50_000))
        found = bench.turns(bench.prefixing, ROUNDS, lambda manager: memory(manager, source))
    yield Row(f"{MANY} dynos, nobody reads: memory", "MiB", found, marks=(Mark(32),))
    bench.notes.append(
        f"Nobody reads: proportional set size {STOPPED_S:g} s after {MANY} dynos began to write as fast as they can."
    )


def memory(manager: Manager, source: Path) -> float:
    """MiB of the manager and its helpers."""
    reader, writing = os.pipe()
    with Formation(manager, writer(source), MANY, stdout=writing) as formation:
        os.close(writing)
        formation.open_gate()
        time.sleep(STOPPED_S)
        taken = memory_mib(manager_pids(formation.pid))
        lines.drain(reader)
    return taken
