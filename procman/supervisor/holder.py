"""A tiny process that keeps what a killed supervisor leaves to the next: its dynos' log pipes, and how they ended.

The lifeline's counterpart, where dynos shall outlive their supervisor. It is a fork that waits on a pipe, to which
the supervisor writes the dynos that it starts and those that have ended, and ``done`` before it leaves. When the pipe
closes without that word, it stays: it has every log pipe open, so that nothing in them is lost when their dyno ends
too, and notes the status of each dyno that does. The next supervisor, which has opened the pipes itself, ends it.
"""

import os
import struct
from collections.abc import Mapping, Sequence

from procman.supervisor.aide import DONE, Aide, leave_all_but
from procman.supervisor.ends import EXIT
from procman.supervisor.proctable import read_process
from procman.typed import Any

# linux/pidfd.h since 6.15: PIDFD_GET_INFO tells how a process that was reaped has ended, to whoever held it.
GET_INFO, INFO_EXIT = 0xC040FF0B, 1 << 3
INFO = struct.Struct("=Q52xi")  # mask and exit code, of 64 bytes
STATUS_FIELD = 51 - 2  # of /proc/PID/stat (proc(5): exit_code), counted behind the name


class Holder(Aide):
    """The supervisor's end of the pipe. It is there from the beginning: the home tells of it."""

    def __init__(self, found: Mapping[str, Any] | None = None) -> None:
        super().__init__(found)
        if not self.pid:
            self.start()

    def live(self, reader: int) -> None:
        """See ``Aide``."""
        Held(reader).keep()

    def word(self, pid: int, start: int, pipes: Sequence[str]) -> str:
        """See ``Aide``: a dyno and its log pipes."""
        return f"+{pid} {' '.join(pipes)}\n"


class Held:
    """The other end: the process's whole life."""

    def __init__(self, reader: int) -> None:
        leave_all_but(reader)
        self._pipes: dict[int, list[int]] = {}
        self._handles: dict[int, tuple[int, str]] = {}  # pidfd to pid, and where to note its end

    def keep(self) -> None:
        """Until told that all is done, or for ever."""
        from select import POLLIN, poll  # noqa: PLC0415 - only here

        told = b""
        while chunk := os.read(3, 65_536):
            *lines, told = (told + chunk).split(b"\n")
            for line in lines:
                if line == DONE.strip():
                    return
                self._take(line.decode("utf-8", "surrogateescape"))
        if not self._pipes:
            return  # its supervisor was killed before it had any dynos
        poller = poll()
        for handle in self._handles:
            poller.register(handle, POLLIN)
        while True:
            for handle, _ in poller.poll():
                poller.unregister(handle)
                pid, path = self._handles[handle]
                note(path, status_of(handle, pid))

    def _take(self, line: str) -> None:
        pid, *paths = line[1:].split()
        if line[:1] == "+":
            if not paths:
                return  # its pipes have no names, and nobody will adopt it
            self._pipes[int(pid)] = [fd for path in paths if (fd := hold(path)) is not None]
            try:
                self._handles[os.pidfd_open(int(pid))] = int(pid), paths[0] + EXIT
            except OSError:
                pass  # it has ended, and its supervisor knows
        else:
            for fd in self._pipes.pop(int(pid), []):
                os.close(fd)
            for handle in [handle for handle, (held, _) in self._handles.items() if held == int(pid)]:
                del self._handles[handle]
                os.close(handle)


def hold(path: str) -> int | None:
    """A FIFO, open for both, so that neither end is ever missing."""
    try:
        return os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None


def status_of(handle: int, pid: int) -> int | None:
    """How a process that has ended did so, as wait(2) tells; None when nobody knows.

    Before it is reaped /proc tells; afterwards, newer kernels tell whoever held it. In between, one may miss the other.
    """
    for _ in range(3):
        told = read_status(pid) if (row := read_process(pid)) and not row.alive else None
        if told is None:
            told = ask_status(handle)
        if told is not None:
            return told
    return None


def read_status(pid: int) -> int | None:
    """Of a zombie of our own user."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            stat = file.read()
    except OSError:
        return None
    fields = stat[stat.rindex(b")") + 2 :].split()
    return int(fields[STATUS_FIELD]) if len(fields) > STATUS_FIELD else None


def ask_status(handle: int) -> int | None:
    """Of a process that was reaped while the pidfd was open."""
    from fcntl import ioctl  # noqa: PLC0415 - only here

    info = bytearray(64)
    INFO.pack_into(info, 0, INFO_EXIT, 0)
    try:
        ioctl(handle, GET_INFO, info)
    except OSError:
        return None
    mask, status = INFO.unpack_from(info)
    return status if mask & INFO_EXIT else None


def note(path: str, status: int | None) -> None:
    """For the next supervisor."""
    try:
        fd = os.open(f"{path}.new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        os.write(fd, b"unknown" if status is None else b"%d" % status)
        os.close(fd)
        os.replace(f"{path}.new", path)
    except OSError:
        return
