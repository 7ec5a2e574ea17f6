"""``python -m benchmarks.resilience``: how long dynos are without a supervisor that was killed, and what that costs."""

import http.client
import os
import signal
import tempfile
import threading
import time
from pathlib import Path
from statistics import median

from tests.harness import Workshop
from tests.test_outliving import detach, end, kill, pids

ROUNDS = 5


def main() -> None:
    """Print a table."""
    with tempfile.TemporaryDirectory(prefix="procman-bench-") as folder:
        shop = Workshop(Path(folder), f"bench-{os.getpid()}")
        shop.procfile("web: exec python3 $CHILDREN/web.py\n")
        try:
            measure(shop)
        finally:
            shop.close()


def measure(shop: Workshop) -> None:
    """Kill the supervisor and start the next one, while a client asks all the time."""
    supervisor, asked, failed, over = detach(shop, "--wait"), [0], [0], threading.Event()
    before = pids(shop)

    def ask() -> None:
        while not over.wait(0.005):
            asked[0] += 1
            try:
                client = http.client.HTTPConnection("127.0.0.1", int(shop.env["PORT"]), timeout=5)
                client.request("GET", "/")
                failed[0] += client.getresponse().status != 200
                client.close()
            except OSError:
                failed[0] += 1

    thread = threading.Thread(target=ask)
    thread.start()
    gaps = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        kill(supervisor)
        done = shop.call("start", "--detach")
        gaps.append((time.perf_counter() - began) * 1000)
        assert done.returncode == 0, done.stderr
        supervisor = int(next(shop.directory.glob(".local/state/procman/apps/*/lock")).read_text().split()[1])
    over.set()
    thread.join()
    assert pids(shop) == before
    print(f"| adoption gap, a new process included | {median(gaps):.0f} ms |")
    print(f"| requests meanwhile | {asked[0]} |\n| of them lost | {failed[0]} |")
    end(shop)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    main()
