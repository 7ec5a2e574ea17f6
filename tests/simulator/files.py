"""Descriptors of the supervisor, pipes with a capacity, and a disk that can be full, all of them made of Python."""

import errno
import os
from collections import deque

from tests.simulator.kernel import Broken, Kernel, Proc

ATOMIC = 4096  # PIPE_BUF: so much goes into a pipe in one piece or not at all


def trouble(number: int, path: str | None = None) -> OSError:
    """The kernel's answer."""
    return OSError(number, os.strerror(number), path) if path else OSError(number, os.strerror(number))


class Pipe:
    """``writers``: how many hold the writing end. ``accepted``: all that was ever written into it.

    ``reader``: "ours" (the supervisor reads it by a descriptor), "nobody" (just now), or an outsider that "reads" at
    once, is "stalled" or "gone". ``received``: what an outsider has read.
    """

    def __init__(self, room: int, reader: str = "ours") -> None:
        self.room = room
        self.reader = reader
        self.writers = 0
        self.size = 0
        self.accepted: list[bytes] = []
        self.received: list[bytes] = []
        self.waiting: deque[Proc] = deque()
        self.path = ""  # of a FIFO
        self._chunks: deque[bytes] = deque()

    def put(self, data: bytes) -> int:
        """How much of it fits. Raises OSError when nobody will read it, or it has to wait."""
        if self.reader == "gone":
            raise trouble(errno.EPIPE)
        room = self.room - self.size
        if room <= 0 or (len(data) <= ATOMIC and room < len(data)):
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        data = bytes(data[:room])
        if self.reader != "nobody":
            self.accepted.append(data)
        if self.reader == "reads":
            self.received.append(data)
        else:
            self._chunks.append(data)
            self.size += len(data)
        return len(data)

    def take(self, most: int) -> bytes:
        """What there is; b"" at the end. Raises BlockingIOError."""
        if not self.size:
            if self.writers:
                raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
            return b""
        data = b"".join(self._chunks)
        self._chunks.clear()
        if data[most:]:
            self._chunks.append(data[most:])
        self.size -= min(len(data), most)
        return data[:most]

    def turn(self, reader: str) -> None:
        """The outsider does otherwise from now on."""
        if self.reader == "gone":
            return
        self.reader = reader
        if reader == "reads" and self.size:
            self.received.append(self.take(self.size))


