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
from procman.supervisor.proctable import signal_process

ROLL = "roll"
PRESENT = f"echo $$ >{ROLL}; exec sleep 3600"  # a dyno that reports its pid, then sleeps under the same pid
PATIENCE_S = 60.0  # for a formation to come up
STOP_S = 20.0  # for one to stop; the peers' own limit is 5 s


class Formation:
    """Starts ``manager`` on ``count`` dynos of ``command``; at the end none of its processes is left.

    ``stdout``: a descriptor for the manager's output (default: nowhere). ``strays``: how many processes the
    manager itself left behind.
    """

    def __init__(self, manager: Manager, command: str = PRESENT, count: int = 1, stdout: int | None = None) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="procman-bench-")
        self.root = Path(self._folder.name)
        self._app = App(self.root, command.replace(f">{ROLL}", f">{self.root / ROLL}"), count)
        self._manager = manager
        self._stdout = subprocess.DEVNULL if stdout is None else stdout
        os.mkfifo(self.root / ROLL)
        self._roll = os.open(self.root / ROLL, os.O_RDWR)
        self._heard = b""
        self.strays = 0

    def __enter__(self) -> Self:
        self._app.write()
        self.started = time.perf_counter()
        self.process = subprocess.Popen(
            self._manager.argv(self._app),
            cwd=self.root,
            stdin=subprocess.DEVNULL,
            stdout=self._stdout,
            stderr=subprocess.DEVNULL if self._stdout == subprocess.DEVNULL else None,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},  # honcho's readme asks for it
            start_new_session=True,
        )
        self.pid = self.process.pid
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()
        os.close(self._roll)
        self._folder.cleanup()

    def births(self, count: int) -> list[int]:
        """Wait until ``count`` more dynos have reported; their pids."""
        deadline = time.monotonic() + PATIENCE_S
        while (heard := self._heard.count(b"\n")) < count:
            if not select.select([self._roll], [], [], max(deadline - time.monotonic(), 0))[0]:
                raise TimeoutError(f"{self._manager.name}: {heard} of {count} dynos came up")
            self._heard += os.read(self._roll, 65_536)
        *lines, self._heard = self._heard.split(b"\n", count)
        return [int(line) for line in lines]

    def stop(self) -> float:
        """End the manager as a user would, with SIGTERM; seconds until it had gone. Then end whatever is left."""
        if self.process.returncode is not None:
            return 0.0
        family = descendants(self.pid)
        began = time.perf_counter()
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            print(f"{self._manager.name} did not stop within {STOP_S:.0f} s", file=sys.stderr)
            self.process.kill()
            self.process.wait()
        took = time.perf_counter() - began
        self.strays = sum(signal_process(process, signal.SIGKILL) for process in family)
        return took
