"""How often a manager wakes up while nothing happens: the battery's view."""

import time
from collections.abc import Iterator

from benchmarks.bench import Bench
from benchmarks.formation import Formation
from benchmarks.kernel import cpu_seconds, manager_pids, wake_ups
from benchmarks.peers import Manager
from benchmarks.report import Row

DYNOS = 4
SECONDS = 10.0
SETTLE_S = 1.0


def measure(bench: Bench) -> Iterator[Row]:
    """Voluntary context switches of the manager, its threads and its helpers."""
    found = {manager.name: idle(manager) for manager in bench.present}
    yield Row("wake-ups when idle", "per second", {name: value[0] for name, value in found.items()}, mark="0")


def idle(manager: Manager) -> tuple[float, float]:
    """Wake-ups and CPU seconds, per second."""
    with Formation(manager, count=DYNOS) as formation:
        formation.births(DYNOS)
        time.sleep(SETTLE_S)
        pids = manager_pids(formation.pid)
        before, cpu = wake_ups(pids), cpu_seconds(pids)
        time.sleep(SECONDS)
        return (wake_ups(pids) - before) / SECONDS, (cpu_seconds(pids) - cpu) / SECONDS
