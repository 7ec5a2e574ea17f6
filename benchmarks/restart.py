"""How soon a killed dyno's successor runs, alone and with 199 others."""

import os
import signal
import time
from collections.abc import Iterator

from benchmarks.bench import Bench
from benchmarks.formation import Formation
from benchmarks.peers import Manager, restarting, shell_loop
from benchmarks.report import Row

KILLS = 15
CROWD = 200
ROUNDS = 5


def measure(bench: Bench) -> Iterator[Row]:
    """From kill -9 to the first act of the new process."""
    managers = [*restarting(bench.present), shell_loop()]
    yield Row(
        "a killed dyno's successor runs",
        "ms",
        {manager.name: one_killed(manager, bench.count(KILLS)) for manager in managers},
        mark="3.9",
    )
    crowd: dict[str, list[float]] = {}
    for _ in bench.times(ROUNDS):
        for manager in managers:
            crowd.setdefault(manager.name, []).append(crowd_killed(manager))
    yield Row(f"{CROWD} killed at once are back", "ms", crowd, mark="367")
    bench.notes.append(
        "Restart: until the new dyno's first act, a line into a named pipe. supervisord looks once a second. "
        "The floor is a shell that loops. honcho and foreman do not restart."
    )


def one_killed(manager: Manager, kills: int) -> list[float]:
    """Milliseconds of each of a row of kills."""
    took = []
    with Formation(manager) as formation:
        (pid,) = formation.births(1)
        for _ in range(kills):
            time.sleep(0.05)  # it has had its exec, and the manager is at rest
            began = time.perf_counter()
            os.kill(pid, signal.SIGKILL)
            (pid,) = formation.births(1)
            took.append((time.perf_counter() - began) * 1000)
    return took


def crowd_killed(manager: Manager) -> float:
    """Milliseconds until the last of the crowd is back."""
    with Formation(manager, count=CROWD) as formation:
        pids = formation.births(CROWD)
        time.sleep(0.2)
        began = time.perf_counter()
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        formation.births(CROWD)
        return (time.perf_counter() - began) * 1000
