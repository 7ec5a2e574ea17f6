"""The actions that end or renew programs: each returns when what it says is true."""

import sys
from collections.abc import Callable

from procman.cli.forever.flags import Asked, named
from procman.cli.forever.roll import Entry, find, running
from procman.cli.listing import emit
from procman.errors import UsageError

NOTHING = "No forever processes running"


def stop(asked: Asked, where: str) -> int:
    """End those that are meant; returns when nothing of them is left."""
    return end([entry for word in named(asked) for entry in find(word, running(where))])


def stop_by_pid(asked: Asked, where: str) -> int:
    """The same by process id alone."""
    for word in named(asked):
        if not word.isdecimal():
            raise UsageError(f"cannot stop {word}: a process id is wanted", f"procman forever stop {word}")
    return stop(asked, where)


def stop_all(asked: Asked, where: str) -> int:
    """End all."""
    return end(running(where))


def end(those: list[Entry]) -> int:
    """All at the same time."""
    if not those:
        emit(NOTHING)
        return 0
    done = together([lambda entry=entry: shut_down(entry) for entry in those])  # type: ignore[misc]
    return report(those, done, "Stopped")


def shut_down(entry: Entry) -> str:
    """Ask the supervisor to end, and wait until it has."""
    from procman.control.client import Client, NotRunning

    try:
        with Client(entry.home.socket) as client:
            return str(client.shut_down().get("error", ""))
    except NotRunning:
        return "it does not answer" if entry.home.is_running() else ""  # gone meanwhile


def restart(asked: Asked, where: str) -> int:
    """Give those that are meant a new life."""
    return renew([entry for word in named(asked) for entry in find(word, running(where))])


def restart_all(asked: Asked, where: str) -> int:
    """The same for all."""
    return renew(running(where))


def renew(those: list[Entry]) -> int:
    """Whatever they were doing, waiting for their next try too."""
    if not those:
        emit(NOTHING)
        return 0
    done = together([lambda entry=entry: restart_one(entry) for entry in those])  # type: ignore[misc]
    return report(those, done, "Restarted")


def restart_one(entry: Entry) -> str:
    """Returns why not, or nothing."""
    from procman.control.client import Client, NotRunning

    try:
        with Client(entry.home.socket) as client:
            answer = client.call("restart", wait=True)
    except NotRunning:
        return "it ended meanwhile"
    return "" if answer.get("ok") else str(answer.get("error"))


def together(tasks: list[Callable[[], str]]) -> list[str]:
    """The answers, in order, of tasks that wait for others' work."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(len(tasks)) as pool:
        return [future.result() for future in [pool.submit(task) for task in tasks]]


def report(those: list[Entry], done: list[str], word: str) -> int:
    """A line each; status 1 if something went wrong."""
    for entry, trouble in zip(those, done, strict=True):
        if trouble:
            print(f"procman: cannot {word.lower().removesuffix('ed')} {entry.label()}: {trouble}", file=sys.stderr)
        else:
            emit(f"{word} {entry.label()}")
    return int(any(done))
