"""A dyno killed ten thousand times in a row: nothing may pile up in the manager."""

import os
import signal
import time
from collections.abc import Iterator

from benchmarks.bench import Bench, pick
from benchmarks.formation import Formation
from benchmarks.kernel import descriptors, rss_kib, zombies
from benchmarks.peers import Manager
from benchmarks.rows import OURS, Mark, Row

KILLS = 10_000
PEERS_KILLS = 1000
QUICK = ("pm2", "forever", "forego")  # who restarts at once: a thousand kills of the others take a thousand seconds
NOISE_KIB = 128  # a page or two that the allocator came to need


def measure(bench: Bench) -> Iterator[Row]:
    """Growth of descriptors and memory in the second half of the kills, and zombies at the end."""
    kills, fewer = (max(bench.count(count), 100) for count in (KILLS, PEERS_KILLS))
    managers = [manager for manager in bench.restarting if manager.name in (OURS, *QUICK)]
    found = bench.turns(managers, 1, lambda manager: killed(manager, kills if manager.name == OURS else fewer))
    named = (
        ("descriptors more", "fds", Mark(0)),
        ("memory more", "KiB", Mark(NOISE_KIB)),
        ("zombies", "processes", Mark(0)),
    )
    for index, (name, unit, mark) in enumerate(named):
        yield Row(f"{kills:,} restarts: {name}", unit, pick(found, index), marks=(mark,))
    yield Row(f"{kills:,} restarts: each", "ms", pick(found, 3))
    bench.notes.append(f"{kills:,} restarts: of procman; {fewer:,} of its peers. Growth is the second half's.")


def killed(manager: Manager, kills: int) -> tuple[float, float, float, float]:
    """fds, KiB of RSS, zombies, milliseconds a restart.

    All since half of the kills: in the first half a program allocates what it needs.
    """
    settled = kills // 2
    fds, memory, began = 0, 0, time.perf_counter()
    with Formation(manager, restart=True) as formation:
        for number in range(kills + 1):
            (pid,) = formation.births(1)
            if number == settled:
                time.sleep(0.1)
                fds, memory, began = descriptors(formation.pid), rss_kib(formation.pid), time.perf_counter()
            if number < kills:
                os.kill(pid, signal.SIGKILL)
        each = (time.perf_counter() - began) * 1000 / (kills - settled)
        time.sleep(0.1)
        more = descriptors(formation.pid) - fds, rss_kib(formation.pid) - memory
        return (*more, zombies(formation.pid), each)
