"""How soon a one-line Procfile's first line is on stdout: what every `start` costs before anything happens."""

import os
import subprocess
import time
from collections.abc import Iterator

from benchmarks.bench import Bench
from benchmarks.formation import Formation
from benchmarks.lines import drain
from benchmarks.peers import Manager
from benchmarks.report import ALONE, Row

ROUNDS = 21
GREETING = b"hello from the dyno"


def measure(bench: Bench) -> Iterator[Row]:
    """The manager's first line of any kind, and the dyno's; beside a bare interpreter that prints."""
    anything: dict[str, list[float]] = {}
    dyno: dict[str, list[float]] = {}
    for _ in bench.times(ROUNDS):
        for manager in bench.prefixing:
            first, greeting = seconds_to_lines(manager)
            anything.setdefault(manager.name, []).append(first * 1000)
            dyno.setdefault(manager.name, []).append(greeting * 1000)
        dyno.setdefault(ALONE, []).append(bare(bench.python) * 1000)
    yield Row("first line on stdout", "ms", {**anything, ALONE: dyno[ALONE]}, mark="sooner than honcho; 14")
    yield Row("first line of the dyno", "ms", dyno, mark="sooner than honcho")
    bench.notes.append("First line: the floor is a bare `python -c 'print()'`, from spawn to its line.")


def seconds_to_lines(manager: Manager) -> tuple[float, float]:
    """From the manager's spawn to its first byte, and to the dyno's line."""
    reader, writer = os.pipe()
    with Formation(manager, f"echo {GREETING.decode()}; exec sleep 3600", stdout=writer) as formation:
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
    return first, greeted


def bare(python: str) -> float:
    """The same for an interpreter that only prints."""
    began = time.perf_counter()
    with subprocess.Popen([python, "-c", "print('hello')"], stdout=subprocess.PIPE) as process:
        assert process.stdout
        process.stdout.readline()
        took = time.perf_counter() - began
        process.communicate()
        return took
