"""Stopped as a link of a chain: `procman start`, npm, a shell, procman, the program.

(That a signal comes more than once then is the supervisor's affair: ``is_echo``.)

`npm run production` is npm, a shell, and procman. SIGTERM to npm alone ends the first two, and they tell nobody;
procman would live on with nobody above it, and the program with it. So the end of either is taken for the signal that
it was. Elsewhere a parent's end means nothing: `nohup procman forever app.js &`.
"""

import os

from procman.cli.environment import NPM
from procman.lean import signal
from procman.supervisor.proctable import read_process
from procman.supervisor.supervisor import Supervisor
from procman.typed import Iterable, Mapping


def end_with_npm(supervisor: Supervisor, environ: Mapping[str, str]) -> None:
    """Stop gracefully when one of the two that started us has gone."""
    if NPM in environ:
        parent = read_process(os.getppid())
        above = {os.getppid(), parent.parent if parent else 0} - {0, 1}
        end_with(supervisor, above, f"{environ[NPM]}: npm has gone")


def end_with(supervisor: Supervisor, pids: Iterable[int], why: str) -> None:
    """Stop gracefully when one of these processes has gone."""
    handles: list[int] = []

    def stop() -> None:
        for handle in handles:
            supervisor.loop.unwatch(handle)
            os.close(handle)
        handles.clear()
        supervisor.shut_down(128 + signal.SIGTERM, why)

    for pid in pids if hasattr(os, "pidfd_open") else ():
        try:
            handle = os.pidfd_open(pid)
        except OSError:
            continue
        handles.append(handle)
        supervisor.loop.watch(handle, stop)
