"""Unix sockets with long names, and who is at their other end."""

import os
import socket
import struct
from typing import Any

BACKLOG = 128  # clients that knock at the same instant


def listen(path: str) -> socket.socket:
    """A listening socket at ``path``, 0600, in place of a stale one. The caller holds the lock that makes it ours."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
    mask = os.umask(0o177)
    try:
        with near(path) as short:
            listener.bind(short)
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    finally:
        os.umask(mask)
    return listener


class near:  # noqa: N801 - used as a function
    """A short name for a long path: sockets have at most 107 bytes of it, directories on Linux have none such."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._fd = -1

    def __enter__(self) -> str:
        if len(os.fsencode(self._path)) < 100:
            return self._path
        directory, name = os.path.split(self._path)
        self._fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        return f"/proc/self/fd/{self._fd}/{name}"

    def __exit__(self, *_: Any) -> None:
        if self._fd >= 0:
            os.close(self._fd)


def peer_uid(peer: socket.socket) -> int:
    """The user at the other end, by the kernel's word; our own where it has none to give."""
    found = credentials(peer)
    return os.getuid() if found is None else found[1]  # macOS: the directory's mode has to do


def credentials(peer: socket.socket) -> tuple[int, int] | None:
    """Process and user id at the other end, by the kernel's word, where it has one to give."""
    option = getattr(socket, "SO_PEERCRED", None)
    if option is None:
        return None
    pid, uid, _ = struct.unpack("3i", peer.getsockopt(socket.SOL_SOCKET, option, 12))
    return pid, uid
