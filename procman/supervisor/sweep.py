"""What a killed procman left behind is ended before the next one starts anything.

Every dyno's environment names its supervisor by pid and start time. The next supervisor of the app, which holds the
app's lock and so knows that the last one is dead, finds by that name whatever of it still runs.
"""

import os
from collections.abc import Mapping

from procman.supervisor.lifeline import end_all
from procman.supervisor.proctable import read_process

TOKEN_NAME = "PROCMAN_RUN"  # noqa: S105 - no password: it names a supervisor


def identity() -> dict[str, str]:
    """What names this process for ever: pid and start time."""
    row = read_process(os.getpid())
    return {"pid": str(os.getpid()), "started": str(row.start if row else 0)}


def token_of(supervisor: Mapping[str, str]) -> str:
    """``NAME=value`` in the environment of every dyno of a supervisor; the dyno and run follow a slash."""
    return f"{TOKEN_NAME}={supervisor['pid']}-{supervisor['started']}"


def sweep(last: Mapping[str, str]) -> str:
    """End what the last supervisor left, by the facts it wrote; says how much that was, or nothing."""
    if not {"pid", "started"} <= last.keys():
        return ""  # it ended cleanly, or there was none
    count = end_all({}, f"{token_of(last)}/".encode())
    what = "process" if count == 1 else "processes"
    return f"Ended {count} {what} that an earlier procman (pid {last['pid']}) left behind" if count else ""
