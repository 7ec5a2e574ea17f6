"""How long a line takes through a manager, at a thousand lines a second: what somebody who watches waits for."""

import os
import sys
import time
from collections.abc import Iterator
from statistics import quantiles

from benchmarks.bench import Bench, pick
from benchmarks.formation import WAIT_FOR_GATE, Formation
from benchmarks.lines import drain
from benchmarks.peers import Manager
from benchmarks.rows import BEST, Mark, Row
from benchmarks.throughput import no_manager

LINES = 2000
ROUNDS = 5
END = b"the end"
# A line each millisecond, with the moment of its writing.
WRITER = """\
import os, time
begin = time.monotonic_ns()
for number in range({count}):
    left = begin + number * 1_000_000 - time.monotonic_ns()
    if left > 0:
        time.sleep(left / 1e9)
    os.write(1, b"at=%d\\n" % time.monotonic_ns())
os.write(1, b"the end\\n")
time.sleep(3600)
"""


def measure(bench: Bench) -> Iterator[Row]:
    """The median and the 99th percentile of each round; their medians."""
    count = max(bench.count(LINES), 200)
    managers = [*bench.prefixing, no_manager()]
    found = bench.turns(managers, ROUNDS, lambda manager: quantiles_us(manager, count))
    yield Row("a line at 1,000 lines/s, p50", "µs", pick(found, 0), marks=(Mark(1.2, BEST), Mark(100)), floor="a pipe")
    yield Row("a line at 1,000 lines/s, p99", "µs", pick(found, 1), marks=(Mark(3000),), floor="a pipe")


def quantiles_us(manager: Manager, count: int) -> tuple[float, float]:
    """Microseconds from a dyno's write to the reader's hands: median, 99th percentile."""
    reader, writer = os.pipe()
    command = f"{WAIT_FOR_GATE}; exec {sys.executable} -I -S $PWD/writer.py"
    with Formation(manager, command, stdout=writer) as formation:
        os.close(writer)
        (formation.root / "writer.py").write_text(WRITER.format(count=count))
        formation.open_gate()
        took = read(reader)
        drain(reader)
    if len(took) < count * 0.9:
        raise EOFError(f"{len(took)} of {count} lines came")
    percentiles = quantiles(took, n=100)
    return percentiles[49] / 1000, percentiles[98] / 1000


def read(reader: int) -> list[int]:
    """Nanoseconds that each line took."""
    took, rest = [], b""
    while END not in rest:
        chunk = os.read(reader, 65_536)
        now = time.monotonic_ns()
        if not chunk:
            break
        *lines, rest = (rest + chunk).split(b"\n")
        took += [now - int(line.rpartition(b"at=")[2]) for line in lines if b"at=" in line]
        if any(END in line for line in lines):
            break
    return took
