"""The client half: one request, its answers, blocking."""

import socket
from collections.abc import Iterator

from procman.control.protocol import Message, decode_answer, encode
from procman.control.server import near


class NotRunning(ConnectionError):
    """Nobody listens at the socket."""


class Client:
    """A connection to a supervisor. Raises NotRunning when there is none at ``path``."""

    def __init__(self, path: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            with near(path) as short:
                self.socket.connect(short)
        except OSError as error:
            self.socket.close()
            raise NotRunning(str(error)) from None
        self._file = self.socket.makefile("rb")

    def ask(self, verb: str, **arguments: object) -> Iterator[Message]:
        """Send the request; yields every answer, the last of which has ``ok``."""
        self.socket.sendall(encode({"verb": verb, **arguments}))
        for line in self._file:
            answer = decode_answer(line)
            yield answer
            if "ok" in answer:
                return

    def call(self, verb: str, **arguments: object) -> Message:
        """The last answer. A supervisor that ends in the middle counts as a refusal."""
        last: Message = {"ok": False, "error": "the supervisor ended before it answered", "hint": None}
        for answer in self.ask(verb, **arguments):
            last = answer
        return last if "ok" in last else {"ok": False, "error": "the supervisor ended before it answered"}

    def close(self) -> None:
        """Hang up."""
        self._file.close()
        self.socket.close()

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
