"""An app's home from the server's side: its plan written, its supervisor started.

The home belongs to the app's user, who is not to be trusted: as root we follow no link in it and open nothing that we
have not made.
"""

import os
import secrets
import select
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from typing import Any

from procman.core.plan import Plan
from procman.errors import ProcmanError
from procman.formats.plan import decode, encode

READY_S = 60.0  # for a supervisor to start, on a busy host
PLAN, GOOD = "plan.json", "plan.good.json"
MOST_BYTES = 16 << 20


class AppHome:
    """One app's. ``uid``: the user that its supervisor runs as; None: our own."""

    def __init__(self, path: str, uid: int | None) -> None:
        self.path = path
        self.uid = uid
        self.socket = os.path.join(path, "control.sock")

    def make(self) -> None:
        """Make the directory, ours alone or its user's. Raises ProcmanError."""
        try:
            os.makedirs(self.path, mode=0o700, exist_ok=True)
            if self.uid is not None and os.stat(self.path).st_uid != self.uid:
                os.chown(self.path, self.uid, self.uid)
        except OSError as error:
            raise ProcmanError(f"cannot keep the state of an app in {self.path}: {error.strerror}") from None

    def give(self, directory: str) -> None:
        """Make a slug its user's, who could neither read nor copy it else. What is his already is not looked into.

        Raises ProcmanError.
        """
        try:
            if self.uid is None or os.lstat(directory).st_uid == self.uid:
                return
            for folder, folders, files in os.walk(directory, topdown=False):
                for name in (*folders, *files):
                    os.lchown(os.path.join(folder, name), self.uid, self.uid)
            os.lchown(directory, self.uid, self.uid)
        except OSError as error:
            raise ProcmanError(f"cannot give the slug {directory} to its app's user: {error.strerror}") from None

    def write(self, name: str, plan: Plan) -> None:
        """A plan's file, whole or not at all, readable by its user alone. Raises ProcmanError."""
        path = os.path.join(self.path, name)
        new = f"{path}.{secrets.token_hex(8)}"
        try:
            with open(self._create(new), "wb") as file:
                file.write(encode(plan))
                file.flush()
                os.fsync(file.fileno())
            os.replace(new, path)
        except OSError as error:
            self.remove(os.path.basename(new))
            raise ProcmanError(f"cannot write the app's plan {path}: {error.strerror}") from None

    def read(self, name: str) -> Plan | None:
        """A plan that was written; None for none, or for what is none."""
        try:
            fd = os.open(os.path.join(self.path, name), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            with open(fd, "rb") as file:
                return decode(file.read(MOST_BYTES))
        except (OSError, ValueError):
            return None

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""
        try:
            os.unlink(os.path.join(self.path, name))
        except OSError:
            pass

    def has_remains(self) -> bool:
        """Whether a supervisor lives here, or has ended without clearing up: only a clean end empties the lock."""
        try:
            return os.lstat(os.path.join(self.path, "lock")).st_size > 0
        except OSError:
            return False

    def launch(
        self, program: Sequence[str], env: Mapping[str, str], entry: str | None = None
    ) -> "subprocess.Popen[bytes]":
        """Start the supervisor, in a session of its own, as its user. Blocks until it is ready. Raises ProcmanError.

        ``entry``: the ``cgroup.procs`` that it has to be in before it starts anything, for which it takes root.
        """
        user: dict[str, Any] = {}
        setpriv = shutil.which("setpriv") if entry and self.uid is not None else None
        if entry and (setpriv or self.uid is None):
            drop = [setpriv, f"--reuid={self.uid}", f"--regid={self.uid}", "--clear-groups", "--"] if setpriv else []
            program = ["/bin/sh", "-c", 'echo $$ >"$0"; exec "$@"', entry, *drop, *program]
        elif self.uid is not None:
            user = {"user": self.uid, "group": self.uid, "extra_groups": []}
        self.remove("stderr")
        try:
            with open(self._create(os.path.join(self.path, "stderr")), "wb") as errors:
                process: subprocess.Popen[bytes] = subprocess.Popen(
                    [*program, "supervise", self.path],
                    cwd=self.path,
                    env={"HOME": self.path, **env},
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=errors,
                    start_new_session=True,
                    umask=0o077,
                    **user,
                )
        except (OSError, subprocess.SubprocessError) as error:
            raise ProcmanError(f"cannot start a supervisor: {getattr(error, 'strerror', None) or error}") from None
        words = first_line(process)
        if words != "ready":
            if process.poll() is None and words:
                process.wait(READY_S)
            raise ProcmanError(words.removeprefix("error: ") or f"cannot start a supervisor: see {self.path}/stderr")
        return process

    def _create(self, path: str) -> int:
        """A new file for the app's user. Raises OSError when there is something by that name."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(path, flags, 0o600)
        if self.uid is not None:
            os.fchown(fd, self.uid, self.uid)
        return fd


def first_line(process: "subprocess.Popen[bytes]") -> str:
    """What a process says before it closes its stdout, in the time it has."""
    assert process.stdout is not None
    deadline, words = time.monotonic() + READY_S, b""
    with process.stdout as pipe:
        while b"\n" not in words and (left := deadline - time.monotonic()) > 0:
            if not select.select([pipe], [], [], left)[0]:
                break
            chunk = os.read(pipe.fileno(), 4096)
            if not chunk:
                break
            words += chunk
    return words.partition(b"\n")[0].decode("utf-8", "replace").strip()
