"""``python -m benchmarks.router``: requests per second through procman's HAProxy beside a bare one, in turns.

The dyno is an HAProxy that answers by itself, so that neither Python nor the disk is measured. ``bare`` is the least
that can be called a configuration: a frontend, a backend, timeouts; no headers, no log. ``ours`` is the router as the
server runs it: every rule, every log line read and turned into Heroku's. A floor, without any router, is printed too.
"""

import argparse
import asyncio
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from procman.router import Router, Server, Site
from procman.router.binary import find_binary

ROUNDS = 9
SECONDS = 3
CONNECTIONS = 32
MARK = 0.95

DYNO = """\
global
  nbthread 1
defaults
  mode http
  timeout client 60s
frontend dyno
  bind 127.0.0.1:{dyno}
  http-request return status 200 content-type text/plain string "hello, this is a dyno that says a little"
"""
BARE = """\
defaults
  mode http
  timeout client 60s
  timeout server 60s
  timeout connect 5s
frontend bare
  bind 127.0.0.1:{bare}
  default_backend dynos
backend dynos
  balance random(1)
  server web.1 127.0.0.1:{dyno}
"""


def free_port() -> int:
    """A port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


async def measure(port: int) -> tuple[float, int]:
    """Requests per second as wrk counts them, and how many of its requests failed."""
    process = await asyncio.create_subprocess_exec(
        "wrk",
        *("-t1", f"-c{CONNECTIONS}", f"-d{SECONDS}s", "-H", "Host: demo.localhost", f"http://127.0.0.1:{port}/"),
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()
    text = output.decode()
    rate = re.search(r"Requests/sec:\s+([\d.]+)", text)
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    errors = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", text)
    failed = int(bad[1]) if bad else 0
    failed += sum(map(int, errors.groups())) if errors else 0
    return float(rate[1]) if rate else 0.0, failed


async def serving(port: int) -> None:
    """Wait until somebody listens."""
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.01)
        else:
            writer.close()
            return


async def compare(program: str, directory: Path, rounds: int) -> bool:
    """Rounds in turns; prints, and tells whether the mark was met."""
    ports = {name: free_port() for name in ("dyno", "bare", "ours")}
    helpers = []
    lines = 0

    def on_line(_: str, batch: bytes) -> None:
        nonlocal lines
        lines += batch.count(b"\n")

    router = Router(str(directory / "router"), f"127.0.0.1:{ports['ours']}", None, program, on_line)
    try:
        for name, text in (("dyno", DYNO), ("bare", BARE)):
            (directory / f"{name}.cfg").write_text(text.format(**ports))
            helpers.append(subprocess.Popen([router.binary.path, "-db", "-f", str(directory / f"{name}.cfg")]))
        await router.start()
        await router.apply([Site("a", "demo", ("demo.localhost",), (Server("web.1", 1, ports["dyno"]),))])
        for port in ports.values():
            await serving(port)
        rates: dict[str, list[float]] = {"dyno": [], "bare": [], "ours": []}
        failed = 0
        for number in range(rounds):
            for name in list(rates)[:: 1 if number % 2 else -1]:
                rate, bad = await measure(ports[name])
                rates[name].append(rate)
                failed += bad
        await asyncio.sleep(0.1)
        report(router.binary.version, rates, failed, lines)
        return ratio(rates) >= MARK and not failed
    finally:
        await router.stop()
        for helper in helpers:
            helper.kill()
            helper.wait()


def ratio(rates: dict[str, list[float]]) -> float:
    """The median of ours through bare, round by round."""
    return statistics.median(ours / bare for ours, bare in zip(rates["ours"], rates["bare"], strict=True))


def report(version: str, rates: dict[str, list[float]], failed: int, lines: int) -> None:
    """What was found."""
    for name, values in rates.items():
        print(f"{name:<6}{statistics.median(values):>10,.0f} requests/s")
    pairs = sorted(ours / bare for ours, bare in zip(rates["ours"], rates["bare"], strict=True))
    print(f"HAProxy {version}: ours/bare {ratio(rates):.3f} ({pairs[0]:.3f} to {pairs[-1]:.3f}), mark {MARK}")
    print(f"{failed} failed requests; {lines:,} lines of the router's log were read")


def main() -> int:
    """Returns 1 if the mark was missed or a request failed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.router", description=__doc__)
    parser.add_argument("--haproxy", help="the program to measure with, both ways")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    given = parser.parse_args()
    if not shutil.which("wrk"):
        parser.error("wrk is needed: apt-get install wrk")
    with tempfile.TemporaryDirectory(prefix="procman-bench-router-") as folder:
        program = find_binary(given.haproxy).path
        return 0 if asyncio.run(compare(program, Path(folder), given.rounds)) else 1


if __name__ == "__main__":
    sys.exit(main())
