"""``python -m benchmarks``: install, measure, print, and write docs/benchmarks.md when everything was measured."""

import argparse
import signal
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import comparison, correctness, crowd, first_line, idle, integrity, kill_row, restart, throughput
from benchmarks.bench import Bench
from benchmarks.installation import install
from benchmarks.peers import known
from benchmarks.report import Row, circumstances, table, warn, write

MEASURES = {
    "first_line": first_line.measure,
    "throughput": throughput.measure,
    "integrity": integrity.measure,
    "correctness": correctness.measure,
    "restart": restart.measure,
    "kill_row": kill_row.measure,
    "crowd": crowd.measure,
    "idle": idle.measure,
}
SHORT = ("first_line", "restart")


def main() -> int:
    """Returns 1 if a measure failed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("measures", nargs="*", metavar="MEASURE", help=", ".join(MEASURES))
    parser.add_argument("--bin", type=Path, help="measure the programs in this folder instead of installing them")
    parser.add_argument("--effort", type=float, default=1.0, help="0.1: a tenth of the rounds and lines")
    parser.add_argument("--check", action="store_true", help="compare with the committed report; 1 if ratios fell")
    parser.add_argument("--short", action="store_true", help="a quick look: --check fails on breakage only")
    parser.add_argument("--peers", default="", help="only these beside procman: honcho,foreman,…")
    given = parser.parse_args()
    if given.short:
        given.effort, given.measures = 0.1, given.measures or list(SHORT)
    if unknown := set(given.measures) - set(MEASURES):
        parser.error(f"no measure {', '.join(sorted(unknown))}: there is {', '.join(MEASURES)}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # every `with` ends what it started
    with tempfile.TemporaryDirectory(prefix="procman-bench-venv-") as folder:
        bin_folder = given.bin.absolute() if given.bin else install(Path(folder))
        peers = known(bin_folder)
        wanted = {"procman", *given.peers.split(",")} if given.peers else {peer.name for peer in peers}
        taking_part = [peer for peer in peers if peer.name in wanted]
        bench = Bench(taking_part, str(bin_folder / "python"), given.effort, [])
        return run(bench, given.measures, given.check, given.short)


def run(bench: Bench, names: list[str], check: bool = False, short: bool = False) -> int:
    """Measure, print and keep."""
    for manager in bench.managers:
        if not manager.present:
            warn(f"MISSING PEER: {manager.name} is not installed, its column is empty")
    rows: list[Row] = []
    failed = False
    for name in names or MEASURES:
        began = time.monotonic()
        try:
            rows += MEASURES[name](bench)
        except (OSError, EOFError) as error:  # TimeoutError is an OSError
            failed = True
            warn(f"{name} FAILED: {error}")
        print(f"{name}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    print(circumstances(bench.managers), table(rows, bench.managers), *bench.notes, sep="\n")
    if check:
        lost = comparison.losses(rows, comparison.load())
        for sentence in lost:
            warn(f"SLOWER: {sentence}")
        return int(failed or (bool(lost) and not short))
    if not names and not failed and bench.effort == 1 and len(bench.managers) == len(known(Path())):
        comparison.dump(rows, circumstances(bench.managers))
        write(rows, bench.managers, bench.notes)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
