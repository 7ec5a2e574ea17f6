"""Unix sockets: those at which clients knock, names for long paths, and who is at their other end.

The control socket is there before a start's first dyno, so by ``_socket``, the half of ``socket`` that talks to the
kernel. The other half costs 2 ms, and is for who serves.
"""

import os
import struct

from procman.errors import ProcmanError
from procman.typed import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import _socket
    import socket

BACKLOG = 128  # clients that knock at the same instant, or before anybody serves


def bind(path: str, whose: str = "control") -> int:
    """A descriptor that listens at ``path``, 0600, in place of a stale one. Raises ProcmanError.

    The caller holds the lock that makes the path ours. It has that name only when it listens: who finds it is heard.
    """
    import _socket  # noqa: PLC0415 - only where there is a formation

    listener, unheard = None, f"{path}.new"
    mask = os.umask(0o177)
    try:
        listener = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
        remove(unheard)
        with near(unheard) as short:
            listener.bind(short)
        listener.listen(BACKLOG)
        os.rename(unheard, path)
    except OSError as error:
        if listener:
            listener.close()
            remove(unheard)
        raise ProcmanError(f"cannot open the {whose} socket {path}: {error.strerror or error}") from None
    finally:
        os.umask(mask)
    return listener.detach()


def listen(path: str, whose: str = "control") -> "socket.socket":
    """The same, as who serves has it."""
    import socket  # noqa: PLC0415

    return socket.socket(fileno=bind(path, whose))


def remove(path: str) -> None:
    """What a killed supervisor left, or one that could not begin."""
    try:
        os.unlink(path)
    except OSError:
        return  # there is none, or whoever wants its place will hear why not


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


def peer_uid(peer: "_socket.socket") -> int:
    """The user at the other end, by the kernel's word; our own where it has none to give."""
    found = credentials(peer)
    return os.getuid() if found is None else found[1]  # macOS: the directory's mode has to do


def credentials(peer: "_socket.socket") -> tuple[int, int] | None:
    """Process and user id at the other end, by the kernel's word, where it has one to give."""
    import _socket  # noqa: PLC0415

    option = getattr(_socket, "SO_PEERCRED", None)
    if option is None:
        return None
    pid, uid, _ = struct.unpack("3i", peer.getsockopt(_socket.SOL_SOCKET, option, 12))
    return pid, uid
