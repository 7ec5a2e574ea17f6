"""``python -m benchmarks.router``: requests per second through procman's HAProxy beside a bare one, in turns.

``dyno``: no router at all. ``bare``: the least that can be called a configuration: a frontend, a backend, timeouts.
``plain``: what anybody would run: the same with ``X-Forwarded-For`` and HAProxy's own log of requests, written to a
pipe that somebody reads. ``ours``: the router as the server runs it, every log line read and turned into Heroku's.

The dyno is an HAProxy that answers by itself, so that nothing but routers is measured; with ``--web``, it is Python's
own web server. CPU is that of HAProxy alone, a request.
"""

import argparse
import asyncio
import contextlib
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from procman.router import Router, Server, Site
from procman.router.binary import find_binary
from procman.router.runtime_socket import RuntimeSocket

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
WEB = """\
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "5")
        self.end_headers()
        self.wfile.write(b"hello")
    def log_message(self, *_): pass
http.server.ThreadingHTTPServer.request_queue_size = 128
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""
BARE = """\
defaults
  mode http
  timeout client 60s
  timeout server 60s
  timeout connect 5s
{more}frontend bare
  bind 127.0.0.1:{port}
  default_backend dynos
backend dynos
  balance random(1)
  server web.1 127.0.0.1:{dyno}
"""
LOGGING = '  option forwardfor\n  log "fd@{log}" format raw local3\n  option httplog\n'
SINK = "import os, time\nwhile os.read(0, 1 << 20): time.sleep(0.01)"


class Run(NamedTuple):
    """What one turn of wrk found. ``cpu``: of HAProxy, in µs a request; 0 where there is none."""

    rate: float
    cpu: float
    failed: int


def free_port() -> int:
    """A port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def nanoseconds(pid: int) -> int:
    """CPU that a process has used, all threads."""
    threads = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((thread / "schedstat").read_text().split()[0]) for thread in threads)


async def measure(port: int, pid: int | None) -> Run:
    """One turn. ``pid``: of the HAProxy that is asked."""
    before = nanoseconds(pid) if pid else 0
    process = await asyncio.create_subprocess_exec(
        "wrk",
        *("-t1", f"-c{CONNECTIONS}", f"-d{SECONDS}s", "-H", "Host: demo.localhost", f"http://127.0.0.1:{port}/"),
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()
    used = nanoseconds(pid) - before if pid else 0
    text = output.decode()
    rate = re.search(r"Requests/sec:\s+([\d.]+)", text)
    count = re.search(r"(\d+) requests in", text)
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    errors = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", text)
    failed = int(bad[1]) if bad else 0
    failed += sum(map(int, errors.groups())) if errors else 0
    return Run(float(rate[1]) if rate else 0.0, used / 1000 / max(int(count[1]) if count else 0, 1), failed)


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


def start_helpers(
    stack: contextlib.ExitStack, directory: Path, program: str, ports: dict[str, int], web: bool
) -> dict[str, int | None]:
    """The dyno, and those who are compared with us; HAProxys among them, by name."""
    reading, log = os.pipe()
    texts = {
        "dyno": DYNO.format(**ports),
        "bare": BARE.format(more="", port=ports["bare"], dyno=ports["dyno"]),
        "plain": BARE.format(more=LOGGING.format(log=log), port=ports["plain"], dyno=ports["dyno"]),
    }
    commands = {name: [program, "-db", "-f", str(directory / f"{name}.cfg")] for name in texts}
    if web:
        commands["dyno"] = [sys.executable, "-c", WEB, str(ports["dyno"])]
    commands["sink"] = [sys.executable, "-c", SINK]
    pids = {}
    for name, text in texts.items():
        (directory / f"{name}.cfg").write_text(text)
    for name, command in commands.items():
        passed = (log,) if name == "plain" else ()
        # Each turn of wrk ends with connections reset, which Python's server would tell at length.
        helper = subprocess.Popen(command, stdin=reading, stderr=subprocess.DEVNULL, pass_fds=passed)
        stack.callback(helper.wait)
        stack.callback(helper.kill)
        pids[name] = helper.pid
    os.close(reading)
    os.close(log)
    return {name: pids[name] for name in ("bare", "plain")}


async def compare(program: str, directory: Path, rounds: int, web: bool) -> bool:
    """Rounds in turns; prints, and tells whether the mark was met."""
    ports = {name: free_port() for name in ("dyno", "bare", "plain", "ours")}
    lines = 0

    def on_line(_: str, batch: bytes) -> None:
        nonlocal lines
        lines += batch.count(b"\n")

    router = Router(str(directory / "router"), f"127.0.0.1:{ports['ours']}", None, program, on_line)
    with contextlib.ExitStack() as stack:
        pids = start_helpers(stack, directory, router.binary.path, ports, web)
        await serving(ports["dyno"])
        try:
            await router.start()
            await router.apply([Site("a", "demo", ("demo.localhost",), (Server("web.1", 1, ports["dyno"]),))])
            pids["ours"] = await worker_of(directory / "router")
            for port in ports.values():
                await serving(port)
            runs: dict[str, list[Run]] = {name: [] for name in ports}
            for number in range(rounds):
                for name in list(runs)[:: 1 if number % 2 else -1]:
                    runs[name].append(await measure(ports[name], pids.get(name)))
            await asyncio.sleep(0.1)
        finally:
            await router.stop()
    failed = sum(run.failed for turns in runs.values() for run in turns)
    print(f"HAProxy {router.binary.version}, {rounds} rounds of {SECONDS} s, {CONNECTIONS} connections")
    report(runs)
    print(f"{failed} failed requests; {lines:,} lines of the router's log were read")
    return statistics.median(ratios(runs, "bare")) >= MARK and not failed


async def worker_of(directory: Path) -> int | None:
    """The process that serves."""
    folder = os.open(directory, os.O_RDONLY)
    try:
        return (await RuntimeSocket(folder, "master.sock").processes()).worker
    finally:
        os.close(folder)


def ratios(runs: dict[str, list[Run]], other: str) -> list[float]:
    """Ours through another, round by round, sorted."""
    return sorted(ours.rate / run.rate for ours, run in zip(runs["ours"], runs[other], strict=True))


def report(runs: dict[str, list[Run]]) -> None:
    """What was found."""
    for name, turns in runs.items():
        rate, cpu = (statistics.median(values) for values in ([run.rate for run in turns], [run.cpu for run in turns]))
        print(f"{name:<6}{rate:>10,.0f} requests/s" + (f"{cpu:>8.1f} µs of CPU a request" if cpu else ""))
    for other in ("bare", "plain"):
        found = ratios(runs, other)
        print(f"ours/{other} {statistics.median(found):.3f} ({found[0]:.3f} to {found[-1]:.3f}), mark {MARK}")


def main() -> int:
    """Returns 1 if the mark was missed or a request failed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.router", description=__doc__)
    parser.add_argument("--haproxy", help="the program to measure with, all ways")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--web", action="store_true", help="a dyno that is a web server in Python")
    given = parser.parse_args()
    if not shutil.which("wrk"):
        parser.error("wrk is needed: apt-get install wrk")
    with tempfile.TemporaryDirectory(prefix="procman-bench-router-") as folder:
        program = find_binary(given.haproxy).path
        return 0 if asyncio.run(compare(program, Path(folder), given.rounds, given.web)) else 1


if __name__ == "__main__":
    sys.exit(main())
