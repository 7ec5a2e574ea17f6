"""One dyno and ten: the time until none is left, and the manager's memory."""

import math
import time
from collections.abc import Iterator
from functools import partial

from benchmarks.bench import Bench, pick
from benchmarks.formation import Formation
from benchmarks.kernel import manager_pids, memory_mib
from benchmarks.peers import Manager
from benchmarks.rows import Mark, Row

ROUNDS = 5
STOP_MS = {1: 10, 10: 20}
TEN = 10
MEMORY_MIB = 12


def measure(bench: Bench) -> Iterator[Row]:
    """Stop, and memory with ten."""
    for dynos, mark in STOP_MS.items():
        found = bench.turns(bench.able(dynos), ROUNDS, partial(rest_and_stop, bench, dynos))
        plural = "s" if dynos > 1 else ""
        yield Row(f"{dynos} dyno{plural}: from SIGTERM until all have gone", "ms", pick(found, 0), marks=(Mark(mark),))
        if dynos == TEN:
            yield Row(f"{dynos} dynos: memory", "MiB", pick(found, 1), marks=(Mark(MEMORY_MIB),))


def rest_and_stop(bench: Bench, dynos: int, manager: Manager) -> tuple[float, float]:
    """Milliseconds, MiB."""
    with Formation(manager, count=dynos) as formation:
        formation.births(dynos)
        time.sleep(0.3)
        memory = memory_mib(manager_pids(formation.pid))
        took = formation.stop()
        if formation.strays:
            bench.note(f"{manager.name}, told to stop with {dynos}, left dynos behind")
    return math.nan if formation.strays else took * 1000, memory
