"""What stands in for ``os``, ``signal``, ``time``, ``Poller`` and ``fcntl`` in the modules that touch the kernel."""

import errno
import io
import os
import signal
from collections.abc import Callable, Iterable
from types import SimpleNamespace
from typing import Any

from tests.simulator.fake_os import FakeOs
from tests.simulator.files import End, Files, Pipe
from tests.simulator.kernel import Broken, Kernel, Proc

ALL = frozenset(signal.valid_signals())


class System:
    """``spawn``: makes a process of what ``posix_spawn`` is given, or raises OSError."""

    def __init__(self, kernel: Kernel, files: Files, spawn: Callable[[dict[str, str], list[Pipe]], int]) -> None:
        self.kernel = kernel
        self.files = files
        self.spawn = spawn
        self.os = FakeOs(self)
        self.signal = FakeSignal(self)
        self.time = SimpleNamespace(
            monotonic=lambda: kernel.now,
            time=lambda: kernel.now + kernel.wall,
            clock_gettime=lambda clock: kernel.now,
            CLOCK_BOOTTIME=7,
        )
        self.poller = lambda: FakePoller(self)
        self.fcntl = SimpleNamespace(fcntl=lambda fd, command, value: files.get(fd) and 0)

    def open(self, path: str, mode: str = "r", **how: object) -> io.BytesIO:
        """A file of /proc. Raises OSError."""
        kernel = self.kernel
        kernel.call()
        if path.startswith("/home/"):
            return io.BytesIO(bytes(self.os._node(path).data))
        words = path.split("/")
        if path == "/proc/vmstat":
            return io.BytesIO(b"oom_kill %d\n" % kernel.oom_kills)
        if len(words) == 6 and words[5] == "children":
            return io.BytesIO(b" ".join(b"%d" % proc.pid for proc in kernel.children(int(words[2]))))
        proc = kernel.procs.get(int(words[2]))
        if proc is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        if words[3] == "environ":
            return io.BytesIO(proc.env)
        return io.BytesIO(
            b"%d (sh) %s %d %d %d 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 %d 0 0 "
            % (proc.pid, proc.state.encode(), proc.parent, proc.group, proc.session, proc.start)
        )

    def is_readable(self, fd: int) -> bool:
        """As ``inherited.is_readable``."""
        return self.files.is_ready(fd, writable=False)

    def status_of(self, handle: int, pid: int) -> int | None:
        """As ``holder.status_of``, on a kernel that tells."""
        proc = self.files.get(handle).of
        return None if proc.end is None else proc.end << 8 if proc.end >= 0 else -proc.end

    def listeners(self) -> dict[int, dict[int, int]]:
        """As ``ports.listeners``: by port, inodes and users."""
        return {port: {proc.serial: 0} for port, proc in self.kernel.ports.items()}

    def sockets_of(self, pid: int) -> list[int]:
        """As ``ports.sockets_of``."""
        return [proc.serial for proc in self.kernel.ports.values() if proc.pid == pid]

    def wait_for_exit(self, processes: Iterable[Any], seconds: float) -> None:
        """As ``lifeline.wait_for_exit``."""
        kernel, limit = self.kernel, self.kernel.now + seconds
        waiting = [proc for row in processes if (proc := kernel.procs.get(row.pid)) and proc.start == row.start]
        while any(proc.end is None for proc in waiting) and kernel.advance(limit):
            pass


class FakeSignal:
    """The supervisor's signals, and those that it sends to one process."""

    def __init__(self, system: System) -> None:
        self._system = system

    def __getattr__(self, name: str) -> Any:
        if name.isupper():
            return getattr(signal, name)
        raise AttributeError(f"the fake kernel has no signal.{name}")

    def valid_signals(self) -> frozenset[int]:
        return ALL

    def set_wakeup_fd(self, fd: int, warn_on_full_buffer: bool = True) -> None:
        files = self._system.files
        pipe = files.get(fd).of if fd >= 0 else None
        self._system.kernel.wakeup = lambda signum: pipe and pipe.put(bytes([signum]))

    def signal(self, signum: int, handler: object) -> None:
        kernel = self._system.kernel
        kernel.handled.discard(signum)
        kernel.ignored.discard(signum)
        if handler is signal.SIG_IGN:
            kernel.ignored.add(signum)
        elif handler is not signal.SIG_DFL:
            kernel.handled.add(signum)

    def getsignal(self, signum: int) -> object:
        return signal.SIG_DFL

    def pthread_sigmask(self, how: int, mask: object) -> None:
        """A fake supervisor is never interrupted but while it waits."""

    def pidfd_send_signal(self, fd: int, signum: int) -> None:
        kernel = self._system.kernel
        kernel.call()
        proc = self._system.files.get(fd).of
        assert isinstance(proc, Proc)
        if kernel.procs.get(proc.pid) is not proc:
            raise ProcessLookupError(errno.ESRCH, os.strerror(errno.ESRCH))
        kernel.on_signal(proc, signum)
        kernel.send(proc, signum)


class FakePoller:
    """As ``poller.Poller``. While the supervisor waits in one, time passes and the world does what it does."""

    def __init__(self, system: System) -> None:
        self._kernel, self._files = system.kernel, system.files
        self._watched: dict[int, tuple[Any, bool]] = {}
        self._fd = self._files.add(End("select", self))

    def fileno(self) -> int:
        return self._fd

    def register(self, fd: int, data: Any, writable: bool = False) -> None:
        if fd in self._watched:
            raise Broken(f"descriptor {fd} is watched twice")
        if fd not in self._files.fds:
            raise Broken(f"descriptor {fd} is closed, and to be watched")
        self._watched[fd] = data, writable

    def unregister(self, fd: int) -> None:
        if self._kernel.alive and self._watched.pop(fd, None) is None:
            raise Broken(f"descriptor {fd} is not watched")

    def ready(self) -> list[Any]:
        """Right now."""
        is_ready = self._files.is_ready
        return [data for fd, (data, writable) in self._watched.items() if is_ready(fd, writable)]

    def wait(self, timeout: float | None = None) -> list[Any]:
        kernel = self._kernel
        kernel.call()
        limit = float("inf") if timeout is None else kernel.now + timeout
        while not (found := self.ready()) and timeout != 0:
            if not kernel.advance(limit):
                if limit == float("inf"):
                    raise Broken("procman waits for ever, and nothing is to come")
                break
            kernel.call()
        return found

    def several(self) -> bool:
        return len(self.ready()) > 1

    def close(self) -> None:
        if self._fd in self._files.fds:
            self._files.close(self._fd)
