"""500 dynos: the time until all run, the manager's memory meanwhile, and the time until none is left."""

import math
import time
from collections.abc import Iterator

from benchmarks.bench import Bench, pick
from benchmarks.formation import Formation
from benchmarks.kernel import manager_pids, memory_mib
from benchmarks.peers import Manager
from benchmarks.rows import BEST, Mark, Row

DYNOS = 500
ROUNDS = 5
EACH_S = 0.0022  # hivemind's 1.2-fold, where hivemind is not there


def measure(bench: Bench) -> Iterator[Row]:
    """Start, memory, stop."""
    dynos = bench.count(DYNOS)
    found = bench.turns(bench.able(DYNOS), ROUNDS, lambda manager: raise_and_stop(bench, manager, dynos))
    hivemind = Mark(1.2, "hivemind") if "hivemind" in found else Mark(EACH_S * dynos)
    yield Row(f"{dynos} dynos: all run", "s", pick(found, 0), marks=(hivemind,))
    yield Row(f"{dynos} dynos: memory", "MiB", pick(found, 1), marks=(Mark(14), Mark(1, BEST)))
    yield Row(f"{dynos} dynos: from SIGTERM until all have gone", "s", pick(found, 2), marks=(Mark(1),))
    bench.notes.append("Memory: proportional set size of the manager and its helpers, dynos not counted.")


def raise_and_stop(bench: Bench, manager: Manager, dynos: int) -> tuple[float, float, float]:
    """Seconds, MiB, seconds."""
    with Formation(manager, count=dynos) as formation:
        formation.births(dynos)
        up = time.perf_counter() - formation.started
        time.sleep(0.5)
        memory = memory_mib(manager_pids(formation.pid))
        down = formation.stop()
        if formation.strays:
            bench.note(f"{manager.name}, told to stop with {dynos}, left dynos behind")
    return up, memory, math.nan if formation.strays else down
