"""A tiny process that ends every dyno when the supervisor is gone without having done so itself (SIGKILL).

It waits on a pipe. The supervisor writes the sessions it starts and those that have ended, and ``done`` before it
leaves. When the pipe closes without that word, the lifeline ends each session it knows, and everything that bears
the supervisor's token. It is a fork, not a thread or a PDEATHSIG: that one reaches only direct children, and needs
a hook between fork and exec that ``posix_spawn`` does not have.
"""

import os
import time

from procman.lean import signal
from procman.supervisor.aide import DONE, Aide, leave_all_but
from procman.supervisor.proctable import BLANK_S, Process, environs_in, read_process, signal_process, snapshot
from procman.typed import Any, Callable, Mapping, Sequence

GRACE_S = 2.0  # from SIGTERM to SIGKILL: nobody is left who would say what is going on


class Lifeline(Aide):
    """The supervisor's end of the pipe. ``token``: ``NAME=value``, as dynos have it. ``found``: see ``pack``."""

    def __init__(self, token: bytes, found: Mapping[str, Any] | None = None) -> None:
        self._token = token
        super().__init__(found)

    def live(self, reader: int) -> None:
        """See ``Aide``."""
        wait(reader, self._token)

    def word(self, pid: int, start: int, pipes: Sequence[str]) -> str:
        """See ``Aide``: a session, by its leader and that one's start time."""
        return f"+{pid} {start}\n"


def wait(reader: int, token: bytes) -> None:
    """The lifeline's whole life."""
    leave_all_but(reader)
    told = b""
    while chunk := os.read(3, 65_536):
        told += chunk
    if not told.endswith(DONE):
        end_all(sessions_in(told), token)


def sessions_in(told: bytes) -> dict[int, int]:
    """Leader pid to start time of the sessions begun and not ended in the supervisor's words."""
    sessions: dict[int, int] = {}
    for line in told.split(b"\n")[:-1]:
        if line[:1] == b"+":
            pid, start = line[1:].split()
            sessions[int(pid)] = int(start)
        elif line[:1] == b"-":
            sessions.pop(int(line[1:]), None)
    return sessions


def end_all(sessions: Mapping[int, int], token: bytes, grace: float = GRACE_S) -> int:
    """SIGTERM, at most ``grace`` seconds, SIGKILL, until nothing of the sessions or with the token is left.

    Returns how many processes were found. Waits on pidfds, not by polling.
    """
    if not snapshot().rows:  # no /proc: the groups are all that can be reached
        for pid in sessions:
            try:
                os.killpg(pid, signal.SIGKILL)
            except OSError:
                continue
        return len(sessions)
    deadline = time.monotonic() + BLANK_S
    return end_those(lambda: members(sessions, token, deadline), grace)


def end_those(find: Callable[[], list[Process]], grace: float = GRACE_S) -> int:
    """The same for whatever ``find`` finds, again and again."""
    found = find()
    for process in found:
        signal_process(process, signal.SIGTERM)
        signal_process(process, signal.SIGCONT)
    wait_for_exit(found, grace)
    for _ in range(100):  # what forks faster than it is killed is met again
        left = find()
        if not left:
            break
        for process in left:
            signal_process(process, signal.SIGKILL)
        wait_for_exit(left, grace)
    return len(found)


def members(sessions: Mapping[int, int], token: bytes, deadline: float) -> list[Process]:
    """Living processes of these sessions, or bearing the token, and their descendants; never ourselves.

    ``deadline``: see ``environs_in``.
    """
    table = snapshot()
    rows = table.rows
    # A session's number is not reused while a member lives; a living leader must be the very one.
    roots = [pid for pid, start in sessions.items() if pid not in rows or rows[pid].start == start]
    roots += [pid for pid, environ in environs_in(table, deadline).items() if token in environ]
    return [process for process in table.family(roots) if process.pid != os.getpid()]


def wait_for_exit(processes: list[Process], seconds: float) -> None:
    """Return when all have ended, or after ``seconds``."""
    from select import POLLIN, poll  # noqa: PLC0415 - only in the lifeline and the sweep

    poller, waiting = poll(), set()
    for process in processes:
        try:
            handle = os.pidfd_open(process.pid)
        except OSError:
            continue
        found = read_process(process.pid)
        if found and found.start == process.start:
            poller.register(handle, POLLIN)
            waiting.add(handle)
        else:
            os.close(handle)
    deadline = time.monotonic() + seconds
    while waiting and (left := deadline - time.monotonic()) > 0:
        for handle, _ in poller.poll(left * 1000):
            poller.unregister(handle)
            waiting.discard(handle)
            os.close(handle)
    for handle in waiting:
        os.close(handle)
