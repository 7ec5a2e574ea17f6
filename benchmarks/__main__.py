"""Install, measure, print; a whole run also writes docs/benchmarks.md, its plots and benchmarks/report.json."""

import argparse
import os
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import NamedTuple

from benchmarks import (
    asking,
    comparison,
    correctness,
    crowd,
    few,
    first_line,
    idle,
    installation,
    integrity,
    kill_row,
    latency,
    report,
    restart,
    stopped_reader,
    throughput,
)
from benchmarks.bench import Bench
from benchmarks.circumstances import circumstances, settle
from benchmarks.peers import Manager, readers
from benchmarks.rows import OURS, Row, warn
from benchmarks.services import own_ways

SECTIONS = {
    "Start": {"first_line": first_line.measure},
    "Logs": {
        "throughput": throughput.measure,
        "latency": latency.measure,
        "stopped_reader": stopped_reader.measure,
    },
    report.LINES: {"integrity": integrity.measure, "correctness": correctness.measure},
    "Stop, and memory": {"few": few.measure},
    "Restart": {"restart": restart.measure, "kill_row": kill_row.measure},
    "500 dynos": {"crowd": crowd.measure},
    "Idle": {"idle": idle.measure},
    "Control": {"asking": asking.measure},
}
MEASURES = {name: (section, run) for section, own in SECTIONS.items() for name, run in own.items()}
SHORT = ("first_line", "restart", "asking")
BLUNDER = 0.75  # of a ratio: what even a short check on a busy machine may call a loss


class Measured(NamedTuple):
    """What came of some measures."""

    rows: list[Row]
    failed: list[str]


def main() -> int:
    """Returns 1 if a measure failed, or, with ``--check``, if procman has lost ground."""
    given = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # every `with` ends what it started
    places = installation.found(given.bin.absolute()) if given.bin else installation.install()
    everybody = [*readers(places), *own_ways(places)]
    managers = taking_part(everybody, given.peers)
    bench = Bench(managers, str(places.procman / "python"), given.effort, [])
    names = given.measures or list(MEASURES)
    load = os.getloadavg()[0] if given.short else settle()
    rows, failed = measured(bench, names)
    missing = [manager.name for manager in managers if not manager.present]
    run = report.Run(circumstances(managers, load), rows, bench.notes, failed, missing)
    print(report.text(run, {}))
    if given.check:
        return int(checked(bench, names, rows, BLUNDER if given.short else comparison.TOLERATED) or bool(failed))
    if not given.measures and not given.peers and given.effort == 1:
        comparison.dump(run)
        report.write(run)
    return int(bool(failed))


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("measures", nargs="*", metavar="MEASURE", help=", ".join(MEASURES))
    parser.add_argument("--bin", type=Path, help="measure the programs in this folder instead of installing them")
    parser.add_argument("--effort", type=float, default=1.0, help="0.1: a tenth of the rounds and lines")
    parser.add_argument("--check", action="store_true", help="compare with the last report; 1 if ratios fell, twice")
    parser.add_argument("--short", action="store_true", help="a quick look, for which only a blunder is a loss")
    parser.add_argument("--peers", default="", help="only these beside procman: honcho,foreman,…")
    given = parser.parse_args()
    if given.short:
        given.effort, given.measures = 0.2, given.measures or list(SHORT)
    if unknown := set(given.measures) - set(MEASURES):
        parser.error(f"no measure {', '.join(sorted(unknown))}: there is {', '.join(MEASURES)}")
    return given


def taking_part(everybody: list[Manager], peers: str) -> list[Manager]:
    """procman, and its peers or those of them that are named."""
    wanted = {OURS, *peers.split(",")} if peers else {manager.name for manager in everybody}
    return [manager for manager in everybody if manager.name in wanted]


def measured(bench: Bench, names: list[str]) -> Measured:
    """Every measure; one that fails keeps the rows that it had, and stops no other."""
    found = Measured([], [])
    for name in names:
        began = time.monotonic()
        section, measure = MEASURES[name]
        try:
            for row in measure(bench):
                found.rows.append(row._replace(section=section))
        except Exception as error:  # whatever it is, what the others found is kept
            traceback.print_exc()
            found.failed.append(f"{name} ({type(error).__name__}: {error})")
        print(f"{name}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    return found


def checked(bench: Bench, names: list[str], rows: list[Row], tolerated: float) -> bool:
    """Say what was lost since the last report; whether it is lost as well when that is measured again."""
    before = comparison.load()
    lost = comparison.losses(rows, before, tolerated)
    if lost:
        sections = {loss.row.section for loss in lost}
        again = measured(bench, [name for name in names if MEASURES[name][0] in sections])
        named = {(loss.row.measure, loss.row.unit) for loss in lost}
        lost = comparison.losses(again.rows, before, tolerated)
        lost = [loss for loss in lost if (loss.row.measure, loss.row.unit) in named]
    for loss in lost:
        warn(f"SLOWER: {loss.sentence}")
    return bool(lost)


if __name__ == "__main__":
    sys.exit(main())
