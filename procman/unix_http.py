"""HTTP over a Unix socket, for those who talk to the server on its own host: the git hook and the command line."""

import socket
from http.client import HTTPConnection


class UnixConnection(HTTPConnection):
    """A connection to the server's socket at ``path``."""

    def __init__(self, path: str, timeout: float | None = None) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        """Join it. Raises OSError."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)
