"""Several programs in one foreground, as an array in a JSON file asks for.

Each has a supervisor of its own, a fork of this process, so that each is on the list and can be stopped alone. They
share our terminal and outputs, and end when this process does. What is left to do here: pass signals on, and wait.
"""

import os
import signal
import sys
from collections.abc import Callable, Sequence

from procman.cli.forever.keep import PASSED_ON
from procman.errors import ProcmanError
from procman.supervisor.supervisor import STOP_SIGNALS

Keep = Callable[[], int]


def together(keeps: Sequence[Keep]) -> int:
    """Run each in a process of its own until all have ended: the first status that is not 0, or 128+n when stopped."""
    stopped_by: list[int] = []
    sys.stdout.flush()
    children = {fork(keep): place for place, keep in enumerate(keeps)}
    statuses = [0] * len(keeps)

    def pass_on(signum: int, _frame: object) -> None:
        if signum in STOP_SIGNALS:
            stopped_by.append(signum)
        for pid in children:
            os.kill(pid, signum)  # not reaped yet, so nobody else's number

    for signum in (*STOP_SIGNALS, *PASSED_ON):
        if signal.getsignal(signum) is not signal.SIG_IGN:
            signal.signal(signum, pass_on)
    while children:
        ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT)
        assert ended  # without WNOHANG there is one
        place = children.pop(ended.si_pid, None)  # before its number is free
        _, status = os.waitpid(ended.si_pid, 0)
        if place is not None:
            code = os.waitstatus_to_exitcode(status)
            statuses[place] = code if code >= 0 else 128 - code
    return 128 + stopped_by[0] if stopped_by else next(filter(None, statuses), 0)


def fork(keep: Keep) -> int:
    """A process that does that, and nothing else; its pid."""
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        status = keep()
    except ProcmanError as error:
        hint = f"\n  hint: {error.hint}" if error.hint else ""
        print(f"procman: {error.what}{hint}", file=sys.stderr)
        status = error.exit_code
    finally:
        sys.stderr.flush()
        os._exit(status)
