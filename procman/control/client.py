"""The client half: one request, its answers, blocking."""

import _socket as socket  # the half that talks to the kernel; the other one takes a tenth of the time of `ps`
import os
import select
import struct

from procman.control.protocol import Message, decode_answer, encode, refusal
from procman.control.sockets import credentials, near
from procman.typed import Iterator

CHUNK = 1 << 16
ENDED = "the supervisor ended before it answered"


class NotRunning(ConnectionError):
    """Nobody listens at the socket, or nobody that we may speak to. With the kernel's ``errno``."""


class Client:
    """A connection to a supervisor. Raises NotRunning when there is none at ``path``.

    ``patience``: seconds to wait for anything, then TimeoutError; None: as sockets do by default, which is for ever:
    an answer may take long to become true.
    """

    def __init__(self, path: str, patience: float | None = None) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        patience = self.socket.gettimeout() if patience is None else patience
        try:
            # Who knocks with a time limit of Python's is sent away when others knock too: the kernel's makes it wait.
            self.socket.setblocking(True)
            if patience:
                self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", int(patience) + 1, 0))
            with near(path) as short:
                self.socket.connect(short)
        except OSError as error:
            self.socket.close()
            raise NotRunning(error.errno, error.strerror or str(error)) from None
        self.socket.settimeout(patience)
        self._inbox = b""

    def ask(self, verb: str, **arguments: object) -> Iterator[Message]:
        """Send the request; yields every answer, the last of which has ``ok``."""
        try:
            self.socket.sendall(encode({"verb": verb, **arguments}))
        except (BrokenPipeError, ConnectionResetError):
            pass  # what was refused half-way has its answer waiting
        while chunk := self._receive():
            *lines, self._inbox = (self._inbox + chunk).split(b"\n")
            for at, line in enumerate(lines):
                answer = decode_answer(line)
                if "ok" in answer:
                    self._inbox = b"\n".join((*lines[at + 1 :], self._inbox))
                yield answer
                if "ok" in answer:
                    return

    def _receive(self) -> bytes:
        try:
            return self.socket.recv(CHUNK)
        except ConnectionResetError:
            return b""  # it ended without having read all that we said

    def raw(self) -> bytes:
        """What has come behind the last answer: the first bytes of an attached terminal."""
        rest, self._inbox = self._inbox, b""
        return rest

    def call(self, verb: str, **arguments: object) -> Message:
        """The last answer. A supervisor that ends in the middle counts as a refusal."""
        for answer in self.ask(verb, **arguments):
            if "ok" in answer:
                return answer
        return refusal(ENDED)

    def shut_down(self, now: bool = False) -> Message:
        """Ask for the end of everything. Returns when the supervisor's process has gone, or with its refusal."""
        found = credentials(self.socket)
        try:
            handle = os.pidfd_open(found[0]) if found else None
        except OSError:
            handle = None
        for answer in self.ask("shutdown", now=now):
            return answer
        if handle is not None:
            select.select([handle], [], [])  # its last words are not yet its end
            os.close(handle)
        return {"ok": True}

    def close(self) -> None:
        """Hang up."""
        self.socket.close()

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
