"""What a killed procman left behind is ended before the next one starts anything.

Each foreground supervisor holds a lock on a file of its own, named by pid and start time. A lock that can be taken
belongs to nobody alive, whatever the file says; then everything whose environment bears that supervisor's token is
ended. A clean end removes the file.
"""

import fcntl
import os
from collections.abc import Mapping

from procman.supervisor.lifeline import end_all
from procman.supervisor.proctable import read_process

TOKEN_NAME = "PROCMAN_RUN"  # noqa: S105 - no password: it names a supervisor


def identity() -> str:
    """What names this process for ever: pid and start time."""
    row = read_process(os.getpid())
    return f"{os.getpid()}-{row.start if row else 0}"


def token_of(supervisor: str) -> str:
    """``NAME=value`` in the environment of every dyno of a supervisor; the dyno and run follow a slash."""
    return f"{TOKEN_NAME}={supervisor}"


def state_dir(environ: Mapping[str, str]) -> str:
    """Where foreground supervisors leave their mark: XDG_STATE_HOME, ~/.local/state without one."""
    home = environ.get("XDG_STATE_HOME") or os.path.join(os.path.expanduser("~"), ".local", "state")
    return os.path.join(home, "procman", "foreground")


class Mark:
    """The lock that says that this supervisor lives. Without a writable place there is none, and no sweep."""

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._fd = -1
        self._path = os.path.join(directory, identity())

    def set(self) -> None:
        """Take the lock."""
        try:
            os.makedirs(self._directory, mode=0o700, exist_ok=True)
            self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return

    def remove(self) -> None:
        """A clean end: nothing is left to sweep."""
        if self._fd >= 0:
            os.unlink(self._path)
            os.close(self._fd)

    def sweep(self) -> list[tuple[str, int]]:
        """End what dead supervisors left. Returns their pids with the number of processes found, if any."""
        swept = []
        try:
            names = os.listdir(self._directory)
        except OSError:
            return []
        for name in names:
            path = os.path.join(self._directory, name)
            try:
                fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            except OSError:
                continue
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                count = end_all({}, f"{token_of(name)}/".encode())
                os.unlink(path)
            except OSError:
                continue  # its supervisor lives, or another one sweeps
            finally:
                os.close(fd)
            if count:
                swept.append((name.partition("-")[0], count))
        return swept
