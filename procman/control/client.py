"""The client half: one request, its answers, blocking."""

import socket
from collections.abc import Iterator

from procman.control.protocol import Message, decode_answer, encode
from procman.control.server import near

CHUNK = 1 << 16


class NotRunning(ConnectionError):
    """Nobody listens at the socket."""


class Client:
    """A connection to a supervisor. Raises NotRunning when there is none at ``path``.

    ``patience``: seconds to wait for anything, then TimeoutError; None: as sockets do by default, which is for ever:
    an answer may take long to become true.
    """

    def __init__(self, path: str, patience: float | None = None) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        if patience is not None:
            self.socket.settimeout(patience)
        try:
            with near(path) as short:
                self.socket.connect(short)
        except OSError as error:
            self.socket.close()
            raise NotRunning(str(error)) from None
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
        last: Message = {"ok": False, "error": "the supervisor ended before it answered", "hint": None}
        for answer in self.ask(verb, **arguments):
            last = answer
        return last if "ok" in last else {"ok": False, "error": "the supervisor ended before it answered"}

    def close(self) -> None:
        """Hang up."""
        self.socket.close()

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
