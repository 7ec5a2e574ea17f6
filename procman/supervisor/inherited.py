"""The root process of a dyno that an earlier supervisor started: no child of ours, so its end comes another way."""

import os
import select

from procman.supervisor.holder import read_status, status_of
from procman.supervisor.proctable import environ_of, read_process


class Inherited:
    """Held by a pidfd, which becomes readable when it ends. ``handle`` None: it has ended before we came.

    ``status``: how it ended, as wait(2) has it, once ``has_ended``; None when nobody knows.
    """

    def __init__(self, pid: int, handle: int | None, status: int | None = None) -> None:
        self.pid = pid
        self.handle = handle
        self.status = status
        self._ended = handle is None

    def has_ended(self) -> bool:
        """Whether it is over. Asked of the kernel each time until it is."""
        if not self._ended and self.handle is not None and is_readable(self.handle):
            self._ended = True
            self.status = status_of(self.handle, self.pid)
        return self._ended

    def close(self) -> None:
        """Nobody waits for it any more."""
        if self.handle is not None:
            os.close(self.handle)
            self.handle = None


def find(pid: int, start: int, token: bytes, noted: str) -> Inherited:
    """The very process that is meant, by its start time, and unless it bears another's token; or its end.

    ``noted``: the file in which its end is told, if somebody saw it.
    """
    try:
        handle = os.pidfd_open(pid)
    except OSError:
        return Inherited(pid, None, read_note(noted))
    row = read_process(pid)  # behind the pidfd, which is this one's or nobody's
    if row is not None and row.start == start:
        if not row.alive:
            os.close(handle)
            return Inherited(pid, None, read_status(pid))
        if not is_anothers(environ_of(pid), token):
            return Inherited(pid, handle)
    os.close(handle)
    return Inherited(pid, None, read_note(noted))


def is_anothers(environ: bytes, token: bytes) -> bool:
    """Whether an environment is that of somebody else's dyno.

    It may have no token at all: for a moment, while one program becomes another, and for good, where one
    has written its title over it.
    """
    return token not in environ and token.partition(b"=")[0] + b"=" in environ


def is_readable(fd: int) -> bool:
    """Right now."""
    poller = select.poll()
    poller.register(fd, select.POLLIN)
    return bool(poller.poll(0))


def read_note(path: str) -> int | None:
    """The status that was noted, if one was."""
    try:
        with open(path, "rb") as file:
            text = file.read(32)
    except OSError:
        return None
    return int(text) if text.isdigit() else None
