"""`procman forever` in a workshop, with real programs."""

import json
import os
import select
import socket
import subprocess
import urllib.request
from pathlib import Path

import pytest

from tests.harness import DEADLINE_S, Running

SERVER = """
const http = require("http");
const server = http.createServer((request, response) => response.end(`pid ${process.pid}\\n`));
server.on("error", (error) => { console.error(error.message); process.exit(1); });
server.listen(process.env.PORT, () => console.log(`listening on ${process.env.PORT}`));
process.on("SIGTERM", () => { console.log("closing"); server.close(() => process.exit(0)); });
"""
STEADY = "echo up $$; exec sleep 1000\n"
npm = pytest.mark.needs("npm")
node = pytest.mark.needs("node")


def script(workshop, text: str, name: str = "app.sh") -> str:
    """An executable in the workshop's directory; returns how it is named there."""
    path = workshop.directory / name
    path.write_text(text if name.endswith((".js", ".py")) else f"#!/bin/sh\n{text}")
    if not name.endswith((".js", ".py")):
        path.chmod(0o755)
    return name


class Forever:
    """`procman forever` in a workshop; what was started is stopped at the end."""

    def __init__(self, workshop):
        self.workshop = workshop
        self.state = workshop.directory / ".local/state/procman/apps"

    def __call__(self, *args: str, **options):
        return self.workshop.call("forever", *args, **options)

    def begin(self, *args: str) -> subprocess.CompletedProcess[str]:
        """Start one in the background that stays up: that takes no second to show."""
        return self("start", "--minUptime", "100", *args)

    def run(self, *args: str, **options) -> Running:
        return self.workshop.procman("forever", *args, **options)

    def list(self) -> list[dict]:
        return json.loads(self("list", "--json").stdout)["processes"]

    def follow(self, uid: str) -> Running:
        """Its log, from the first line on."""
        return self.run("logs", uid, "-n", "100000", "-f")

    def home(self, uid: str) -> Path:
        return self.state / f"forever-{uid}"


def gone(pid: int) -> bool:
    """Whether a process ends, waited for."""
    try:
        handle = os.pidfd_open(pid)
    except OSError:
        return True
    try:
        return bool(select.select([handle], [], [], DEADLINE_S)[0])
    finally:
        os.close(handle)


def fetch(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}", timeout=DEADLINE_S) as answer:
        return answer.read().decode()


def can_bind(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("0.0.0.0", port))
        except OSError:
            return False
        return True
