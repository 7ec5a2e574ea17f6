"""What a caller of git may do: said by the platform, heeded by ``gitpush``, which do not know each other."""

from typing import NamedTuple

Place = tuple[str, int]
Ends = tuple[Place | None, Place | None]  # of a connection: the client's, and ours; None: of no network


class Grant(NamedTuple):
    """One call, for one app. ``secret``: names a push to the server.

    ``repository``, ``lock``, ``hooks``, ``socket``: paths, of the app's repository and deploy lock, of the folder of
    hooks and of the server's own socket.
    """

    app_name: str
    repository: str
    lock: str
    hooks: str
    socket: str
    secret: str
