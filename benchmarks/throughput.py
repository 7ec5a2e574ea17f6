"""Log throughput: dynos that write as fast as they can, through a manager to a pipe and to a file."""

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple, Self

from benchmarks import lines
from benchmarks.apps import App
from benchmarks.bench import Bench, pick
from benchmarks.formation import WAIT_FOR_GATE, Formation
from benchmarks.kernel import cpu_ns, manager_pids
from benchmarks.peers import Manager
from benchmarks.rows import BEST_WHOLE, FLOOR, OURS, Mark, Row

MANY = 4
LINES = 1_000_000  # of one dyno
FEWER = {"honcho": 50, "foreman": 50, "nf": 20, "concurrently": 4}  # times, or this would take minutes
FEWER_OTHERS = 10
ROUNDS = 5
WAIT_S = 0.002  # between looks at a file's size
LIMIT_S = 20.0  # for one run to a file
QUIET_S = 0.3  # a file that does not grow for so long may be complete
MARKS = {"pipe": (Mark(12, BEST_WHOLE), Mark(0.3, FLOOR)), "file": (Mark(20, BEST_WHOLE), Mark(0.45, FLOOR))}
CPU = (Mark(1.2),)


class Flow(NamedTuple):
    """What one run came to; CPU is the manager's own, per GB of the dynos' output."""

    mb_per_s: float
    cpu_per_gb: float


def measure(bench: Bench) -> Iterator[Row]:
    """Bytes a second and CPU per GB, to a pipe and to a file; ``cat`` beside them, which tears lines."""
    full = bench.count(LINES)
    with tempfile.TemporaryDirectory(prefix="procman-bench-lines-") as folder:
        for place, run in (("pipe", to_pipe), ("file", to_file)):
            for dynos in (1, MANY):
                flood = partial(flow, run, Path(folder), full, dynos)
                flows = bench.turns([*bench.prefixing, no_manager()], ROUNDS, flood)
                what = f"{dynos} dyno{'s' if dynos > 1 else ''}, lines to a {place}"
                yield Row(what, "MB/s", pick(flows, 0), True, MARKS[place], "cat")
                flows.pop(FLOOR)
                yield Row(what, "CPU-s/GB", pick(flows, 1), marks=CPU)
    bench.notes.append(
        f"Throughput: each dyno is a `cat` of {full:,} numbered lines of 100 bytes, for the peers 4 to 50 times "
        "fewer. From the moment all may write to the last line; bytes are the dynos', without prefixes. The floor is "
        "`cat` without a manager: several on one pipe or file tear each other's lines."
    )


def flow(run: "Run", folder: Path, full: int, dynos: int, manager: Manager) -> Flow:
    """One run, with as many lines as the manager can take."""
    count = lines_of(manager, full)
    source = folder / f"{count}.txt"
    if not source.exists():
        lines.make(source, count)
    return run(manager, source, count, dynos)


def lines_of(manager: Manager, full: int) -> int:
    """As many as it can take in a second or so."""
    fewer = 1 if manager.name in (OURS, FLOOR) else FEWER.get(manager.name, FEWER_OTHERS)
    return max(full // fewer, 1000)


Run = Callable[[Manager, Path, int, int], Flow]


def writer(source: Path) -> str:
    """The dyno: all lines, a last one that says so, and no exit, which would end everything in some managers.

    The end mark is written in octal, as managers that show the command must not show the mark.
    """
    return f"{WAIT_FOR_GATE}; cat {source}; printf '\\{ord(lines.END):03o}\\n'; exec sleep 3600"


def no_manager() -> Manager:
    """Dynos that write on one descriptor."""

    def argv(app: App) -> list[str]:
        return ["/bin/sh", "-c", " & ".join([f"/bin/sh {app.dyno}"] * app.count) + " & wait"]

    return Manager(FLOOR, "-", argv)


def to_pipe(manager: Manager, source: Path, count: int, dynos: int) -> Flow:
    """``start | reader``: the reader does what `cat >/dev/null` does, and sees the end."""
    reader, writing = os.pipe()
    with Formation(manager, writer(source), dynos, stdout=writing) as formation:
        os.close(writing)
        start = Start.of(formation)
        try:
            lines.read_to_the_end(reader, dynos, LIMIT_S)
            return start.flow(count * dynos, time.perf_counter())
        finally:
            lines.drain(reader)


def to_file(manager: Manager, source: Path, count: int, dynos: int) -> Flow:
    """``start >>file``: looks at its size only, until it rests and holds every dyno's last line.

    Appending, because two `cat` that write to one file otherwise copy within the kernel, over each other.
    """
    path = source.with_suffix(".log")
    log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC)
    try:
        with Formation(manager, writer(source), dynos, stdout=log) as formation:
            start = Start.of(formation)
            size, grown = 0, start.at
            while time.perf_counter() - start.at < LIMIT_S:
                time.sleep(WAIT_S)
                now, found = time.perf_counter(), os.fstat(log).st_size
                if found != size:
                    size, grown = found, now
                elif size and now - grown > QUIET_S and lines.ended_in_file(path) == dynos:
                    return start.flow(count * dynos, grown)
            raise TimeoutError(f"the last lines did not come; {formation.complaint()}")
    finally:
        os.close(log)
        path.unlink()


class Start(NamedTuple):
    """The moment the gate opened, and what the manager had used until then."""

    at: float
    cpu: float
    pids: list[int]

    @classmethod
    def of(cls, formation: Formation) -> Self:
        """Open the gate."""
        at = formation.open_gate()
        pids = manager_pids(formation.pid)
        return cls(at, cpu_ns(pids) / 1e9, pids)

    def flow(self, count: int, ended: float) -> Flow:
        """What it came to, from the dynos' point of view."""
        cpu, written = cpu_ns(self.pids) / 1e9 - self.cpu, count * lines.LINE_BYTES
        return Flow(written / (ended - self.at) / 1e6, cpu / (written / 1e9))
