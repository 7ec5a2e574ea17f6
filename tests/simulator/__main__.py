"""``python -m tests.simulator``: plays many schedules, or tells one as a story (``--seed N``)."""

import argparse
import gc
import os
import signal
import sys
import time
import traceback
from collections import Counter
from multiprocessing import Pool
from typing import NamedTuple

from tests.simulator.schedule import draw
from tests.simulator.shrink import shrink, written
from tests.simulator.world import World, failure_of

BATCH = 100


class Tally(NamedTuple):
    """What a batch of seeds has shown. ``failures``: seeds, and why."""

    schedules: int
    turns: int
    happened: Counter[str]
    effects: Counter[str]
    failures: list[tuple[int, str]]


def play_batch(seeds: range) -> Tally:
    """In one process."""
    gc.collect()
    gc.disable()  # a fifth of the time, for worlds that are all garbage in a moment
    turns, happened, effects, failures = 0, Counter[str](), Counter[str](), []
    for seed in seeds:
        world = World(draw(seed))
        if why := failure_of(world):
            failures.append((seed, why))
        turns += world.turns
        happened += world.kernel.faults
        effects += world.effects
    return Tally(len(seeds), turns, happened, effects, failures)


def leave_signals() -> None:
    """In one of several processes: Ctrl-C is for the one that waits for them."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def added(one: Tally, other: Tally) -> Tally:
    """Both."""
    return Tally(*(mine + theirs for mine, theirs in zip(one, other, strict=True)))


def play_many(first: int, count: int, processes: int) -> int:
    """Play that many, and say what came of it; the exit status."""
    began = time.monotonic()
    total = Tally(0, 0, Counter(), Counter(), [])
    batches = [range(at, min(at + BATCH, first + count)) for at in range(first, first + count, BATCH)]
    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, signal.default_int_handler)
    try:
        with Pool(processes, initializer=leave_signals) as pool:
            for tally in pool.imap(play_batch, batches):
                total = added(total, tally)
                for seed, why in tally.failures:
                    print(f"seed {seed}: {why}", flush=True)
    except KeyboardInterrupt:
        print("interrupted: what was played until then")
    count, seconds = max(total.schedules, 1), time.monotonic() - began
    print(f"{total.schedules} schedules, seeds {first} to {first + count - 1}, {total.turns} turns of the loop")
    print("what happened: " + ", ".join(f"{name} {number}" for name, number in sorted(total.happened.items())))
    print("what procman did: " + ", ".join(f"{name} {number}" for name, number in sorted(total.effects.items())))
    print(f"{len(total.failures)} failed; {seconds:.0f} s, {seconds * processes / count * 1000:.1f} ms a schedule")
    if total.failures:
        explain(min(total.failures))
    return 1 if total.failures else 0


def explain(failure: tuple[int, str]) -> None:
    """The least of a schedule that fails."""
    seed, why = failure
    print(f"the least of seed {seed} that fails; its story: python -m tests.simulator --seed {seed}", flush=True)
    print(written(shrink(draw(seed), why)))


def tell(seed: int) -> int:
    """The story of one seed; the exit status."""
    print(written(draw(seed)))
    world = World(draw(seed), lambda now, words: print(f"{now:12.3f} {words}"))
    try:
        world.play()
    except Exception:
        traceback.print_exc(file=sys.stdout)
        return 1
    print("everything held")
    return 0


def main() -> int:
    """See above."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulator", description=__doc__)
    parser.add_argument("--schedules", type=int, default=2000)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--seed", type=int, help="tell the story of this one")
    given = parser.parse_args()
    if given.seed is not None:
        return tell(given.seed)
    return play_many(given.first, given.schedules, given.processes)


if __name__ == "__main__":
    sys.exit(main())
