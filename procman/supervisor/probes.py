"""One question to a dyno about its health, asked by the loop itself: no thread, and nothing that blocks.

Whoever asks keeps the time: after ``give_up_at`` it takes ``late`` for the answer and cancels.
"""

import errno
import os
import signal
import socket
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

from procman.core.health import spelt
from procman.supervisor.loop import Loop

HEAD = 1024  # bytes of an answer that are looked at
ADDRESS = "127.0.0.1"
STATUS_FD = 3
# The status comes by a pipe: the process itself is reaped by whoever hears of any end first.
TELL = '"$@" 3>&-; echo $? >&3'

Done = Callable[[str], None]  # hears nothing of a dyno that is well, or why it is not


class Asking(Protocol):
    """A question that is out."""

    give_up_at: float

    def late(self) -> str:
        """What its silence means."""

    def cancel(self) -> None:
        """Nobody wants to know any more."""


class Get(NamedTuple):
    """An HTTP request. ``any_answer``: whatever its status."""

    port: int
    path: str
    timeout: float
    host: str = ADDRESS
    any_answer: bool = False


class HttpProbe:
    """Asks at once. ``done`` may be called before there is an object."""

    def __init__(self, loop: Loop, get: Get, done: Done) -> None:
        self.give_up_at = loop.now() + get.timeout
        self._loop = loop
        self._get = get
        self._done = done
        self._head = b""
        self._peer: socket.socket | None = None
        self._watched = False

    def ask(self) -> None:
        """Begin."""
        try:
            self._peer = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            self._peer.setblocking(False)
            failed = self._peer.connect_ex((ADDRESS, self._get.port))
        except OSError as error:
            failed = error.errno or errno.EIO
        if failed not in (0, errno.EINPROGRESS) or self._peer is None:
            self._fail(failed)
            return
        self._watch(self._send, writable=True)

    def late(self) -> str:
        """See ``Asking``."""
        return f"GET {self._get.path} was not answered within {spelt(self._get.timeout)}"

    def cancel(self) -> None:
        """Hang up."""
        peer, self._peer = self._peer, None
        if peer is not None:
            if self._watched:
                self._loop.unwatch(peer.fileno())
            peer.close()

    def _watch(self, action: Callable[[], None], writable: bool = False) -> None:
        assert self._peer is not None
        if self._watched:
            self._loop.unwatch(self._peer.fileno())
        self._watched = True
        self._loop.watch(self._peer.fileno(), action, writable)

    def _send(self) -> None:
        assert self._peer is not None
        text = (
            f"GET {self._get.path} HTTP/1.1\r\nHost: {self._get.host}\r\nUser-Agent: procman\r\n"
            "X-Forwarded-Proto: https\r\nConnection: close\r\n\r\n"
        )
        failed = self._peer.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        try:
            if not failed:
                self._peer.send(text.encode())  # so short that a fresh connection takes it whole
        except OSError as error:
            failed = error.errno or errno.EIO
        if failed:
            self._fail(failed)
        else:
            self._watch(self._receive)

    def _receive(self) -> None:
        assert self._peer is not None
        try:
            chunk = self._peer.recv(HEAD)
        except BlockingIOError:
            return
        except OSError as error:
            self._fail(error.errno or errno.EIO)
            return
        self._head += chunk
        if chunk and b"\n" not in self._head and len(self._head) < HEAD:
            return
        status = status_of(self._head)
        if 200 <= status < 400 or (status and self._get.any_answer):
            self._end("")
            return
        words = f"answered with {status}" if status else "not answered in HTTP"
        self._end(f"GET {self._get.path} was {words}")

    def _fail(self, failed: int) -> None:
        self._end(f"GET {self._get.path} failed: {os.strerror(failed)}")

    def _end(self, why: str) -> None:
        self.cancel()
        self._done(why)


class Run(NamedTuple):
    """A command. ``text``: what people call it."""

    text: str
    argv: Sequence[str]
    env: Mapping[str, str]
    timeout: float


class CommandProbe:
    """Runs it in a session of its own. ``aides``: where its pid is noted while it runs, as no dyno's."""

    def __init__(self, loop: Loop, run: Run, aides: set[int], done: Done) -> None:
        self.give_up_at = loop.now() + run.timeout
        self._loop = loop
        self._run = run
        self._aides = aides
        self._done = done
        self._pid = 0
        self._reader = -1
        self._told = b""

    def ask(self) -> None:
        """Begin."""
        reader, writer = os.pipe()
        os.set_blocking(reader, False)
        null = [(os.POSIX_SPAWN_OPEN, fd, os.devnull, os.O_RDWR, 0) for fd in (0, 1, 2)]
        actions = [*null, (os.POSIX_SPAWN_DUP2, writer, STATUS_FD)]
        argv = ("/bin/sh", "-c", TELL, "sh", *self._run.argv)
        try:
            self._pid = os.posix_spawn(
                argv[0], argv, dict(self._run.env), file_actions=actions, setsid=True, setsigmask=[],
                setsigdef=signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP},
            )  # fmt: skip
        except OSError as error:
            os.close(reader)
            self._done(f"`{self._run.text}` cannot be run: {error.strerror}")
            return
        finally:
            os.close(writer)
        self._aides.add(self._pid)
        self._reader = reader
        self._loop.watch(reader, self._hear)

    def late(self) -> str:
        """See ``Asking``."""
        return f"`{self._run.text}` has not ended within {spelt(self._run.timeout)}"

    def cancel(self) -> None:
        """Kill all of it."""
        if self._reader < 0:
            return
        self._loop.unwatch(self._reader)
        os.close(self._reader)
        self._reader = -1
        try:
            os.killpg(self._pid, signal.SIGKILL)
        except OSError:
            pass  # it has ended meanwhile
        self._aides.discard(self._pid)

    def _hear(self) -> None:
        try:
            chunk = os.read(self._reader, 64)
        except BlockingIOError:
            return
        self._told += chunk
        if chunk and b"\n" not in chunk:
            return
        told = self._told.strip()
        self.cancel()  # what it may have left in the background ends with it
        if told == b"0":
            self._done("")
        else:
            ended = f"ended with status {int(told)}" if told.isdigit() else "was killed"
            self._done(f"`{self._run.text}` {ended}")


def status_of(head: bytes) -> int:
    """Of an answer's first line; 0 when that is none."""
    words = head.split(b"\n", 1)[0].split()
    return int(words[1]) if len(words) > 1 and words[0].startswith(b"HTTP/1.") and words[1].isdigit() else 0
