"""Where a running app keeps what others need to find it: lock, socket, log, history; and who is running at all.

One directory an app under XDG_STATE_HOME, ours alone (0700). The lock is the truth about whether a supervisor lives:
it is held for its whole life and the kernel gives it back, however it ends. The files say only who it is.
"""

import errno
import fcntl
import os
import time
from zlib import crc32

from procman.errors import ProcmanError
from procman.supervisor.proctable import read_process
from procman.typed import Iterator, Mapping

NOT_FOR_US = frozenset({errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.ENOTDIR})
PATIENCE_S, LOOK_S = 1.0, 0.005  # for whoever has just got the lock to say who it is


def apps_dir(environ: Mapping[str, str]) -> str:
    """The directory that holds the home of every app of this user: one for temporary files if there is no other."""
    state = environ.get("XDG_STATE_HOME", "")
    if not os.path.isabs(state):  # the XDG specification: a relative one is to be ignored
        state = os.path.join(os.path.expanduser("~"), ".local", "state")
    apps = os.path.join(state, "procman", "apps")
    if os.path.isdir(apps):
        return apps
    mask = os.umask(0o077)
    try:
        os.makedirs(apps, exist_ok=True)  # another start may be making it just now
    except OSError as error:
        if error.errno not in NOT_FOR_US:
            return apps  # a full disk may have room again: only with one and the same home no app runs twice
        return os.path.join(environ.get("TMPDIR") or "/tmp", f"procman-{os.getuid()}", "apps")  # noqa: S108 - checked
    finally:
        os.umask(mask)
    return apps


def default_name(root: str, procfile: str = "Procfile") -> str:
    """What an app is called unless it is given a name: its directory's name, and what tells it from its namesakes."""
    root = os.path.realpath(root)
    folder, file = os.path.split(procfile)
    folder = os.path.realpath(os.path.join(root, folder))  # as the root, or it would seem to lie elsewhere
    procfile = os.path.relpath(os.path.join(folder, file), root)
    place = os.path.join(root, "" if procfile == "Procfile" else procfile)
    base = "".join(letter if letter.isalnum() or letter in "-_." else "-" for letter in os.path.basename(root) or "app")
    return f"{base}-{crc32(place.encode('utf-8', 'surrogateescape')):08x}"


class AlreadyRunning(ProcmanError):
    """A living supervisor holds the app's lock."""


