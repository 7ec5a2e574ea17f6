"""A dyno killed a thousand times in a row: nothing may pile up in the manager."""

import os
import signal
import time
from collections.abc import Iterator

from benchmarks.bench import Bench
from benchmarks.formation import Formation
from benchmarks.kernel import descriptors, rss_kib, zombies
from benchmarks.peers import Manager, restarting
from benchmarks.report import Row

KILLS = 1000
SETTLED = 50  # kills after which a program has allocated what it needs


def measure(bench: Bench) -> Iterator[Row]:
    """Growth of descriptors and memory between the 50th kill and the last, and zombies at the end."""
    kills = max(bench.count(KILLS), SETTLED + 50)
    found = {
        manager.name: killed_in_a_row(manager, kills)
        for manager in restarting(bench.present)
        if manager.name == "procman"
    }
    what = f"{kills:,} x kill -9"
    for index, (name, unit) in enumerate(
        (("descriptors more", "fds"), ("memory more", "KiB"), ("zombies", "processes"), ("each restart", "ms"))
    ):
        mark = ("0", "flat", "0", "3.9")[index]
        yield Row(f"{what}: {name}", unit, {key: value[index] for key, value in found.items()}, mark=mark)


def killed_in_a_row(manager: Manager, kills: int) -> tuple[float, float, float, float]:
    """fds, KiB of RSS, zombies, milliseconds a restart."""
    fds, memory, began = 0, 0, time.perf_counter()
    with Formation(manager) as formation:
        for number in range(kills + 1):
            (pid,) = formation.births(1)
            if number == SETTLED:
                time.sleep(0.1)
                fds, memory, began = descriptors(formation.pid), rss_kib(formation.pid), time.perf_counter()
            if number < kills:
                os.kill(pid, signal.SIGKILL)
        each = (time.perf_counter() - began) * 1000 / (kills - SETTLED)
        time.sleep(0.1)
        return (
            descriptors(formation.pid) - fds,
            rss_kib(formation.pid) - memory,
            zombies(formation.pid),
            each,
        )
