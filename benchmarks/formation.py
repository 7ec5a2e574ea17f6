"""A formation that runs under a manager for the length of a ``with``, and its dynos' roll call."""

import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from benchmarks.kernel import descendants
from benchmarks.peers import App, Manager
from procman.supervisor.proctable import Process, signal_process, snapshot

ROLL = "roll"
GATE = "gate"
WAIT_FOR_GATE = f"echo $$ >{ROLL}; : <{GATE}"  # a dyno that reports, then waits until the gate is opened
PRESENT = f"echo $$ >{ROLL}; exec sleep 3600"  # a dyno that reports its pid, then sleeps under the same pid
PATIENCE_S = 60.0  # for a formation to come up
SETTLE_S = 0.3  # for the last dyno to get from its report to the gate, and the manager to be at rest
STOP_S = 20.0  # for one to stop; the peers' own limit is 5 s


class Formation:
    """Starts ``manager`` on ``count`` dynos of ``command``; at the end none of its processes is left.

    ``stdout``: a descriptor for the manager's output (default: nowhere). ``strays``: how many processes the
    manager itself left behind.
    """

    def __init__(self, manager: Manager, command: str = PRESENT, count: int = 1, stdout: int | None = None) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="procman-bench-")
        self.root = Path(self._folder.name)
        for name in (f">{ROLL}", f"<{GATE}"):
            command = command.replace(name, f"{name[0]}{self.root}/{name[1:]}")
        self._app = App(self.root, command, count)
        self._manager = manager
        self._stdout = subprocess.DEVNULL if stdout is None else stdout
        os.mkfifo(self.root / ROLL)
        os.mkfifo(self.root / GATE)
        self._gate: int | None = None
        self._roll = os.open(self.root / ROLL, os.O_RDWR)
        self._heard = b""
        self._complaints = os.open(self.root / "stderr", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC)
        self.strays = 0

    def __enter__(self) -> Self:
        self._app.write()
        self.started = time.perf_counter()
        self.process = subprocess.Popen(
            self._manager.argv(self._app),
            cwd=self.root,
            stdin=subprocess.DEVNULL,
            stdout=self._stdout,
            stderr=self._complaints,
            env={**os.environ, "PYTHONUNBUFFERED": "1", "XDG_STATE_HOME": str(self.root / "state")},
            start_new_session=True,
        )
        self.pid = self.process.pid
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()
        os.close(self._roll)
        os.close(self._complaints)
        if self._gate is not None:
            os.close(self._gate)
        self._folder.cleanup()  # with procman's log store, which XDG_STATE_HOME has put there

    def births(self, count: int) -> list[int]:
        """Wait until ``count`` more dynos have reported; their pids."""
        deadline = time.monotonic() + PATIENCE_S
        while (heard := self._heard.count(b"\n")) < count:
            if not select.select([self._roll], [], [], max(deadline - time.monotonic(), 0))[0]:
                raise TimeoutError(f"{self._manager.name}: {heard} of {count} came up; {self.complaint()}")
            self._heard += os.read(self._roll, 65_536)
        *lines, self._heard = self._heard.split(b"\n", count)
        return [int(line) for line in lines]

    def open_gate(self) -> float:
        """Let all dynos go that wait for it; the moment."""
        self.births(self._app.count)
        time.sleep(SETTLE_S)
        now = time.perf_counter()
        self._gate = os.open(self.root / GATE, os.O_WRONLY)
        return now

    def complaint(self) -> str:
        """The last line on the manager's stderr, to say why a measure failed."""
        said = (self.root / "stderr").read_text(errors="replace").splitlines()
        return said[-1] if said else "it said nothing"

    def stop(self) -> float:
        """End the manager as a user would, with SIGTERM; seconds until it had gone. Then end whatever is left."""
        if self.process.returncode is not None:
            return 0.0
        known = {(process.pid, process.start) for process in descendants(self.pid)}
        began = time.perf_counter()
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            print(f"{self._manager.name} did not stop within {STOP_S:.0f} s", file=sys.stderr)
            self.process.kill()
            self.process.wait()
        took = time.perf_counter() - began
        left = self._left(known)
        self.strays = len(left)
        while left:  # again: a shell that loops starts one more before its own turn comes
            for process in left:
                signal_process(process, signal.SIGKILL)
            left = self._left(known)
        return took

    def _left(self, known: set[tuple[int, int]]) -> list[Process]:
        """Who still lives of those known, or in the manager's session."""
        return [
            row
            for row in snapshot().rows.values()
            if row.alive and (row.session == self.pid or (row.pid, row.start) in known)
        ]
