"""A real procman in a directory of its own: started, watched by its lines, signalled, and never left behind."""

import functools
import os
import pty
import re
import select
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from tests.proc import is_alive, read_settled

DEADLINE_S = 60.0  # a test that waits longer has failed; none waits for time to pass
LAST_S = 5.0  # in which what a test has ended may be on its way out
MARK = "PROCMAN_TEST"
# Each test process has ports of its own, by its territory, up to those that the kernel gives to anybody. The first few
# are far apart: who needs more than its share is in nobody's way.
TERRITORIES = (0, 4, 2, 6, 1, 5, 3, 7)
FIRST_PORT, PORTS = 10_000, 500
FIRST_APP_PORT, APP_PORTS = 14_000, 2_250


class Running:
    """One ``procman start``, its stdout a pipe (or a pty, or whatever ``stdout`` says); or another ``program``."""

    def __init__(
        self,
        args,
        cwd: Path,
        env: dict[str, str],
        stdout=subprocess.PIPE,
        columns: int | None = None,
        program=(sys.executable, "-m", "procman"),
    ):
        self.terminal = None
        if columns is not None:
            from procman.supervisor.terminal import set_size

            self.terminal, stdout = pty.openpty()
            set_size(self.terminal, 24, columns)
        self.process = subprocess.Popen(
            [*program, *args],
            cwd=cwd,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=subprocess.PIPE,
        )
        if columns is not None:
            os.close(stdout)
        self.pid = self.process.pid
        self.fd = self.terminal if columns is not None else (
            self.process.stdout.fileno() if self.process.stdout else None
        )
        self.seen = b""
        self._read_to = 0

    def wait_for(self, pattern: str) -> re.Match[bytes]:
        """Read on until ``pattern`` matches what has come since the last match."""
        wanted = re.compile(pattern.encode(), re.MULTILINE)
        deadline = time.monotonic() + DEADLINE_S
        while not (found := wanted.search(self.seen[self._read_to :])):
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self.fd], [], [], left)[0]:
                raise AssertionError(f"no line like {pattern!r} in {DEADLINE_S:g} s; seen:\n{self.text()}")
            if not self._read():
                raise AssertionError(f"ended before a line like {pattern!r}; seen:\n{self.text()}\n{self.complaints()}")
        self._read_to += found.end()
        return found

    def wait_for_all(self, *patterns: str) -> None:
        """The same for several, in whatever order they come."""
        since = last = self._read_to
        for pattern in patterns:
            self._read_to = since
            self.wait_for(pattern)
            last = max(last, self._read_to)
        self._read_to = last

    def _read(self) -> bool:
        try:
            chunk = os.read(self.fd, 1 << 16)
        except OSError:
            chunk = b""
        self.seen += chunk
        return bool(chunk)

    def signal(self, signum: int) -> None:
        os.kill(self.pid, signum)

    def finish(self, signum: int | None = None) -> int:
        """Signal it, if asked to, read the rest and return the exit status (128+n for signals)."""
        if signum is not None:
            self.signal(signum)
        if self.fd is not None:
            while select.select([self.fd], [], [], DEADLINE_S)[0] and self._read():
                pass
        status = self.process.wait(DEADLINE_S)
        return status if status >= 0 else 128 - status

    def text(self) -> str:
        return self.seen.decode("utf-8", "backslashreplace")

    def errors(self) -> str:
        return self.process.stderr.read().decode()

    def complaints(self) -> str:
        """What there is of its stderr by now, for somebody who wonders why it has ended."""
        os.set_blocking(self.process.stderr.fileno(), False)
        return (self.process.stderr.read() or b"").decode()

    def lines(self, dyno: str) -> list[str]:
        """What a dyno wrote, without the prefixes."""
        return re.findall(rf"^\d\d:\d\d:\d\d {re.escape(dyno)} +\| (.*)$", self.text(), re.MULTILINE)

    def system(self, dyno: str) -> list[str]:
        """What was said about a dyno, or by procman."""
        return re.findall(rf"^\d\d:\d\d:\d\d {re.escape(dyno)} +\* (.*)$", self.text(), re.MULTILINE)

    def close(self) -> None:
        """End it by force if a failed test left it."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for stream in (self.process.stdout, self.process.stderr):
            if stream:
                stream.close()
        if self.terminal is not None:
            os.close(self.terminal)


class Workshop:
    """A directory with a Procfile, and the environment to run it in; knows every process it caused."""

    def __init__(self, directory: Path, mark: str):
        self.directory = directory
        self.mark = f"{MARK}={mark}".encode()
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        self.env = {
            "PATH": path,
            "HOME": str(directory),
            "PORT": str(free_port()),
            MARK: mark,
            "PYTHONPATH": str(Path(__file__).parent.parent),
            "CHILDREN": str(Path(__file__).parent / "children"),
        }
        self.started: list[Running] = []

    def procfile(self, text: str) -> None:
        (self.directory / "Procfile").write_text(text)

    def start(self, *args: str, **options) -> Running:
        return self.procman("start", *args, **options)

    def procman(self, *args: str, **options) -> Running:
        env = {**self.env, **options.pop("env", {})}
        running = Running(args, self.directory, env, **options)
        self.started.append(running)
        return running

    def call(self, *args: str, **options) -> subprocess.CompletedProcess[str]:
        """Run procman to its end."""
        return subprocess.run(
            [sys.executable, "-m", "procman", *args],
            cwd=self.directory,
            env={**self.env, **options.pop("env", {})},
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            check=False,
            **options,
        )

    def processes(self) -> list[int]:
        """Pids of everything alive that this test caused: by the mark in the environment."""
        found = []
        for name in os.listdir("/proc"):
            if not name.isdigit() or int(name) == os.getpid():
                continue
            if self.mark in read_settled(int(name), "environ").split(b"\0") and is_alive(int(name)):
                found.append(int(name))
        return found

    def wait_until_gone(self, seconds: float = DEADLINE_S) -> list[int]:
        """Wait on pidfds until nothing of this test lives; what still does after so long is returned."""
        deadline = time.monotonic() + seconds
        while (left := self.processes()) and time.monotonic() < deadline:
            handles = []
            for pid in left:
                try:
                    handles.append(os.pidfd_open(pid))
                except OSError:
                    continue
            for handle in handles:
                select.select([handle], [], [], max(deadline - time.monotonic(), 0))
                os.close(handle)
        return left

    def close(self) -> None:
        for running in self.started:
            running.close()
        for pid in self.processes():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue


def poll(look, words=lambda: "", every: float = 0.02):
    """What ``look`` finds; asked again and again, where nobody tells. ``every``: seconds."""
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        if found := look():
            return found
        select.select([], [], [], every)
    raise AssertionError(f"it never came true {words()}")


@functools.cache
def territory() -> tuple[int, socket.socket]:
    """One that no other test process of this host has, and the claim to it, held until this process ends."""
    claim = socket.socket(socket.AF_UNIX)
    for number in TERRITORIES:
        try:
            claim.bind(f"\0procman-tests-{number}")  # a name of the kernel's, so never stale
        except OSError:
            continue
        return number, claim
    return TERRITORIES[-1], claim  # the ninth process at a time, and those after it, share


def free_port() -> int:
    """A base port that is free, as are those of the next two process types.

    Round and round in the territory.
    """
    first = FIRST_PORT + territory()[0] * PORTS
    while True:
        at = getattr(free_port, "at", first) + 20
        free_port.at = at if at < first + PORTS else first  # type: ignore[attr-defined]
        if all(is_free(free_port.at + step) for step in (0, 100, 200)):  # type: ignore[attr-defined]
            return free_port.at  # type: ignore[attr-defined, no-any-return]


def is_free(port: int) -> bool:
    """Whether it could be listened on now. Connections that have ended linger for a minute, and are in nobody's way."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
            probe.listen(1)
        except OSError:
            return False
    return True


def app_ports() -> int:
    """Where the ports of the apps begin that this test process serves."""
    return FIRST_APP_PORT + territory()[0] * APP_PORTS
