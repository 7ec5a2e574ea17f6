"""``python -m benchmarks.resilience``: what it costs when a dyno or a supervisor dies, or its program is replaced.

A ticker writes a numbered line every millisecond, with the time. The log says when each was read; how long the longest
had to wait is how long nobody read. A client asks the web dyno all the time.
"""

import datetime
import http.client
import os
import re
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from tests.harness import Workshop
from tests.test_outliving import detach, end, kill, pids, supervisor_of

ROUNDS = 5
CROWD = 100
IDLE_S = 10.0
SETTLE_S = 2.0
PAUSE_S = 0.2  # between two rounds
TICKER = "import itertools, time\nfor n in itertools.count(): print(n, time.time(), flush=True); time.sleep(0.001)\n"
TICK = re.compile(r"^(\S+) app\[ticker\.1\]: (\d+) (\S+)$", re.MULTILINE)
BIRTH = re.compile(r"^\S+ app\[worker\.(\d+)\]: (\S+)$", re.MULTILINE)


def main() -> None:
    """Print a table."""
    print("| measure | value |\n| --- | --- |")
    for measure in (restarts, adoptions, upgrades, rest):
        with tempfile.TemporaryDirectory(prefix="procman-bench-") as folder:
            shop = Workshop(Path(folder), f"bench-{os.getpid()}")
            try:
                for name, value in measure(shop):
                    print(f"| {name} | {value} |")
            finally:
                shop.close()


def restarts(shop: Workshop) -> Iterator[tuple[str, str]]:
    """Kill dynos, one after the other; the successor's first act is to tell the time."""
    shop.procfile("worker: echo $EPOCHREALTIME; exec sleep 1000\n")
    detach(shop, f"worker={ROUNDS * 4}", "--wait")
    killed: dict[str, float] = {}
    for name, pid in pids(shop).items():
        killed[name.partition(".")[2]] = time.time()
        os.kill(pid, signal.SIGKILL)
        time.sleep(PAUSE_S / 4)
    lives: dict[str, list[float]] = {}
    for number, born in BIRTH.findall(shop.call("logs", "-n", "1000").stdout):
        lives.setdefault(number, []).append(float(born))
    end(shop)
    took = [(lives[number][1] - at) * 1000 for number, at in killed.items()]
    yield "a killed dyno's successor runs after", spread(took)


def adoptions(shop: Workshop) -> Iterator[tuple[str, str]]:
    """Kill the supervisor and start the next one."""
    returned = []

    def once(supervisor: int) -> None:
        began = time.perf_counter()
        kill(supervisor)
        done = shop.call("start", "--detach")
        returned.append((time.perf_counter() - began) * 1000)
        assert done.returncode == 0, done.stderr

    waits, counts = under_load(shop, once)
    yield "adoption gap: a killed supervisor's dynos are read again after", spread(waits)
    yield "… and `procman start --detach` has returned, a new process included", spread(returned)
    yield "… requests meanwhile, lines meanwhile; lost of them", counts


def upgrades(shop: Workshop) -> Iterator[tuple[str, str]]:
    """Have the program replaced."""

    def once(supervisor: int) -> None:
        done = shop.call("upgrade")
        assert done.returncode == 0, done.stderr
        assert supervisor_of(shop) == supervisor

    waits, counts = under_load(shop, once)
    yield "re-exec gap (`procman upgrade`): dynos are read again after", spread(waits)
    yield "… requests meanwhile, lines meanwhile; lost of them", counts


def under_load(shop: Workshop, once: Callable[[int], None]) -> tuple[list[float], str]:
    """Some rounds; the longest wait of a line in each, in ms, and what was asked, written and lost."""
    (shop.directory / "ticker.py").write_text(TICKER)
    shop.procfile("web: exec python3 $CHILDREN/web.py\nticker: exec python3 ticker.py\n")
    detach(shop, "--wait")
    before, spans = pids(shop), []
    with asking(int(shop.env["PORT"])) as counts:
        for _ in range(ROUNDS):
            supervisor = supervisor_of(shop)
            began = time.time()
            once(supervisor)
            time.sleep(PAUSE_S)
            spans.append((began, time.time()))
    assert pids(shop) == before, "a dyno was restarted"
    ticks = [
        (int(number), float(written), datetime.datetime.fromisoformat(read).timestamp())
        for read, number, written in TICK.findall(shop.call("logs", "-n", "1000000").stdout)
    ]
    end(shop)
    numbers = [number for number, _, _ in ticks]
    lost = numbers[-1] - numbers[0] + 1 - len(set(numbers)) + len(numbers) - len(set(numbers))
    waits = [max((read - at) * 1000 for _, at, read in ticks if first <= at < last) for first, last in spans]
    lines = sum(first <= at < last for _, at, _ in ticks for first, last in spans)
    return waits, f"{counts['asked']}, {lines}; {counts['failed']}, {lost}"


@contextmanager
def asking(port: int) -> Iterator[dict[str, int]]:
    """A client that asks again and again; how often, and how often in vain."""
    counts, over = {"asked": 0, "failed": 0}, threading.Event()

    def ask() -> None:
        while not over.wait(0.002):
            counts["asked"] += 1
            try:
                client = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
                client.request("GET", "/")
                counts["failed"] += client.getresponse().status != 200
                client.close()
            except OSError:
                counts["failed"] += 1

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield counts
    finally:
        over.set()
        thread.join()


def rest(shop: Workshop) -> Iterator[tuple[str, str]]:
    """What many dynos that do nothing cost."""
    shop.procfile("worker: exec sleep 1000\n")
    supervisor = detach(shop, "worker=1", "--wait")
    time.sleep(SETTLE_S)
    holder = int(Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split()[0])  # the first it made
    alone = memory(supervisor)
    assert shop.call("scale", f"worker={CROWD + 1}", "--wait").returncode == 0
    time.sleep(SETTLE_S)
    many, holders = memory(supervisor), memory(holder)
    before = cost(supervisor)
    time.sleep(IDLE_S)
    woken, cpu = (now - then for now, then in zip(cost(supervisor), before, strict=True))
    end(shop)
    yield f"idle, {CROWD + 1} dynos: wake-ups; CPU", f"{woken} in {IDLE_S:.0f} s; {cpu * 10} ms"
    both = f"{alone / 1024:.1f} MiB; {holders / 1024:.1f} MiB"
    yield "memory of a supervisor of one dyno, and of its holder (proportional set size)", both
    yield "… of each dyno more", f"{(many - alone) * 1024 / CROWD:,.0f} bytes"


def cost(pid: int) -> tuple[int, int]:
    """Voluntary context switches of all threads, and CPU in hundredths of a second."""
    woken = sum(
        int(line.split()[1])
        for task in Path(f"/proc/{pid}/task").iterdir()
        for line in (task / "status").read_text().splitlines()
        if line.startswith("voluntary_ctxt_switches")
    )
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return woken, int(fields[11]) + int(fields[12])


def memory(pid: int) -> int:
    """Of the process, in KiB."""
    rows = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(row.split()[1]) for row in rows if row.startswith("Pss:"))


def spread(times: list[float]) -> str:
    """The median, and the range."""
    return f"{median(times):.1f} ms ({min(times):.1f} to {max(times):.1f})"


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    main()
