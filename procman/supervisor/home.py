"""Where a running app keeps what others need to find it: lock, socket, log, history; and who is running at all.

One directory an app under XDG_STATE_HOME, ours alone (0700). The lock is the truth about whether a supervisor lives:
it is held for its whole life and the kernel gives it back, however it ends. The files say only who it is.
"""

import fcntl
import os
from collections.abc import Iterator, Mapping
from zlib import crc32

from procman.errors import ProcmanError
from procman.supervisor.proctable import read_process


def apps_dir(environ: Mapping[str, str]) -> str:
    """The directory that holds the home of every app of this user."""
    state = environ.get("XDG_STATE_HOME") or os.path.join(os.path.expanduser("~"), ".local", "state")
    return os.path.join(state, "procman", "apps")


def default_name(root: str, procfile: str = "Procfile") -> str:
    """What an app is called unless it is given a name: its directory's name, and what tells it from its namesakes."""
    place = os.path.join(os.path.realpath(root), "" if procfile == "Procfile" else procfile)
    base = "".join(letter if letter.isalnum() or letter in "-_." else "-" for letter in os.path.basename(root) or "app")
    return f"{base}-{crc32(place.encode('utf-8', 'surrogateescape')):08x}"


class AlreadyRunning(ProcmanError):
    """A living supervisor holds the app's lock."""


class Home:
    """The directory of one app, by its name."""

    def __init__(self, apps: str, name: str) -> None:
        self.name = name
        self.path = os.path.join(apps, name)
        self.socket = os.path.join(self.path, "control.sock")
        self.log = os.path.join(self.path, "log")
        self.history = os.path.join(self.path, "history")
        self._lock = os.path.join(self.path, "lock")
        self._fd = -1

    def take(self) -> dict[str, str]:
        """Become the app's supervisor. Returns what the last one had written about itself; {} after a clean end.

        Raises AlreadyRunning when a living one holds the lock, naming it.
        """
        os.makedirs(self.path, mode=0o700, exist_ok=True)
        fd = os.open(self._lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        facts = self.facts()
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(fd)
            raise AlreadyRunning(
                f"cannot start {self.name}: it runs already (pid {facts.get('pid', 'unknown')})",
                f"procman ps --name {self.name}; or start a second one with another --name",
            ) from None
        self._fd = fd
        return facts

    def write(self, facts: Mapping[str, object]) -> None:
        """Say who the supervisor is, a line a fact, in one write: others read it at any time."""
        text = "".join(f"{key} {str(value).replace(chr(10), ' ')}\n" for key, value in facts.items())
        data = text.encode("utf-8", "surrogateescape")
        os.pwrite(self._fd, data + b"\n" * max(0, os.fstat(self._fd).st_size - len(data)), 0)

    def leave(self) -> None:
        """A clean end: nobody is here and nothing is left to look after."""
        try:
            os.unlink(self.socket)
        except FileNotFoundError:
            pass
        os.ftruncate(self._fd, 0)
        os.close(self._fd)

    def facts(self) -> dict[str, str]:
        """What the holder of the lock says about itself; {} when there is none."""
        try:
            with open(self._lock, encoding="utf-8", errors="surrogateescape") as file:
                lines = file.read().split("\n")
        except OSError:
            return {}
        return {key: value for key, space, value in (line.partition(" ") for line in lines) if space}

    def is_running(self) -> bool:
        """Whether a supervisor lives: the very process that wrote the facts, by pid and start time."""
        facts = self.facts()
        row = read_process(int(facts.get("pid", "0")))
        return row is not None and row.alive and str(row.start) == facts.get("started")


def homes(apps: str) -> Iterator[Home]:
    """Every app that has ever run here under this user, by name."""
    try:
        names = sorted(os.listdir(apps))
    except OSError:
        return
    for name in names:
        if not name.startswith("."):
            yield Home(apps, name)
