"""A tiny process that ends every dyno when the supervisor is gone without having done so itself (SIGKILL).

It waits on a pipe. The supervisor writes the sessions it starts and those that have ended, and ``done`` before it
leaves. When the pipe closes without that word, the lifeline ends each session it knows, and everything that bears
the supervisor's token. It is a process, not a thread or a PDEATHSIG: that one reaches only direct children, and needs
a hook between fork and exec that ``posix_spawn`` does not have.

While it waits it is a shell: a fork of ours would keep 3 MiB of what was in our pages before we wrote in them. Python
comes when there is something to do. See docs/decisions/0039.
"""

import os
import sys
import time

from procman.lean import signal
from procman.supervisor.aide import DONE, Aide, leave_all_but
from procman.supervisor.proctable import BLANK_S, Process, environs_in, read_process, signal_process, snapshot
from procman.typed import Any, Callable, Iterable, Mapping, Sequence

GRACE_S = 2.0  # from SIGTERM to SIGKILL: nobody is left who would say what is going on
SHELL_TRIES = 3  # a shell that does not wait, whatever it has against that, is done without then
HEEDED = ("BASH", "ENV", "SHELLOPTS")  # how variables begin by which a shell may become another
WORDS = 1000  # more than it has to know; with them a lifeline is worn out, as a shell can add but not take away
SHELL = "/bin/sh"
TITLE = "procman lifeline/sh"  # for who looks at ``ps``; the last part is for shells that ask what they are called
# Its arguments are a file that is needed, and a program that ends what it is told of, for which it makes room: another
# process may not be to be had. Where either is there no more, it kills the groups itself; for that it needs nothing.
SCRIPT = r"""told= IFS='
'
while read -r word; do
    [ "$word" != done ] || exit 0
    told=$told$word$IFS
done <&3
needed=$1
shift
[ -r "$needed" ] && [ -x "$1" ] && exec "$@" $told
for word in $told; do
    pid=${word#?} pid=${pid%% *}
    case $told in *"-$pid$IFS"*) ;; *) kill -s KILL -- "-$pid" ;; esac
done
"""
# What is installed by then may be newer: so what is called here stays, by its name and with these arguments.
PROGRAM = "import sys; sys.path.insert(0, sys.argv[1]); from procman.supervisor.lifeline import act; act(*sys.argv[2:])"
HERE = os.path.abspath(__file__)
PACKAGES = HERE.rsplit("/", 3)[0]


class Lifeline(Aide):
    """The supervisor's end of the pipe. ``token``: ``NAME=value``, as dynos have it. ``found``: see ``pack``."""

    def __init__(self, token: bytes, found: Mapping[str, Any] | None = None) -> None:
        self._token = token
        self._words = 0  # that the other end has been told
        super().__init__(found)

    def live(self, reader: int) -> None:
        """See ``Aide``."""
        leave_all_but(reader)
        os.set_inheritable(3, True)
        token = os.fsdecode(self._token)
        python = (sys.executable, "-BIS", "-c", PROGRAM, PACKAGES, token)
        environ = {name: value for name, value in os.environ.items() if not name.startswith(HEEDED)}
        try:
            if self.short_lives < SHELL_TRIES:
                os.execve(SHELL, (TITLE, "-c", SCRIPT, "sh", HERE, *python), environ)
        except OSError:
            pass
        with open(3) as pipe:  # then as we are
            act(token, *pipe.read().splitlines())

    def start(self) -> None:
        """See ``Aide``."""
        self._words = 0
        super().start()

    def word(self, pid: int, start: int, pipes: Sequence[str]) -> str:
        """See ``Aide``: a session, by its leader and that one's start time."""
        return f"+{pid} {start}\n"

    def drop(self, pid: int) -> None:
        """See ``Guard``."""
        super().drop(pid)
        if self._words > WORDS + 2 * len(self._told):
            self._renew()

    def _renew(self) -> None:
        """Another takes its place. Where there can be none now, it stays."""
        worn = self.pid, self._pipe
        self.pid, self._pipe = 0, -1
        self.start()
        if self.pid:
            os.close(worn[1])
            os.kill(worn[0], signal.SIGKILL)  # one that is stopped would not hear that all is done
            os.waitpid(worn[0], 0)
        else:
            self.pid, self._pipe = worn

    def _tell(self, line: str) -> None:
        self._words += 1
        super()._tell(line)


def act(token: str, *told: str) -> None:
    """Called by the shell, with each word as an argument: end what was begun and has not ended, unless all is done."""
    if told[-1:] != (DONE.decode().strip(),):
        end_all(sessions_in(told), os.fsencode(token))


def sessions_in(told: Iterable[str]) -> dict[int, int]:
    """Leader pid to start time of the sessions begun and not ended in the supervisor's words."""
    sessions: dict[int, int] = {}
    for word in told:
        if word[:1] == "+":
            pid, start = word[1:].split()
            sessions[int(pid)] = int(start)
        elif word[:1] == "-":
            sessions.pop(int(word[1:]), None)
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