class Node:
    """A file on the disk."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.data = bytearray()
        self.links = 1


class Disk:
    """Files by path. ``free``: bytes that still fit; None: as many as one likes. ``latency``: seconds of a write."""

    def __init__(self) -> None:
        self.nodes: dict[str, Node | Pipe] = {}
        self.free: int | None = None
        self.latency = 0.0
        self._count = 0

    def make(self, path: str) -> Node:
        """A new file. It may need a block of its own, but that is never what fails here."""
        self._count += 1
        node = self.nodes[path] = Node(self._count)
        return node

    def append(self, node: Node, data: bytes) -> int:
        """What fits, of it. Raises OSError when that is nothing."""
        if self.free is not None:
            data = data[: self.free]
            if not data:
                raise trouble(errno.ENOSPC)
            self.free -= len(data)
        node.data += data
        return len(data)


class End:
    """What a descriptor stands for. ``kind``: "r" or "w" of a pipe, "file", "text", "null", "process", "select"."""

    __slots__ = ("kind", "of")

    def __init__(self, kind: str, of: object = None) -> None:
        self.kind = kind
        self.of = of


class Files:
    """The descriptors of the supervisor. ``out``: who reads its standard output."""

    def __init__(self, kernel: Kernel, room: int) -> None:
        self.kernel = kernel
        self.room = room
        self.disk = Disk()
        self.fds: dict[int, End] = {}
        self.newest: Pipe | None = None
        self.begin()

    def begin(self) -> None:
        """A new supervisor has its three standard descriptors."""
        self.out = Pipe(self.room, "reads")
        self.out.writers = 1
        self.fds = {0: End("null"), 1: End("w", self.out), 2: End("null")}
        self.fail_next_pipe = 0

    def end(self) -> None:
        """The supervisor is gone, and its descriptors with it."""
        for fd in list(self.fds):
            self.close(fd)

    def add(self, end: End) -> int:
        """The lowest number that is free."""
        fd = 0
        while fd in self.fds:
            fd += 1
        self.fds[fd] = end
        return fd

    def get(self, fd: int) -> End:
        """Raises OSError for a number that stands for nothing."""
        if fd not in self.fds:
            raise trouble(errno.EBADF)
        return self.fds[fd]

    def pipe(self) -> tuple[int, int]:
        """Both ends."""
        if self.fail_next_pipe:
            number, self.fail_next_pipe = self.fail_next_pipe, 0
            raise trouble(number)
        pipe = Pipe(self.room)
        pipe.writers = 1
        self.newest = pipe
        return self.add(End("r", pipe)), self.add(End("w", pipe))

    def dup(self, fd: int) -> int:
        """Another number for the same."""
        end = self.get(fd)
        if end.kind == "w":
            end.of.writers += 1
        return self.add(End(end.kind, end.of))

    def close(self, fd: int) -> None:
        """What waits for the other end learns of it."""
        end = self.get(fd)
        del self.fds[fd]
        if isinstance(end.of, Pipe):
            if end.kind == "w":
                end.of.writers -= 1
            elif end.of.path:
                end.of.reader = "nobody"  # a dyno holds its FIFO for reading too, and may write into it to no end
            elif end.of.reader == "ours":
                end.of.reader = "gone"
                self.unblock(end.of)

    def read(self, fd: int, most: int) -> bytes:
        """Of a pipe, or a file of /proc."""
        end = self.get(fd)
        if end.kind == "text":
            data, end.of = end.of[:most], end.of[most:]
            return data
        pipe = end.of
        assert isinstance(pipe, Pipe), "only pipes are read here"
        data = pipe.take(most)
        if pipe.waiting:
            self.unblock(pipe)
        return data

    def write(self, fd: int, data: bytes) -> int:
        """To a pipe, a file or nowhere."""
        end = self.get(fd)
        if isinstance(end.of, Pipe):
            return end.of.put(data)
        if isinstance(end.of, Node):
            return self.disk.append(end.of, data)
        return len(data)

    def is_ready(self, fd: int, writable: bool) -> bool:
        """Whether a poller would tell. Closed descriptors vanish from a real one, silently: a mistake of ours."""
        end = self.fds.get(fd)
        if end is None:
            raise Broken(f"descriptor {fd} is closed and still watched")
        if end.kind == "select":
            return bool(end.of.ready())
        pipe = end.of
        if not isinstance(pipe, Pipe):
            return isinstance(pipe, Proc) and pipe.end is not None
        if end.kind == "r":
            return pipe.size > 0 or not pipe.writers
        if writable:
            return pipe.reader == "gone" or pipe.room - pipe.size >= ATOMIC or (pipe.room <= ATOMIC and not pipe.size)
        return pipe.reader == "gone"

    # -- what dynos write --

    def say(self, proc: Proc, pipe: Pipe, data: bytes) -> None:
        """A process writes; where there is no room, it waits, and does nothing else meanwhile."""
        if proc.end is not None:
            return
        if proc.blocked or proc.stopped:
            proc.blocked += data
            self._wait(proc, pipe)
            return
        try:
            done = pipe.put(data)
        except BlockingIOError:
            done = 0
        except OSError:
            self.kernel.end(proc, -13)  # SIGPIPE
            return
        if done < len(data):
            self.kernel.faults["pipe full"] += 1
            proc.blocked = data[done:]
            self._wait(proc, pipe)

    def _wait(self, proc: Proc, pipe: Pipe) -> None:
        if proc not in pipe.waiting:
            pipe.waiting.append(proc)

    def unblock(self, pipe: Pipe) -> None:
        """There is room, or never will be."""
        for _ in range(len(pipe.waiting)):
            proc = pipe.waiting.popleft()
            data, proc.blocked = proc.blocked, b""
            if data and proc.end is None:
                self.say(proc, pipe, data)
            if not proc.blocked and proc.leaves is not None:
                self.kernel.end(proc, proc.leaves)
