"""What it takes to ask a running formation what runs: `procman ps`, and the like of the peers."""

import subprocess
import time
from collections.abc import Iterator

from benchmarks.apps import App
from benchmarks.bench import Bench
from benchmarks.formation import Formation
from benchmarks.peers import Manager
from benchmarks.rows import FLOOR, Mark, Row

ROUNDS = 5
ASKED = 5  # times of a round
LIMIT_S = 20.0


def measure(bench: Bench) -> Iterator[Row]:
    """Beside an interpreter that imports click, which is the least that a command of this kind can do."""
    floor = Manager(FLOOR, "-", lambda _: [], ask=lambda _: [bench.python, "-c", "import click"])
    asked = [manager for manager in bench.present if manager.ask]
    found = bench.turns([*asked, floor], ROUNDS, ask)
    each = {name: [each for times in rounds for each in times] for name, rounds in found.items()}
    yield Row("`procman ps`, and the like", "ms", each, marks=(Mark(1.5, FLOOR),), floor="import click")


def ask(manager: Manager) -> list[float]:
    """Milliseconds of each of some questions to a formation of one dyno."""
    if manager.name == FLOOR:
        return [timed(manager.ask(App.nowhere()) if manager.ask else [], None, "/") for _ in range(ASKED)]
    with Formation(manager) as formation:
        formation.births(1)
        time.sleep(0.5)  # the manager's own socket is there, and it is at rest
        question = manager.ask(formation.app) if manager.ask else []
        return [timed(question, formation.environment, str(formation.root)) for _ in range(ASKED)]


def timed(question: list[str], environment: dict[str, str] | None, folder: str) -> float:
    """Milliseconds of a command that must succeed."""
    began = time.perf_counter()
    subprocess.run(question, check=True, capture_output=True, cwd=folder, env=environment, timeout=LIMIT_S)
    return (time.perf_counter() - began) * 1000
