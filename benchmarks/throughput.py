"""Log throughput: four dynos that write as fast as they can, through a manager to a pipe and to a file."""

import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Self

from benchmarks import lines
from benchmarks.bench import Bench
from benchmarks.formation import WAIT_FOR_GATE, Formation
from benchmarks.kernel import cpu_seconds, manager_pids
from benchmarks.peers import App, Manager
from benchmarks.report import ALONE, Row, warn

DYNOS = 4
LINES = 1_000_000  # of one dyno
SCALED = {"honcho": 50, "foreman": 50, "nf": 50}  # they get so many times fewer lines, or this would take minutes
SCALED_ALONE = 1
ROUNDS = 5
WAIT_S = 0.002  # between looks at a file's size
LIMIT_S = 20.0  # for one run to a file
QUIET_S = 0.3  # a file that does not grow for so long may be complete


class Flow(NamedTuple):
    """What one run came to."""

    lines_per_s: float
    cpu_per_gb: float  # the manager's own CPU seconds per GB of the dynos' output
    mb_per_s: float


def measure(bench: Bench) -> Iterator[Row]:
    """Lines per second and CPU per GB, to a pipe and to a file; ``cat`` beside them, which tears lines."""
    with tempfile.TemporaryDirectory(prefix="procman-bench-lines-") as folder:
        full = bench.count(LINES)
        for place, run in (("pipe", to_pipe), ("file", to_file)):
            flows: dict[str, list[Flow]] = {}
            for _ in bench.times(ROUNDS):
                for manager in [*bench.prefixing, no_manager()]:
                    count = max(full // SCALED.get(manager.name, SCALED_ALONE), 1000)
                    source = Path(folder, f"{count}.txt")
                    if not source.exists():
                        lines.make(source, count)
                    try:
                        flows.setdefault(manager.name, []).append(run(manager, source, count))
                    except TimeoutError as error:
                        if manager.name == "procman":
                            raise
                        bench.notes.append(f"{manager.name}, to a {place}, stuck in an uncounted run: {error}")
                        warn(bench.notes[-1])
            what = f"4 dynos, lines to a {place}"
            mark = "50 x honcho; 3.9 M" if place == "pipe" else "7.9 M"
            yield Row(what, "lines/s", pick(flows, 0), more_is_better=True, mark=mark)
            yield Row(what, "MB/s", pick(flows, 2), more_is_better=True, mark="393" if place == "pipe" else "787")
            yield Row(what, "CPU-s/GB", {k: v for k, v in pick(flows, 1).items() if k != ALONE}, mark="0.94")
    bench.notes.append(
        f"Throughput: each of {DYNOS} dynos is a `cat` of {full:,} numbered lines of 100 bytes; honcho, foreman and nf "
        f"get {SCALED['honcho']} times fewer. From the moment all may write to the last line; bytes are the "
        "dynos', without prefixes. The floor is four `cat` on one pipe, which tear each other's lines."
    )


def pick(flows: dict[str, list[Flow]], index: int) -> dict[str, list[float]]:
    """One field of all flows."""
    return {name: [flow[index] for flow in found] for name, found in flows.items()}


def writer(source: Path) -> str:
    """The dyno: all lines, a last one that says so, and no exit, which would end everything in some managers.

    The end mark is written in octal, as managers that show the command must not show the mark.
    """
    return f"{WAIT_FOR_GATE}; cat {source}; printf '\\{ord(lines.END):03o}\\n'; exec sleep 3600"


def no_manager() -> Manager:
    """Four writers on one descriptor."""

    def argv(app: App) -> list[str]:
        return ["/bin/sh", "-c", " & ".join(f"/bin/sh {app.root}/dyno" for _ in range(app.count)) + " & wait"]

    return Manager(ALONE, "-", argv, False, False)


def to_pipe(manager: Manager, source: Path, count: int) -> Flow:
    """``start | reader``: the reader does what `cat >/dev/null` does, and sees the end."""
    reader, writing = os.pipe()
    with Formation(manager, writer(source), DYNOS, stdout=writing) as formation:
        os.close(writing)
        start = Start.of(formation)
        try:
            lines.read_to_the_end(reader, DYNOS, LIMIT_S)
            return start.flow(count, time.perf_counter())
        finally:
            lines.drain(reader)


def to_file(manager: Manager, source: Path, count: int) -> Flow:
    """``start >>file``: looks at its size only, until it rests and holds every dyno's last line.

    Appending, because two `cat` that write to one file otherwise copy within the kernel, over each other.
    """
    path = source.with_suffix(".log")
    log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC)
    try:
        with Formation(manager, writer(source), DYNOS, stdout=log) as formation:
            start = Start.of(formation)
            size, grown = 0, start.at
            while time.perf_counter() - start.at < LIMIT_S:
                time.sleep(WAIT_S)
                now, found = time.perf_counter(), os.fstat(log).st_size
                if found != size:
                    size, grown = found, now
                elif size and now - grown > QUIET_S and lines.ended_in_file(path) == DYNOS:
                    return start.flow(count, grown)
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
        return cls(at, cpu_seconds(pids), pids)

    def flow(self, count: int, ended: float) -> Flow:
        """What it came to, from the dynos' point of view."""
        cpu, took = cpu_seconds(self.pids) - self.cpu, ended - self.at
        written = DYNOS * count * lines.LINE_BYTES
        return Flow(DYNOS * count / took, cpu / (written / 1e9), written / took / 1e6)
