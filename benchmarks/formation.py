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

from benchmarks.apps import App, environment, has_environment
from benchmarks.kernel import Ending, descendants
from benchmarks.peers import Manager
from benchmarks.terminal import Terminal
from procman.supervisor.proctable import Process, signal_process, snapshot

ROLL = "roll"
GATE = "gate"
WAIT_FOR_GATE = f"echo $$ >{ROLL}; : <{GATE}"  # a dyno that reports, then waits until the gate is opened
PRESENT = f"echo $$ >{ROLL}; exec sleep 3600"  # a dyno that reports its pid, then sleeps under the same pid
PATIENCE_S = 30.0  # for a formation to come up
SETTLE_S = 0.3  # for the last dyno to get from its report to the gate, and the manager to be at rest
STOP_S = 12.0  # for one to stop; procman's own limit is 10 s, its peers' 5 s


class Formation:
    """Starts ``manager`` on ``count`` dynos of ``command``; at the end all of its processes are killed that live.

    ``stdout``: a descriptor for the manager's output (default: nowhere). ``apart``, ``restart``: see ``App``.
    ``strays``: how many processes the manager itself left behind.
    """

    def __init__(
        self,
        manager: Manager,
        command: str = PRESENT,
        count: int = 1,
        stdout: int | None = None,
        apart: bool = False,
        restart: bool = False,
    ) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="procman-bench-", ignore_cleanup_errors=True)
        self.root = Path(self._folder.name)
        for name in (f">{ROLL}", f"<{GATE}"):
            command = command.replace(name, f"{name[0]}{self.root}/{name[1:]}")
        self.app = App(self.root, command, count, apart, restart)
        self.environment = environment(self.root)
        self._manager = manager
        self._stdout = subprocess.DEVNULL if stdout is None else stdout
        os.mkfifo(self.root / ROLL)
        os.mkfifo(self.root / GATE)
        self._gate: int | None = None
        self._roll = os.open(self.root / ROLL, os.O_RDWR)
        self._heard = b""
        self._complaints = os.open(self.root / "stderr", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC)
        self._terminal = Terminal() if manager.terminal else None
        self.strays = 0

    def __enter__(self) -> Self:
        self.app.write()
        argv = self._manager.argv(self.app)
        terminal = self._terminal.descriptor if self._terminal else None
        self.started = time.perf_counter()
        self.process = subprocess.Popen(
            argv,
            cwd=self.root,
            stdin=terminal or subprocess.DEVNULL,
            stdout=terminal or self._stdout,
            stderr=self._complaints,
            env=self.environment,
            start_new_session=True,
        )
        self.pid = self.process.pid
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self.process.returncode is None:
            self._kill(descendants(self.pid))
        os.close(self._roll)
        os.close(self._complaints)
        if self._gate is not None:
            os.close(self._gate)
        if self._terminal:
            self._terminal.close()
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
        self.births(self.app.count)
        time.sleep(SETTLE_S)
        now = time.perf_counter()
        self._gate = os.open(self.root / GATE, os.O_WRONLY)
        return now

    def complaint(self) -> str:
        """The last line on the manager's stderr, to say why a measure failed."""
        said = (self.root / "stderr").read_text(errors="replace").splitlines()
        return said[-1] if said else "it said nothing"

    def stop(self) -> float:
        """End the manager as a user would; seconds until it and all that it ran had gone. Then end whatever is left."""
        family = descendants(self.pid)
        with Ending([self.pid, *(process.pid for process in family)]) as ending:
            began = time.perf_counter()
            self.process.send_signal(self._manager.stop)
            ended = ending.wait(self.pid, STOP_S)
        if ended is None:
            print(f"{self._manager.name} did not stop within {STOP_S:.0f} s", file=sys.stderr)
            ended = time.perf_counter()
        self.strays = self._kill(family)
        return ended - began

    def _kill(self, family: list[Process]) -> int:
        """Make an end of the manager and its family; how many of them still lived."""
        self.process.kill()
        self.process.wait()
        known = {(process.pid, process.start) for process in family}
        left = self._left(known)
        found = len(left)
        while left:  # again: a shell that loops starts one more before its own turn comes
            for process in sorted(left, key=lambda process: process.start):  # helpers before the dynos they restart
                signal_process(process, signal.SIGKILL)
            left = self._left(known)
        return found

    def _left(self, known: set[tuple[int, int]]) -> list[Process]:
        """Who still lives of those known, in the manager's session, or with its environment."""
        return [
            row
            for row in snapshot().rows.values()
            if row.alive
            and (row.session == self.pid or (row.pid, row.start) in known or has_environment(row.pid, self.root))
        ]
