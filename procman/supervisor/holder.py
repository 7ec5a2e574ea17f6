"""A tiny process that keeps what a killed supervisor leaves to the next: its dynos' log pipes, and how they ended.

The lifeline's counterpart, where dynos shall outlive their supervisor. It is a fork that waits on a socket, to which
the supervisor writes the dynos that it starts and those that have ended, and ``done`` before it leaves. When that
closes without that word, it stays: it has every log pipe open, so that nothing in them is lost when their dyno ends
too, and notes the status of each dyno that does. The next supervisor, which has opened the pipes itself, ends it.

It is handed each pipe, open, before the dyno is made that writes into it. A descriptor on its way is open too: however
late this process comes to look, and whoever ends meanwhile, at no moment is a pipe without anybody.
"""

import os
import struct

from procman.supervisor.aide import DONE, Aide, leave_all_but
from procman.supervisor.ends import EXIT
from procman.supervisor.proctable import read_process
from procman.typed import Any, Mapping, Sequence

NUL = "\0"  # between paths: the one character that none can have
MOST_PIPES = 64  # of one message; a dyno has two at most
WORD_BYTES = 64 << 10
# linux/pidfd.h since 6.15: PIDFD_GET_INFO tells how a process that was reaped has ended, to whoever held it.
GET_INFO, INFO_EXIT = 0xC040FF0B, 1 << 3
INFO = struct.Struct("=Q52xi")  # mask and exit code, of 64 bytes
STATUS_FIELD = 51 - 2  # of /proc/PID/stat (proc(5): exit_code), counted behind the name


class Holder(Aide):
    """The supervisor's end of the pipe. It is there from the beginning: the home tells of it."""

    def __init__(self, found: Mapping[str, Any] | None = None) -> None:
        super().__init__(found)
        self._held = list(found["held"]) if found and "held" in found else []  # paths; a program of before did not tell
        if not self.pid:
            self.start()

    def pack(self) -> dict[str, Any]:
        """See ``Guard``."""
        return {**super().pack(), "held": self._held}

    def connect(self) -> tuple[int, int]:
        """See ``Aide``: one message a word, and descriptors with it."""
        return connect()

    def start(self) -> None:
        """See ``Aide``. A new one has to be handed every pipe again."""
        super().start()
        for path in self._held if self.pid else ():
            hand_over(self._pipe, [path])

    def hold(self, pipes: Sequence[str]) -> None:
        """See ``Guard``."""
        self._held += pipes
        if self.pid:
            hand_over(self._pipe, pipes)

    def let_go(self, pipes: Sequence[str]) -> None:
        """See ``Guard``."""
        self._held = [path for path in self._held if path not in pipes]
        if self.pid and pipes:
            self._tell(f"/{NUL.join(pipes)}\n")

    def live(self, reader: int) -> None:
        """See ``Aide``."""
        Held(reader).keep()

    def word(self, pid: int, start: int, pipes: Sequence[str]) -> str:
        """See ``Aide``: a dyno and its log pipes."""
        return f"+{pid} {NUL.join(pipes)}\n"


class Held:
    """The other end: the process's whole life."""

    def __init__(self, reader: int) -> None:
        leave_all_but(reader)
        self._pipes: dict[str, int] = {}
        self._handles: dict[int, tuple[int, str]] = {}  # pidfd to pid, and where to note its end

    def keep(self) -> None:
        """Until told that all is done, or for ever."""
        from select import POLLIN, poll  # noqa: PLC0415 - only here

        while word := receive(3):
            if word[0] == DONE:
                return
            self._take(*word)
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

    def _take(self, data: bytes, fds: Sequence[int]) -> None:
        line = os.fsdecode(data)
        sign, paths = line[0], pipes_in(line)
        if sign == "=":
            self._close(paths)
            self._pipes.update(zip(paths, fds, strict=False))
        elif sign == "+":
            self._watch(int(line[1:].split(" ", 1)[0]), paths)
        elif sign == "/":
            self._close(paths)
        else:
            self._forget(int(line[1:]))

    def _watch(self, pid: int, paths: Sequence[str]) -> None:
        if not paths:
            return  # its pipes have no names, and nobody will adopt it
        try:
            self._handles[os.pidfd_open(pid)] = pid, paths[0] + EXIT
        except OSError:
            pass  # it has ended, and its supervisor knows

    def _forget(self, pid: int) -> None:
        for handle in [handle for handle, (held, _) in self._handles.items() if held == pid]:
            del self._handles[handle]
            os.close(handle)

    def _close(self, paths: Sequence[str]) -> None:
        for path in paths:
            if path in self._pipes:
                os.close(self._pipes.pop(path))


def connect() -> tuple[int, int]:
    """Both ends of a socket whose messages stay whole. Raises OSError."""
    import _socket as socket  # noqa: PLC0415 - its better half costs 3 ms more before the first dyno runs

    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    return one.detach(), other.detach()


def hand_over(fd: int, paths: Sequence[str]) -> None:
    """Send log pipes, by their paths and opened; nothing of those that cannot be opened."""
    import _socket as socket  # noqa: PLC0415

    opened = {path: held for path in paths if (held := hold(path)) is not None}
    if not opened:
        return
    end = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET, 0, fd)
    data = struct.pack(f"{len(opened)}i", *opened.values())
    try:
        end.sendmsg([os.fsencode(f"={NUL.join(opened)}\n")], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, data)])
    except OSError:
        pass  # it was killed; the next one is handed them again
    finally:
        end.detach()
        for held in opened.values():
            os.close(held)


def receive(fd: int) -> tuple[bytes, Sequence[int]] | None:
    """A message, and the descriptors that came with it; None when nobody will send any more."""
    import _socket as socket  # noqa: PLC0415

    end = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET, 0, fd)
    try:
        data, extra, _, _ = end.recvmsg(WORD_BYTES, socket.CMSG_SPACE(MOST_PIPES * struct.calcsize("i")))
    finally:
        end.detach()
    fds = [fd for _, kind, raw in extra if kind == socket.SCM_RIGHTS for (fd,) in struct.iter_unpack("i", raw)]
    return (data, fds) if data else None


def pipes_in(line: str) -> Sequence[str]:
    """The paths that a word names: behind a pid and a blank, if there is a pid."""
    text = line[1:].removesuffix("\n")
    if line[0] == "+":
        text = text.partition(" ")[2]
    return text.split(NUL) if text else ()


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
