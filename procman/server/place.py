"""What this host lets a server have: its data to itself, users for apps, a place for slugs."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence

import procman
from procman.errors import ProcmanError
from procman.supervisor import cgroups
from procman.supervisor.home import try_lock

FIRST_UID = 40_000
MOUNT = "/app"
PROBE_S = 30
PROGRAM = (sys.executable, "-P", "-m", "procman")


class DataLock:
    """The data directory is one server's. Raises ProcmanError, naming the other."""

    def __init__(self, path: str, data: str) -> None:
        try:
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise ProcmanError(f"cannot lock {path}: {error.strerror}", "procman server --data DIR") from None
        if not try_lock(self._fd):
            words = os.pread(self._fd, 100, 0).decode("ascii", "replace").strip()
            os.close(self._fd)
            raise ProcmanError(
                f"cannot serve {data}: a server does already ({words or 'it is just starting'})",
                "procman server --data DIR --port N, for another one",
            )
        ours = f"pid {os.getpid()}\n".encode()
        os.pwrite(self._fd, ours, 0)  # over what stands there, for which a full disk has room
        os.ftruncate(self._fd, len(ours))

    def close(self) -> None:
        """Let go."""
        os.ftruncate(self._fd, 0)
        os.close(self._fd)


def surroundings() -> dict[str, str]:
    """What supervisors get of our environment: nothing secret, and this very procman."""
    root = os.path.dirname(os.path.dirname(os.path.abspath(procman.__file__)))
    path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
    return {"PATH": os.environ.get("PATH", os.defpath), "LANG": "C.UTF-8", "PYTHONPATH": path}


def first_uid(program: Sequence[str], env: dict[str, str]) -> tuple[int | None, str]:
    """The first user id for apps, None if all runs as our own user; and what is to be said about it."""
    if os.geteuid():
        return None, "Apps run as this server's own user: only as root can it give each a user of its own."
    try:
        done = subprocess.run(
            [*program, "version"], user=FIRST_UID, group=FIRST_UID, extra_groups=[], cwd="/", env=env, check=False,
            stdin=subprocess.DEVNULL, capture_output=True, timeout=PROBE_S,
        )
        if done.returncode == 0:
            return FIRST_UID, ""
        why = (done.stderr.decode("utf-8", "replace").strip().splitlines() or [f"status {done.returncode}"])[-1]
    except (OSError, subprocess.SubprocessError) as error:
        why = f"{program[0]}: {getattr(error, 'strerror', None) or error}"
    return None, f"Apps run as root: other users cannot run this procman ({why}). Install it where they can."


def mount_point() -> str | None:
    """Where slugs appear to dynos that may have file systems of their own; None: at their own paths."""
    if os.geteuid() == 0:
        try:
            os.makedirs(MOUNT, mode=0o755, exist_ok=True)
        except OSError:
            return None
    return MOUNT if os.path.isdir(MOUNT) else None


def prepare_groups(app_id: str, uid: int) -> dict[str, str]:
    """Control groups of an app, which its user can get to: what lies above them is everybody's to pass through."""
    mask = os.umask(0o022)  # of the whole process, and given back before anything else is done
    try:
        made = cgroups.prepare(app_id, uid)
        for path in made.values():
            os.chmod(os.path.dirname(path), 0o755)  # noqa: S103 - a group shows nothing but how much is used
    except OSError:
        return {}
    finally:
        os.umask(mask)
    return made


def entry_of(base: Mapping[str, str]) -> str | None:
    """Version 2: only who is in the app's subtree may move processes there, so its supervisor begins in it."""
    path = base.get("unified")
    return f"{path}/{cgroups.KEEPER}/cgroup.procs" if path else None
