"""Whether awkward lines come through whole: 1 for yes, 0 for no, by looking at what the manager wrote."""

import os
import re
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from benchmarks.bench import Bench
from benchmarks.formation import PRESENT, Formation
from benchmarks.peers import Manager
from benchmarks.rows import YES_OR_NO, Mark, Row

PATIENCE_S = 3.0
EXITS = 20
SPLIT_S = 0.05  # between two pieces
BURST = b"".join(b"burst %06d\n" % number for number in range(20_000))
BURST_LINE = re.compile(rb"burst \d{6}\n")
STAY = "; exec sleep 3600"
# What is looked for, the pieces a dyno writes with a pause between them, and whether it exits at once.
CASES: dict[str, tuple[list[bytes], list[bytes], bool]] = {
    "split writes": ([b"split-in-two\n"], [b"split-", b"in-two\n"], False),
    "last line without newline": ([b"no-newline"], [b"no-newline"], True),
    "burst, then exit": (BURST_LINE.findall(BURST), [BURST], True),
    "1 MiB line": ([b"x" * (1 << 20) + b"\n"], [b"x" * (1 << 20) + b"\n"], False),
    "invalid UTF-8 and NUL": ([b"a\xff\x00b\n"], [b"a\xff\x00b\n"], False),
    "split UTF-8": (["caf\u00e9\n".encode()], [b"caf\xc3", b"\xa9\n"], False),
    "CRLF": ([b"before\r\n", b"after\r\n"], [b"before\r\nafter\r\n"], False),
}
LAST_WORDS = f"last words of {EXITS} exits"


def measure(bench: Bench) -> Iterator[Row]:
    """A row a case."""
    for case, (wanted, pieces, leaves) in CASES.items():
        look = partial(survives, wanted=wanted, pieces=pieces, leaves=leaves)
        yield verdict(case, bench.turns(bench.prefixing, 1, look))
    yield verdict(LAST_WORDS, bench.turns(bench.prefixing, 1, last_words))
    bench.notes.append(
        f"Split: two dynos at once, {SPLIT_S * 1000:g} ms between the pieces. After 100 ms procman shows what there "
        "is, as it may be a prompt; if another dyno's line comes before the rest, two lines are made of it then."
    )


def verdict(case: str, found: dict[str, list[bool]]) -> Row:
    """1 for yes."""
    return Row(case, YES_OR_NO, {name: float(all(whole)) for name, whole in found.items()}, True, (Mark(1),))


def survives(manager: Manager, wanted: list[bytes], pieces: list[bytes], leaves: bool) -> bool:
    """Let dynos write the pieces, and look for what is wanted until it is there or patience ends.

    Two of them at the same time, where neither leaves: many managers end all when one does.
    """
    dynos = 1 if leaves else 2
    with tempfile.TemporaryDirectory(prefix="procman-bench-case-") as folder:
        paths = [Path(folder, str(index)) for index in range(len(pieces))]
        for path, piece in zip(paths, pieces, strict=True):
            path.write_bytes(piece)
        command = f"; sleep {SPLIT_S}; ".join(f"cat {path}" for path in paths) + ("" if leaves else STAY)
        with Path(folder, "log").open("w+b") as log:
            with Formation(manager, command, dynos, stdout=log.fileno()) as formation:
                deadline = time.monotonic() + PATIENCE_S
                while time.monotonic() < deadline and formation.process.poll() is None:
                    if holds(log.fileno(), wanted, dynos):
                        return True
                    time.sleep(0.02)
            return holds(log.fileno(), wanted, dynos)


def holds(log: int, wanted: list[bytes], dynos: int) -> bool:
    """Whether all is in the file, as often as there are dynos; oftener where one was started again."""
    said = os.pread(log, os.fstat(log).st_size, 0)
    if len(wanted) > 2:
        return set(BURST_LINE.findall(said)) == set(wanted)
    return all(said.count(word) >= dynos for word in wanted)


def last_words(manager: Manager) -> bool:
    """Twenty dynos that each say a word at SIGTERM."""
    command = "trap 'echo words-$((40+2)); exit 0' TERM; " + PRESENT.replace("exec sleep 3600", "sleep 3600 & wait")
    with tempfile.TemporaryFile() as log:
        with Formation(manager, command, EXITS, stdout=log.fileno()) as formation:
            formation.births(EXITS)
            time.sleep(0.2)  # each has got from its report to its wait
            formation.stop()
        return os.pread(log.fileno(), 1 << 20, 0).count(b"words-42") == EXITS
