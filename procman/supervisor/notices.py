"""Sockets on which dynos say how they are (sd_notify(3)): one a dyno, at a place that stays for all its life."""

import errno
import os
import socket
import stat
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from procman.core.model import DynoName
from procman.supervisor.loop import Loop

SHARED = (0o022, 0o020, 0o002)  # others may write; with the sticky bit, each for himself
LONGEST = 4096  # bytes of one notice


class Notices:
    """``place``: where the socket of a dyno's run is to be. ``hear`` is told of every notice, as names and values."""

    def __init__(self, loop: Loop, place: Callable[[DynoName, int], str]) -> None:
        self.hear: Callable[[DynoName, Mapping[str, str]], None] = lambda dyno, words: None
        self._loop = loop
        self._place = place
        self._sockets: dict[DynoName, tuple[socket.socket, str]] = {}

    def listen(self, dyno: DynoName, run: int) -> str:
        """From now on, or still; where. Raises OSError."""
        path = self._place(dyno, run)
        if dyno in self._sockets and self._sockets[dyno][1] == path:
            return path
        self.close(dyno)
        found = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            bind(found, path)
        except OSError:
            found.close()
            raise
        self._take(dyno, found, path)
        return path

    def close(self, dyno: DynoName) -> None:
        """Nothing of the dyno is left to speak."""
        if dyno in self._sockets:
            found, path = self._sockets.pop(dyno)
            self._loop.unwatch(found.fileno())
            found.close()
            remove(path)
            try:
                os.rmdir(os.path.dirname(path))
            except OSError:
                return  # others' are there too

    def pack(self) -> list[list[Any]]:
        """For another program that goes on in our place: what was sent meanwhile waits in them."""
        return [[dyno, found.fileno(), path] for dyno, (found, path) in self._sockets.items()]

    def unpack(self, rows: Iterable[Any]) -> None:
        """Go on with these."""
        for dyno, fd, path in rows:
            self._take(DynoName(*dyno), socket.socket(fileno=fd), path)

    def _take(self, dyno: DynoName, found: socket.socket, path: str) -> None:
        found.setblocking(False)
        self._sockets[dyno] = found, path
        self._loop.watch(found.fileno(), lambda: self._receive(dyno, found))

    def _receive(self, dyno: DynoName, found: socket.socket) -> None:
        while True:
            try:
                notice = found.recv(LONGEST)
            except OSError:
                return
            lines = notice.decode("utf-8", "replace").split("\n")
            self.hear(dyno, dict(line.split("=", 1) for line in lines if "=" in line))
            if self._sockets.get(dyno, (None,))[0] is not found:
                return


def bind(found: socket.socket, path: str) -> None:
    """At a path that may be longer than an address, in a directory that is made; who had it before is gone."""
    folder, name = os.path.split(path)
    make_private(os.path.dirname(folder))
    make_private(folder)
    remove(path)
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        near = f"/proc/self/fd/{fd}/{name}"
        found.bind(near if os.path.isdir(f"/proc/self/fd/{fd}") else path)
    finally:
        os.close(fd)


def make_private(folder: str) -> None:
    """A directory that nobody else writes in, who could be there first. Raises OSError."""
    os.makedirs(folder, mode=0o700, exist_ok=True)
    found = os.lstat(folder)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o1022 in SHARED:
        raise PermissionError(errno.EPERM, "others can write there", folder)


def remove(path: str) -> None:
    """Whatever was there."""
    try:
        os.unlink(path)
    except OSError:
        return
