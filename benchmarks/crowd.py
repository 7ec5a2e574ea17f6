"""500 dynos: the time until all run, the manager's memory meanwhile, and the time until none is left."""

import time
from collections.abc import Iterator

from benchmarks.bench import Bench
from benchmarks.formation import Formation
from benchmarks.kernel import manager_pids, memory_mib
from benchmarks.peers import Manager
from benchmarks.report import Row, warn

DYNOS = 500
ROUNDS = 5


def measure(bench: Bench) -> Iterator[Row]:
    """Start, memory, stop."""
    found: dict[str, list[tuple[float, float, float]]] = {}
    dynos = bench.count(DYNOS)
    for _ in bench.times(ROUNDS):
        for manager in bench.present:
            found.setdefault(manager.name, []).append(raise_and_stop(manager, dynos))
    for index, (name, unit, mark) in enumerate(
        (("all run", "s", ""), ("memory of the manager", "MiB", "8"), ("all stopped", "s", ""))
    ):
        values = {key: [numbers[index] for numbers in value] for key, value in found.items()}
        yield Row(f"{dynos} dynos: {name}", unit, values, mark=mark)
    bench.notes.append("Memory: proportional set size of the manager and its helpers, dynos not counted.")


def raise_and_stop(manager: Manager, dynos: int) -> tuple[float, float, float]:
    """Seconds, MiB, seconds."""
    with Formation(manager, count=dynos) as formation:
        formation.births(dynos)
        up = time.perf_counter() - formation.started
        time.sleep(0.5)
        memory = memory_mib(manager_pids(formation.pid))
        down = formation.stop()
        if formation.strays:
            warn(f"{manager.name} left {formation.strays} of {dynos} dynos behind")
    return up, memory, down
