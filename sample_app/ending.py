"""How one request ends the whole web dyno, not only the gunicorn worker that serves it.

A worker that dies is replaced by gunicorn's master and no process manager ever hears of it. A dyno ends
when its first process does, and that is the master, so both functions here end the master.
"""

import mmap
import os
import signal
from typing import NoReturn

# gunicorn.conf.py imports this module before gunicorn forks: in a worker, MASTER is the master's pid and WISH
# is memory shared with it. Without gunicorn (`flask run`, a test) MASTER is this very process.
MASTER = os.getpid()
WISH = mmap.mmap(-1, 2)  # bytes: is a status wished for, which one


def crash() -> NoReturn:
    """Kill the dyno with SIGKILL: no handler runs, no answer is sent, status 137.

    If the master leads its process group, as under every manager that gives a dyno its own, the whole group
    dies in one stroke. If it does not, the group may be somebody else's (a shell, a test run): then the
    master and this worker die, and other workers leave within a second, when they miss their parent.
    """
    if _is_worker():
        if os.getpgrp() == MASTER:
            os.killpg(MASTER, signal.SIGKILL)
        os.kill(MASTER, signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)
    os._exit(137)  # never reached; tells type checkers so


def leave(status: int) -> None:
    """End the dyno in good order with `status` (0 to 255), after the answers under way were sent."""
    if not _is_worker():
        os._exit(status)
    WISH[:] = bytes((1, status))
    os.kill(MASTER, signal.SIGTERM)


def wished_status() -> int | None:
    """The status that a worker asked for by `leave`, for the master to end with."""
    asked, status = WISH[:]
    return status if asked else None


def _is_worker() -> bool:
    """Is MASTER our parent? It is not once it died, and then its pid may be anybody's."""
    return os.getppid() == MASTER
