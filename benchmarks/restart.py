"""How soon a killed dyno's successor runs, alone and with 199 others."""

import os
import shlex
import signal
import time
from collections.abc import Iterator

from benchmarks.apps import App
from benchmarks.bench import Bench
from benchmarks.formation import Formation
from benchmarks.peers import Manager
from benchmarks.rows import BEST, FLOOR, Mark, Row

KILLS = 3  # of a round
REST_S = 0.3  # for a manager to do what it has put off until its dynos run
CROWD = 200
ROUNDS = 5
LOOP = "a shell that loops"


def measure(bench: Bench) -> Iterator[Row]:
    """From kill -9 to the first act of the new process."""
    found = bench.turns([*bench.restarting, shell_loop()], ROUNDS, one_killed)
    each = {name: [each for kills in rounds for each in kills] for name, rounds in found.items()}
    marks = (Mark(1.5, BEST), Mark(1, FLOOR, 2.5))
    yield Row("until a killed dyno's successor runs", "ms", each, marks=marks, floor=LOOP)
    able = [manager for manager in bench.restarting if manager.most >= CROWD]
    crowd = bench.turns([*able, shell_loop()], ROUNDS, crowd_killed)
    yield Row(f"until {CROWD} killed at once are back", "ms", crowd, marks=(Mark(1.2, BEST),), floor=LOOP)
    bench.notes.append(
        "Restart: until the new dyno's first act, a line into a named pipe. supervisord looks once a second, circus "
        "every five, s6 and runit wait for a second by design. Who is not listed does not restart."
    )


def shell_loop() -> Manager:
    """The floor of a restart: a shell that starts the dyno again and again."""

    def argv(app: App) -> list[str]:
        one = f"while :; do /bin/sh {shlex.quote(str(app.dyno))}; done"
        return ["/bin/sh", "-c", " & ".join(f"({one})" for _ in range(app.count)) + " & wait"]

    return Manager(FLOOR, "sh", argv, restarts=True)


def one_killed(manager: Manager) -> list[float]:
    """Milliseconds of each of a row of kills."""
    took = []
    with Formation(manager, restart=True) as formation:
        (pid,) = formation.births(1)
        time.sleep(REST_S)
        for _ in range(KILLS):
            time.sleep(0.05)  # it has had its exec, and the manager is at rest
            began = time.perf_counter()
            os.kill(pid, signal.SIGKILL)
            (pid,) = formation.births(1)
            took.append((time.perf_counter() - began) * 1000)
    return took


def crowd_killed(manager: Manager) -> float:
    """Milliseconds until the last of the crowd is back."""
    with Formation(manager, count=CROWD, restart=True) as formation:
        pids = formation.births(CROWD)
        time.sleep(REST_S)
        began = time.perf_counter()
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        formation.births(CROWD)
        return (time.perf_counter() - began) * 1000
