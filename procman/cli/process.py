"""What every supervisor's process does, whoever composed it: clean descriptors, and a history of lives."""

import os
from time import time

from procman.core.model import Exit
from procman.logs.scribe import Scribe
from procman.supervisor.child import Child
from procman.supervisor.home import Home
from procman.typed import Callable


def remember(home: Home, scribe: Scribe) -> Callable[[Child, Exit, bool], None]:
    """Keeps the lives that end in the app's history."""

    def on_end(child: Child, ended: Exit, asked: bool) -> None:
        life = {
            "dyno": str(child.dyno),
            "run": child.run,
            "started": child.began,
            "ended": time(),
            "status": ended.status,
            "words": ended.words(),
            "asked": asked,
        }

        def add() -> None:
            from procman.supervisor.history import History

            History(home.history).add(life)

        scribe.do(add)

    return on_end


def guard_descriptors() -> None:
    """Descriptors 0 to 2 exist, and dynos inherit no other that our own caller left open."""
    while (fd := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(fd, True)
    os.close(fd)
    try:
        inherited = [int(name) for name in os.listdir("/dev/fd")]
    except OSError:
        inherited = list(range(3, 256))
    for fd in inherited:
        if fd > 2:
            try:
                os.set_inheritable(fd, False)
            except OSError:
                continue
