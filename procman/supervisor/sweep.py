"""What a killed procman left behind is ended before the next one starts anything.

Every dyno's environment names its supervisor by pid and start time. The next supervisor of the app, which holds the
app's lock and so knows that the last one is dead, finds by that name whatever of it still runs.
"""

import os
import time

from procman.supervisor.lifeline import end_all, end_those
from procman.supervisor.proctable import BLANK_S, Process, environs_in, read_process, snapshot
from procman.typed import Collection, Iterable, Mapping

TOKEN_NAME = "PROCMAN_RUN"  # noqa: S105 - no password: it names a supervisor


def identity() -> dict[str, str]:
    """What names this process for ever: pid and start time."""
    row = read_process(os.getpid())
    return {"pid": str(os.getpid()), "started": str(row.start if row else 0)}


def token_of(supervisor: Mapping[str, str]) -> str:
    """``NAME=value`` in the environment of every dyno of a supervisor; the dyno and run follow a slash."""
    return f"{TOKEN_NAME}={supervisor['pid']}-{supervisor['started']}"


def sweep_others(tokens: Iterable[str], kept: Collection[bytes]) -> str:
    """End what bears one of these supervisors' tokens, but for the dynos to keep, by their own; says how much."""
    ended = [f"{token}/".encode() for token in tokens]

    deadline = time.monotonic() + BLANK_S

    def find() -> list[Process]:
        table = snapshot()
        environs = environs_in(table, deadline)
        roots = [pid for pid, environ in environs.items() if is_other(environ, ended, kept)]
        return [process for process in table.family(roots) if process.pid != os.getpid()]

    count = end_those(find)
    return words_for(count, "an earlier procman")


def is_other(environ: bytes, ended: Collection[bytes], kept: Collection[bytes]) -> bool:
    """Whether a process bears one of the tokens to be ended, and none of those to be kept."""
    return any(token in environ for token in ended) and not any(token in environ for token in kept)


def words_for(count: int, whose: str) -> str:
    """How much was ended, for the log; nothing for nothing."""
    what = "process" if count == 1 else "processes"
    return f"Ended {count} {what} that {whose} left behind" if count else ""


def sweep(last: Mapping[str, str]) -> str:
    """End what the last supervisor left, by the facts it wrote; says how much that was, or nothing."""
    if not {"pid", "started"} <= last.keys():
        return ""  # it ended cleanly, or there was none
    count = end_all({}, f"{token_of(last)}/".encode())
    return words_for(count, f"an earlier procman (pid {last['pid']})")
