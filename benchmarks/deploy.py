"""``python -m benchmarks.deploy``: from ``git push`` to the served page, phase by phase, with real git and HAProxy.

The app is the sample app: Flask and gunicorn, a release command, one web dyno. A *first* push has nothing but the
host's package cache; a *second* one changes one line. Phases end with the line that ends them at the git client:

receive   git packs, the server takes the objects and checks them, the hook has its turn
checkout  the tree is counted and written to a folder of its own; the builder starts
detect    which buildpack
compile   the buildpack
pack      the slug: read back, packed, moved to its place
release   the release's row, and the release command in a one-off dyno
boot      the new web dyno beside the old one, until it answers at its port
switch    the router sends a request to it, and the page is here
"""

import argparse
import os
import re
import shlex
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

SAMPLE = Path(__file__).parent.parent / "sample_app"
FIRST_S, SECOND_S = 20.0, 5.0
ROUNDS = 5
PHASES = (
    ("receive", b"Building source:"),
    ("checkout", b"Building on the"),
    ("detect", b"app detected"),
    ("compile", b"Discovering process types"),
    ("pack", b"Launching..."),
    ("release", b"Waiting for release...."),
    ("boot", b"Verifying deploy... done."),
)
ENV = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1", "GIT_TERMINAL_PROMPT": "0"} | dict.fromkeys(
    ("GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL"), "dev@example.com"
)


class Site:
    """A server of its own, and a clone of the sample app."""

    def __init__(self, base: Path, port: int) -> None:
        self.base, self.port, self.data = base, port, base / "data"
        self.env = {**os.environ, **ENV, "HOME": str(base)}
        self.clone = base / "clone"

    def procman(self, *words: str) -> str:
        """What procman prints."""
        command = [sys.executable, "-m", "procman", *words]
        return subprocess.run(command, env=self.env, cwd=self.base, check=True, capture_output=True, text=True).stdout

    def git(self, *words: str) -> None:
        subprocess.run(["git", *words], cwd=self.clone, env=self.env, check=True, capture_output=True)

    def prepare(self) -> None:
        """Learn how the server is reached; commit the sample app."""
        for line in self.procman("server", "env", "--data", str(self.data)).splitlines():
            name, _, value = shlex.split(line)[1].partition("=")
            self.env[name] = value
        shutil.copytree(SAMPLE, self.clone, ignore=shutil.ignore_patterns("__pycache__", "tmp", ".env"))
        self.git("init", "--quiet", "--initial-branch=main")
        self.commit("first")

    def commit(self, word: str) -> None:
        """Change one line: the page begins with ``word``."""
        path = self.clone / "templates" / "page.html"
        text = re.sub(r"^<!-- \S+ -->\n", "", path.read_text())
        path.write_text(f"<!-- {word} -->\n{text}")
        self.git("add", "--all")
        self.git("commit", "--quiet", "-m", word)

    def push(self, app: str, word: str) -> dict[str, float]:
        """Push, and wait for the page; seconds of each phase."""
        took, began = {}, time.monotonic()
        left = list(PHASES)
        url = f"https://{self.env['HEROKU_GIT_HOST']}/{app}.git"
        process = subprocess.Popen(
            ["git", "push", url, "main"], cwd=self.clone, env=self.env, stderr=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert process.stderr is not None
        total, seen = began, b""
        for line in process.stderr:
            seen += line
            if left and left[0][1] in line:
                now = time.monotonic()
                took[left.pop(0)[0]], began = now - began, now
        if process.wait() or left:
            raise OSError(f"the push failed:\n{seen.decode()}")
        self.visit(app, word)
        now = time.monotonic()
        return {**took, "switch": now - began, "whole": now - total}

    def visit(self, app: str, word: str) -> None:
        """Until the page is there."""
        deadline = time.monotonic() + 10
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port + 3}/", headers={"Host": f"{app}.localhost:{self.port + 3}"}
        )
        while time.monotonic() < deadline:
            with suppress(urllib.error.HTTPError), urllib.request.urlopen(request, timeout=10) as answer:
                if f"<!-- {word} -->".encode() in answer.read():
                    return
        raise OSError("the page was never served")


@contextmanager
def serving(port: int) -> Iterator[Site]:
    """A server, ended with all that it started."""
    base = Path(tempfile.mkdtemp(prefix="procman-bench-deploy-"))
    base.chmod(0o711)
    site = Site(base, port)
    words = ("server", "--data", str(site.data), "--port", str(port), "--router-port", str(port + 3))
    command = [sys.executable, "-m", "procman", *words, "--push-creates-apps"]
    server = subprocess.Popen(command, env=site.env, cwd=base, stdout=subprocess.PIPE)
    try:
        assert server.stdout is not None
        for line in server.stdout:
            if b"heroku create" in line:
                break
        site.prepare()
        yield site
    finally:
        for app in re.findall(r"^(deploy-\S+)", site.procman("apps"), re.M):
            site.procman("apps:destroy", "-a", app, "--confirm", app)
        server.send_signal(signal.SIGTERM)
        server.wait()
        with suppress(OSError, ValueError):
            os.kill(int((site.data / "router" / "haproxy.pid").read_text().split()[0]), signal.SIGTERM)
        shutil.rmtree(base, ignore_errors=True)


def table(first: list[dict[str, float]], second: list[dict[str, float]]) -> str:
    """Medians, in seconds, and the worst whole."""
    lines = ["| phase    | first push | second push |", "| -------- | ---------- | ----------- |"]
    for name in (*(name for name, _ in PHASES), "switch", "whole"):
        one, two = (statistics.median(row[name] for row in rows) for rows in (first, second))
        lines.append(f"| {name:8} | {one:8.2f} s | {two:9.2f} s |")
    one, two = (max(row["whole"] for row in rows) for rows in (first, second))
    lines.append(f"| worst    | {one:8.2f} s | {two:9.2f} s |")
    lines.append(f"| mark     | {FIRST_S:8.2f} s | {SECOND_S:9.2f} s |")
    return "\n".join(lines)


def main() -> int:
    """1 when a mark was missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.deploy")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--port", type=int, default=5600, help="the first of four")
    given = parser.parse_args()
    first, second = [], []
    with serving(given.port) as site:
        for number in range(given.rounds):
            app = f"deploy-{number}"
            site.commit(f"first-{number}")
            first.append(site.push(app, f"first-{number}"))
            site.commit(f"second-{number}")
            second.append(site.push(app, f"second-{number}"))
    print(table(first, second))
    missed = max(row["whole"] for row in first) >= FIRST_S or max(row["whole"] for row in second) >= SECOND_S
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
