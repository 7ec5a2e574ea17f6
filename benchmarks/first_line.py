"""How soon a Procfile's first line is on stdout: what every `start` costs before anything happens."""

import os
import subprocess
import time
from collections.abc import Iterator

from benchmarks.apps import App
from benchmarks.bench import Bench, pick
from benchmarks.formation import Formation
from benchmarks.lines import drain
from benchmarks.peers import Manager
from benchmarks.rows import FLOOR, Mark, Row

ROUNDS = 11
TYPES = 10
GREETING = b"hello from the dyno"
MARKS = (Mark(0.6, "honcho"), Mark(2.5, FLOOR))
BARE = "python -c pass"


def measure(bench: Bench) -> Iterator[Row]:
    """The manager's first line of any kind, and the dyno's; beside a bare interpreter."""
    floor = Manager(FLOOR, "-", lambda _: [bench.python, "-c", "pass"])
    for types in (1, TYPES):
        found = bench.turns([*bench.prefixing, floor], ROUNDS, lambda manager, types=types: lines(manager, types))
        of = f"{types} process types" if types > 1 else "1 process type"
        yield Row(f"{of}: first line of any kind", "ms", pick(found, 0), marks=MARKS, floor=BARE)
        yield Row(f"{of}: first line of a dyno", "ms", pick(found, 1), marks=MARKS, floor=BARE)


def lines(manager: Manager, types: int) -> tuple[float, float]:
    """Milliseconds from the manager's spawn to its first byte, and to a dyno's line."""
    if manager.name == FLOOR:
        took = bare(manager)
        return took, took
    reader, writer = os.pipe()
    command = f"echo {GREETING.decode()}; exec sleep 3600"
    with Formation(manager, command, types, stdout=writer, apart=types > 1) as formation:
        os.close(writer)
        seen = os.read(reader, 65_536)
        first = time.perf_counter() - formation.started
        while GREETING + b"\n" not in seen:
            chunk = os.read(reader, 65_536)
            if not chunk:
                raise EOFError(f"{manager.name} ended without the dyno's line: {seen!r}")
            seen += chunk
        greeted = time.perf_counter() - formation.started
        drain(reader)
    return first * 1000, greeted * 1000


def bare(manager: Manager) -> float:
    """Milliseconds of an interpreter that does nothing, from spawn to end."""
    began = time.perf_counter()
    subprocess.run(manager.argv(App.nowhere()), check=True)
    return (time.perf_counter() - began) * 1000
