"""How often managers wake up while nothing happens, and what that costs: the battery's view."""

import time
from collections.abc import Iterator
from contextlib import ExitStack

from benchmarks.bench import Bench
from benchmarks.formation import Formation
from benchmarks.kernel import cpu_ns, manager_pids, wake_ups
from benchmarks.rows import OURS, Mark, Row

DYNOS = 100
SECONDS = 60
SETTLE_S = 12.0  # until threads that some managers keep for a while have gone


def measure(bench: Bench) -> Iterator[Row]:
    """Voluntary context switches and CPU of the managers, their threads and their helpers; of all at the same time."""
    dynos, seconds = max(bench.count(DYNOS), 10), max(bench.count(SECONDS), 3)
    pids: dict[str, list[int]] = {}
    with ExitStack() as stack:
        for manager in bench.able(dynos):
            formation = stack.enter_context(Formation(manager, count=dynos))
            try:
                formation.births(dynos)
                pids[manager.name] = manager_pids(formation.pid)
            except TimeoutError as error:
                if manager.name == OURS:
                    raise
                bench.note(f"{manager.name} was left out: {error}")
        time.sleep(SETTLE_S)
        before = {name: (wake_ups(found), cpu_ns(found)) for name, found in pids.items()}
        time.sleep(seconds)
        woken = {name: float(wake_ups(found) - before[name][0]) for name, found in pids.items()}
        burnt = {name: (cpu_ns(found) - before[name][1]) / 1e6 for name, found in pids.items()}
    yield Row(f"{dynos} dynos, {seconds} s: wake-ups", "times", woken, marks=(Mark(0),))
    yield Row(f"{dynos} dynos, {seconds} s: CPU", "ms", burnt, marks=(Mark(0),))
    bench.notes.append("Idle: voluntary context switches and CPU of managers and their helpers, at the same time.")
