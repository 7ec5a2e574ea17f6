"""A server with many apps: memory an app, CPU when idle, and how soon a scale is answered.

``python -m benchmarks.server --apps 50 --dynos 4``
"""

import argparse
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

TICKS_S = os.sysconf("SC_CLK_TCK")


class Server:
    """A real ``procman server`` in a folder of its own."""

    def __init__(self, folder: str) -> None:
        self.data, self.port = f"{folder}/data", free_port()
        where = ["--data", self.data, "--port", str(self.port), "--no-router"]
        words = [sys.executable, "-m", "procman", "server", *where]
        self.process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        assert self.process.stdout
        for line in self.process.stdout:
            if line.startswith("  heroku create"):
                break
        self.key = Path(self.data, "owner.key").read_text().strip()

    def call(self, method: str, path: str, body: object = None, data: bytes | None = None) -> Any:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=120)
        headers = {"Accept": "application/vnd.heroku+json; version=3", "Authorization": f"Bearer {self.key}"}
        connection.request(method, path, data if data is not None else json.dumps(body), headers)
        answer = connection.getresponse()
        text = answer.read()
        assert answer.status < 300, text
        return json.loads(text) if text.startswith((b"{", b"[")) else None

    def deploy(self, name: str, dynos: int, packed: bytes) -> None:
        self.call("POST", "/apps", {"name": name})
        slug = self.call("POST", f"/apps/{name}/slugs", {"process_types": {"worker": "exec sleep 1000000"}})
        self.call("PUT", "/" + slug["blob"]["url"].split("/", 3)[3], data=packed)
        self.call("POST", f"/apps/{name}/releases", {"slug": slug["id"]})
        updates = [{"type": "worker", "quantity": str(dynos)}]
        self.call("PATCH", f"/apps/{name}/formation", {"updates": updates})

    def processes(self) -> dict[str, list[int]]:
        """Pids of the server, and of the supervisors with what helps them; dynos are the apps' own."""
        found: dict[str, list[int]] = {"server": [self.process.pid], "supervisors": []}
        for name in filter(str.isdigit, os.listdir("/proc")):
            try:
                words = Path(f"/proc/{name}/cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if b"supervise" in words and self.data.encode() in b" ".join(words):
                found["supervisors"].append(int(name))
        return found

    def close(self) -> None:
        for app in self.call("GET", "/apps"):
            self.call("DELETE", f"/apps/{app['name']}")
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(30)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def pss_kib(pids: list[int]) -> int:
    """Memory of processes, shared pages by share."""
    total = 0
    for pid in pids:
        rows = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        total += next(int(row.split()[1]) for row in rows if row.startswith("Pss:"))
    return total


def cpu_ticks(pids: list[int]) -> int:
    total = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total


def tarball() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "app").mkdir()
        Path(folder, "app", "README").write_text("words\n")
        return subprocess.check_output(["tar", "-C", folder, "-cz", "./app"])


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.server", description=__doc__)
    parser.add_argument("--apps", type=int, default=50)
    parser.add_argument("--dynos", type=int, default=4, help="of each app")
    parser.add_argument("--idle", type=float, default=20.0, help="seconds to look on")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="procman-server-") as folder:
        server = Server(folder)
        try:
            report(server, given.apps, given.dynos, given.idle)
        finally:
            server.close()


def report(server: Server, apps: int, dynos: int, idle: float) -> None:
    """Deploy, look, and say."""
    alone, packed = pss_kib([server.process.pid]), tarball()
    server.deploy("first", dynos, packed)
    while len([row for row in server.call("GET", "/apps/first/dynos") if row["state"] == "up"]) < dynos:
        time.sleep(0.02)
    took = []
    for quantity in (1, dynos) * 5:
        began = time.perf_counter()
        server.call("PATCH", "/apps/first/formation", {"updates": [{"type": "worker", "quantity": str(quantity)}]})
        took.append((time.perf_counter() - began) * 1000)
    began = time.monotonic()
    names = [f"app-{number:03d}" for number in range(1, apps)]
    for name in names:
        server.deploy(name, dynos, packed)
    for name in ("first", *names):
        while len([row for row in server.call("GET", f"/apps/{name}/dynos") if row["state"] == "up"]) < dynos:
            time.sleep(0.02)
    deployed = time.monotonic() - began
    time.sleep(3)
    found = server.processes()
    every = [*found["server"], *found["supervisors"]]
    before = cpu_ticks(every)
    time.sleep(idle)
    used = (cpu_ticks(every) - before) / TICKS_S * 1000
    supervisors = pss_kib(found["supervisors"])
    print(f"{apps} apps with {dynos} dynos each, on {os.cpu_count()} cores")
    print(f"ps:scale answered in {statistics.median(took):.1f} ms (median of {len(took)}; slowest {max(took):.1f})")
    print(f"created, released and all dynos up: {deployed / max(apps - 1, 1) * 1000:.0f} ms an app")
    print(f"memory of the server: {pss_kib(found['server']) / 1024:.1f} MiB ({alone / 1024:.1f} before the first app)")
    beside = len(found["supervisors"])
    print(f"memory an app: {supervisors / apps / 1024:.2f} MiB (in all {beside} processes beside dynos)")
    print(f"idle for {idle:.0f} s: {used / idle:.2f} ms of CPU a second for all of them")


if __name__ == "__main__":
    main()