class Home:
    """The directory of one app, by its name. ``served``: a server made it, and it alone has to be ours."""

    def __init__(self, apps: str, name: str, served: bool = False) -> None:
        self.name = name
        self._served = served
        self.path = os.path.join(apps, name)
        self.socket = os.path.join(self.path, "control.sock")
        self.log = os.path.join(self.path, "log")
        self.history = os.path.join(self.path, "history")
        self.ledger = os.path.join(self.path, "ledger.json")
        self.pipes = os.path.join(self.path, "pipes")
        self._lock = os.path.join(self.path, "lock")
        self._fd = -1

    def take(self) -> dict[str, str]:
        """Become the app's supervisor. Returns pid, start time and holder of one that was killed; {} after a clean end.

        Raises AlreadyRunning when a living one holds the lock, naming it. Who we are is written at once, with whom we
        still have to clear up after, should we be killed on the way. Any ProcmanError: the disk does not take that.
        """
        self._make()
        try:
            self._fd = self._locked()
            return self._introduce()
        except OSError as error:
            if self._fd >= 0:
                os.close(self._fd)
                self._fd = -1
            raise self._unkept(error) from None

    def _locked(self) -> int:
        """The lock, open and ours. Raises AlreadyRunning."""
        fd = os.open(self._lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        deadline = time.monotonic() + PATIENCE_S
        while not try_lock(fd):
            # Between getting the lock and writing, or between its last words and its end, the holder is nobody yet.
            if self.is_running() or time.monotonic() > deadline:
                from shlex import quote  # noqa: PLC0415 - no start needs it

                os.close(fd)
                named = f"--name {quote(self.name)}"
                raise AlreadyRunning(
                    f"cannot start {self.name}: it runs already (pid {self.facts().get('pid', 'unknown')})",
                    f"procman logs -t {named}, or procman shutdown {named}; "
                    "a second one needs --name and --port",
                )
            time.sleep(LOOK_S)
        return fd

    def _introduce(self) -> dict[str, str]:
        """Say who we are; returns who was here before and was killed."""
        last = self.facts()
        left = last.get("left") or "-".join(last[key] for key in ("pid", "started") if key in last)
        if last.get("place", self.place()) != self.place():
            left = ""  # a copy of another home: what that one's supervisor left is not ours to end
        me = read_process(os.getpid())
        holder = last.get("holder", "")
        kept = {"left": left, **({"holder": holder} if holder else {})}
        self.write({"pid": os.getpid(), "started": me.start if me else 0, **kept})
        pid, _, started = left.partition("-")
        named = pid.isdecimal() and started.isdecimal()
        return {"pid": pid, "started": started, **({"holder": holder} if holder else {})} if named else {}

    def resume(self, fd: int) -> None:
        """We are the app's supervisor already: this is its lock, held."""
        self._fd = fd

    def _make(self) -> None:
        """The directory and those above it, ours alone. Raises ProcmanError when that cannot be."""
        mask = os.umask(0o077)
        try:
            os.makedirs(self.path, exist_ok=True)
            above = self.path if self._served else os.path.dirname(os.path.dirname(self.path))
            owner = os.stat(above).st_uid
        except OSError as error:
            raise self._unkept(error) from None
        finally:
            os.umask(mask)
        if owner != os.getuid():
            raise ProcmanError(f"cannot keep the state of {self.name} in {self.path}: another user owns it")

    def _unkept(self, error: OSError) -> ProcmanError:
        what = f"cannot keep the state of {self.name} in {self.path}: {error.strerror}"
        return ProcmanError(what, "XDG_STATE_HOME=~/somewhere procman start")

    def write(self, facts: Mapping[str, object]) -> None:
        """Say who the supervisor is, a line a fact, in one write: others read it at any time."""
        told = {**facts, "place": self.place()}
        text = "".join(f"{key} {str(value).replace(chr(10), ' ')}\n" for key, value in told.items())
        data = text.encode("utf-8", "surrogateescape")
        os.pwrite(self._fd, data + b"\n" * max(0, os.fstat(self._fd).st_size - len(data)), 0)

    def leave(self) -> None:
        """A clean end: nobody is here and nothing is left to look after. May be said twice."""
        if self._fd < 0:
            return
        try:
            os.unlink(self.socket)
        except OSError:
            pass  # there is none, or somebody has taken the directory away
        os.ftruncate(self._fd, 0)
        os.close(self._fd)
        self._fd = -1

    def fail(self, heirs: bool) -> None:
        """A start has come to nothing. What is still to be looked after stays on record for the next one.

        ``heirs``: there are dynos of a killed supervisor that we were to go on with.
        """
        if not heirs and self.facts().get("pid", str(os.getpid())) == str(os.getpid()):
            self.leave()
        elif self._fd >= 0:  # or a process of ours had begun, and was killed
            os.close(self._fd)
            self._fd = -1

    def fileno(self) -> int:
        """The lock's descriptor: for as long as any process has it open, the lock is held."""
        return self._fd

    def place(self) -> str:
        """What names this very home: not a copy of it, nor one that took its place."""
        seen = os.fstat(self._fd)
        return f"{seen.st_dev}:{seen.st_ino}"

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
        pid = facts.get("pid", "")
        row = read_process(int(pid)) if pid.isdecimal() else None
        return row is not None and row.alive and str(row.start) == facts.get("started")

    def was_killed(self) -> bool:
        """Whether the last supervisor went without a goodbye, and nobody has taken its place."""
        return "pid" in self.facts() and not self.is_running()


def try_lock(fd: int) -> bool:
    """Whether the lock is ours now."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def homes(apps: str) -> Iterator[Home]:
    """Every app that has ever run here under this user, by name."""
    try:
        names = sorted(os.listdir(apps))
    except OSError:
        return
    for name in names:
        if not name.startswith("."):
            yield Home(apps, name)
