"""What stands in for ``os``."""

import errno
import os
import stat
from collections.abc import Iterable
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from tests.simulator.files import End, Node, Pipe, trouble
from tests.simulator.kernel import Broken

if TYPE_CHECKING:
    from tests.simulator.system import System

KEPT = (  # of the real module: what computes, and does nothing
    "path", "devnull", "strerror", "fsencode", "fsdecode", "waitstatus_to_exitcode", "environ", "sysconf",
)  # fmt: skip


class FakeOs:
    """The calls that procman makes. What is not here it shall not do."""

    def __init__(self, system: "System") -> None:
        self._system = system
        self._kernel, self._files, self._disk = system.kernel, system.files, system.files.disk
        self.dup = self._files.dup
        self.killpg = self._kernel.kill_group

    def __getattr__(self, name: str) -> Any:
        if name.isupper() or name in KEPT:
            return getattr(os, name)
        raise AttributeError(f"the fake kernel has no os.{name}")

    # -- descriptors --

    def close(self, fd: int) -> None:
        self._kernel.call()
        if fd not in self._files.fds:
            raise Broken(f"descriptor {fd} is closed twice")
        self._files.close(fd)

    def read(self, fd: int, most: int) -> bytes:
        self._kernel.call()
        return self._files.read(fd, most)

    def write(self, fd: int, data: bytes) -> int:
        self._kernel.call()
        return self._files.write(fd, bytes(data))

    def writev(self, fd: int, buffers: list[bytes]) -> int:
        self._kernel.call()
        return self._files.write(fd, b"".join(buffers))

    def pipe(self) -> tuple[int, int]:
        self._kernel.call()
        return self._files.pipe()

    def set_blocking(self, fd: int, blocking: bool) -> None:
        self._files.get(fd)

    def fstat(self, fd: int) -> SimpleNamespace:
        return facts(self._files.get(fd).of)

    # -- the disk --

    def stat(self, path: str) -> SimpleNamespace:
        self._kernel.call()
        return facts(self._node(path))

    def readlink(self, path: str) -> str:
        """Where a descriptor of a process leads: ``/proc/PID/fd/N``. A dyno's all write where its root does."""
        self._kernel.call()
        _, _, pid, _, fd = path.split("/")
        proc = self._kernel.procs.get(int(pid))
        if proc is None or not proc.pipes:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        return proc.pipes[min(int(fd), len(proc.pipes)) - 1].path

    def open(self, path: str, flags: int, mode: int = 0) -> int:
        self._kernel.call()
        if path.startswith("/proc/self/fd/"):
            return self._files.dup(int(path[14:]))
        if path.startswith("/proc/"):
            return self._files.add(End("text", self._system.open(path).getvalue()))
        if path in self._disk.nodes and flags & os.O_EXCL:
            raise trouble(errno.EEXIST, path)
        node = self._disk.make(path) if flags & os.O_CREAT and path not in self._disk.nodes else self._node(path)
        if flags & os.O_TRUNC:
            node.data.clear()
        if isinstance(node, Pipe):
            node.reader = "ours"
            return self._files.add(End("r", node))
        return self._files.add(End("file", node))

    def mkfifo(self, path: str, mode: int = 0) -> None:
        self._kernel.call()
        if self._disk.free == 0:
            raise trouble(errno.ENOSPC, path)
        if path in self._disk.nodes:
            raise trouble(errno.EEXIST, path)
        pipe = self._disk.nodes[path] = Pipe(self._files.room)
        pipe.path = path

    def replace(self, path: str, other: str) -> None:
        self._kernel.call()
        if other in self._disk.nodes:
            self.unlink(other)
        self._disk.nodes[other] = self._disk.nodes.pop(path)

    def _node(self, path: str) -> Node:
        if path not in self._disk.nodes:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        return self._disk.nodes[path]

    def pread(self, fd: int, size: int, offset: int) -> bytes:
        of = self._files.get(fd).of
        assert isinstance(of, Node)
        return bytes(of.data[offset : offset + size])

    def ftruncate(self, fd: int, size: int) -> None:
        self._kernel.call()
        of = self._files.get(fd).of
        assert isinstance(of, Node)
        if self._disk.free is not None:
            self._disk.free += len(of.data) - size
        del of.data[size:]

    def fchmod(self, fd: int, mode: int) -> None:
        self._files.get(fd)

    def makedirs(self, path: str, mode: int = 0, exist_ok: bool = False) -> None:
        self._kernel.call()

    def unlink(self, path: str) -> None:
        self._kernel.call()
        node = self._node(path)
        del self._disk.nodes[path]
        if isinstance(node, Pipe):
            return
        node.links = 0
        if self._disk.free is not None:
            self._disk.free += len(node.data)

    def listdir(self, path: str) -> list[str]:
        self._kernel.call()
        if path == "/proc":
            return [str(pid) for pid in self._kernel.procs]
        return [name.rpartition("/")[2] for name in self._disk.nodes if name.startswith(f"{path}/")]

    # -- processes --

    def getpid(self) -> int:
        return self._kernel.ours

    def posix_spawn(self, path: str, argv: Iterable[str], env: dict[str, str], **how: Any) -> int:
        self._kernel.call()
        ends: dict[int, Any] = {}
        for kind, one, other, *_ in how["file_actions"]:
            if kind == os.POSIX_SPAWN_DUP2:
                ends[other] = ends[one] if one in ends else self._files.get(one).of
            elif one:
                ends[one] = self._disk.nodes[other]
        pipes = list(dict.fromkeys((ends[1], ends[2])))
        if not (how["setsid"] and how["setsigmask"] == [] and all(isinstance(pipe, Pipe) for pipe in pipes)):
            raise Broken("a dyno is not born clean")
        return self._system.spawn(env, pipes)

    def fork(self) -> int:
        """For the supervisor's aide alone: it hears what it is told by the newest pipe, until its end."""
        self._kernel.call()
        proc = self._kernel.birth(self._kernel.new_pid(), self._kernel.ours)
        assert self._files.newest
        proc.hears = self._files.newest
        proc.hears.turn("reads")
        return proc.pid

    def waitpid(self, pid: int, options: int) -> tuple[int, int]:
        """For the aide alone, which has been told that all is done."""
        self._kernel.call()
        proc = self._kernel.procs.get(pid)
        if proc is None or proc.hears is None:
            raise ChildProcessError(errno.ECHILD, os.strerror(errno.ECHILD))
        if proc.end is None and not b"".join(proc.hears.received).endswith(b"done\n"):
            raise Broken("the aide is waited for, and does not know that it may end")
        self._kernel.procs.pop(pid)
        return pid, 0

    def pidfd_open(self, pid: int) -> int:
        self._kernel.call()
        if pid not in self._kernel.procs:
            raise ProcessLookupError(errno.ESRCH, os.strerror(errno.ESRCH))
        return self._files.add(End("process", self._kernel.procs[pid]))

    def waitid(self, kind: int, pid: int, options: int) -> SimpleNamespace | None:
        kernel = self._kernel
        kernel.call()
        found = [proc for proc in kernel.children(kernel.ours) if kind == os.P_ALL or proc.pid == pid]
        if not found:
            raise ChildProcessError(errno.ECHILD, os.strerror(errno.ECHILD))
        while not (dead := [proc for proc in found if proc.end is not None]):
            if options & os.WNOHANG:
                return None
            if not kernel.advance(float("inf")):
                raise Broken(f"procman waits for ever for the end of {pid}")
        if not options & os.WNOWAIT:
            kernel.reap(dead[0])
        end = dead[0].end or 0
        code = os.CLD_EXITED if end >= 0 else os.CLD_KILLED
        return SimpleNamespace(si_pid=dead[0].pid, si_status=abs(end), si_code=code)


def facts(node: object) -> SimpleNamespace:
    """Of a file, as stat(2) tells."""
    if not isinstance(node, Node):
        return SimpleNamespace(st_mode=stat.S_IFIFO | 0o600)
    return SimpleNamespace(
        st_mode=stat.S_IFREG | 0o600, st_ino=node.number, st_dev=1, st_size=len(node.data), st_nlink=node.links
    )
