"""``python -m benchmarks.soak``: a formation that ends and ends again, and writes all the while, for minutes.

Every dyno prints the next of its lines and exits, and is restarted at once, until it has lived often enough; somebody
follows the log through the control socket. Each line must come once and in order, and procman's memory and
descriptors must be at the end what they were at the beginning.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from benchmarks.kernel import rss_kib
from procman.control.client import Client
from procman.logs.store import Position
from procman.logs.tail import follow_from

NAME = "soak"
LINE = re.compile(rb" app\[(w\.\d+)\]: ([^\n]*)\n")
WARM = 5  # the first so-and-so-many-th part of the lines only warms up


class Verdict(NamedTuple):
    """``wrong``: lines that were not what their dyno wrote next.

    Memory in KiB, when warm and in the end; descriptors, when all dynos live their first life, and in the end.
    """

    restarts: int
    lines: int
    wrong: list[bytes]
    seconds: float
    warm: int
    memory: int
    held: int
    descriptors: int

    def __str__(self) -> str:
        return (
            f"{self.restarts} restarts and {self.lines} lines in {self.seconds:.0f} s; {len(self.wrong)} lines wrong; "
            f"memory {self.warm} KiB when warm, {self.memory} KiB in the end; "
            f"{self.held} descriptors when all began, {self.descriptors} in the end"
        )


def soak(folder: Path, env: Mapping[str, str], dynos: int, lives: int, lines: int) -> Verdict:
    """Let ``dynos`` live ``lives`` times each and print ``lines`` lines in each life."""
    prepare(folder, dynos, lives, lines)
    procman = [sys.executable, "-m", "procman"]
    began = time.monotonic()
    start = [*procman, "start", "--detach", "--name", NAME, "--restart", "always", "-m", f"w={dynos}"]
    subprocess.run(start, cwd=folder, env=env, check=True, stdout=subprocess.DEVNULL)
    home = Path(env["XDG_STATE_HOME"], "procman", "apps", NAME)
    path = str(home / "control.sock")
    try:
        with Client(path) as client:
            pid = int(client.call("ps")["pid"])
        held = begin(folder, dynos, pid)
        with Client(path) as client:
            log = follow_from(str(home / "log"), Position(1, 0))
            seen: Counter[bytes] = Counter()
            wrong: list[bytes] = []
            warm = 0
            for _ in client.ask("follow"):
                while batch := log.read():
                    wrong += judge(batch, seen)
                if not warm and seen.total() * WARM > dynos * lives * lines:
                    warm = rss_kib(pid)
                if seen[b"done"] == dynos:
                    break
            log.close()
        with Client(path) as client:
            rows = client.call("ps")["dynos"]
        restarts = sum(row["restarts"] for row in rows)
        count = seen.total() - seen[b"done"]
        seconds = time.monotonic() - began
        return Verdict(restarts, count, wrong, seconds, warm, rss_kib(pid), held, descriptors(pid))
    finally:
        stop = [*procman, "shutdown", "--name", NAME]
        subprocess.run(stop, cwd=folder, env=env, check=True, stdout=subprocess.DEVNULL)


def descriptors(pid: int) -> int:
    """How many the process holds."""
    return len(os.listdir(f"/proc/{pid}/fd"))


def prepare(folder: Path, dynos: int, lives: int, lines: int) -> None:
    """The Procfile, and where each dyno keeps the number of its life."""
    (folder / "Procfile").write_text(
        "w: read n <n.$DYNO; [ $n -gt 0 ] || cat begin.$DYNO; "
        f"[ $n -lt {lives} ] || {{ echo done; exec sleep 1000000; }}; "
        f"echo $((n + 1)) >n.$DYNO; exec seq $((n * {lines})) $((n * {lines} + {lines} - 1))\n"
    )
    for number in range(1, dynos + 1):
        (folder / f"n.w.{number}").write_text("0\n")
        os.mkfifo(folder / f"begin.w.{number}")


def begin(folder: Path, dynos: int, pid: int) -> int:
    """Let them begin together; how many descriptors the supervisor had just before, when it had all of them."""
    writers = [os.open(folder / f"begin.w.{number}", os.O_WRONLY) for number in range(1, dynos + 1)]
    held = descriptors(pid)
    for writer in writers:
        os.close(writer)
    return held


def judge(batch: bytes, seen: Counter[bytes]) -> list[bytes]:
    """Count lines by dyno; those that are not the next are returned."""
    wrong = []
    for dyno, word in LINE.findall(batch):
        if word == b"done":
            seen[b"done"] += 1
            continue
        if word != b"%d" % seen[dyno]:
            wrong.append(dyno + b": " + word)
        seen[dyno] += 1
    return wrong


def main() -> int:
    """Returns 1 if a line was wrong or memory grew."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("--dynos", type=int, default=10)
    parser.add_argument("--lives", type=int, default=1000, help="of each dyno")
    parser.add_argument("--lines", type=int, default=100, help="of each life")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="procman-soak-") as folder:
        env = {**os.environ, "XDG_STATE_HOME": f"{folder}/state"}
        verdict = soak(Path(folder), env, given.dynos, given.lives, given.lines)
    print(verdict)
    grown = verdict.memory > verdict.warm + 1024 or verdict.descriptors > verdict.held + 2
    return int(bool(verdict.wrong) or grown)


if __name__ == "__main__":
    sys.exit(main())
