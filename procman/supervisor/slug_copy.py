"""The private folders of dynos: made for one life, and gone after it.

Removing one may take long (a copied slug), and must never hold up the loop, so ``rm`` does it in a process of its own.
A folder that is to go gets another name first, so its own is free at once for the next life.
"""

import itertools
import os
import shutil
import stat
from collections.abc import Iterable

TRASH = ".gone-"
# What a dyno made unwritable is made writable only if rm fails; an overlay's work directory always has mode 000.
REMOVE = 'rm -rf -- "$@" 2>/dev/null || { chmod -R u+rwX -- "$@"; rm -rf -- "$@"; } 2>/dev/null'


def make_folder(base: str, name: str) -> str:
    """A new, empty folder for one life of a dyno. One of that name that was left over makes way. Raises OSError."""
    folder = f"{base}/{name}"
    try:
        os.makedirs(folder, 0o700)
    except FileExistsError:
        put_aside(folder)
        os.mkdir(folder, 0o700)
    return folder


def discard(folder: str) -> int | None:
    """Remove a folder in the background: the pid of the process that does it, for the caller to reap; None: no need."""
    return spawn_remover([put_aside(folder)]) if os.path.isdir(folder) else None


def sweep(base: str, keep: Iterable[str] = ()) -> int | None:
    """Remove, in the background, every folder that lies in ``base`` but those to keep. See ``discard`` for the pid."""
    kept = {f"{base}/{name}" for name in keep}
    try:
        found = [entry.path for entry in os.scandir(base) if entry.is_dir(follow_symlinks=False)]
    except OSError:
        return None
    left = [put_aside(path) for path in found if path not in kept]
    return spawn_remover(left) if left else None


def remove(folder: str) -> None:
    """Remove a small folder here and now."""
    unlock(folder)
    shutil.rmtree(folder, ignore_errors=True)


def put_aside(folder: str) -> str:
    """Give a folder a name nobody asks for; the new path."""
    parent, name = os.path.split(folder)
    if name.startswith(TRASH):
        return folder
    for number in itertools.count():
        path = f"{parent}/{TRASH}{name}-{os.getpid()}-{number}"
        if not os.path.lexists(path):
            os.rename(folder, path)
            return path
    raise AssertionError("numbers do not end")


def spawn_remover(paths: list[str]) -> int | None:
    """Start ``rm``. None when that cannot be; the next sweep finds what is left."""
    null = [(os.POSIX_SPAWN_OPEN, fd, "/dev/null", os.O_RDWR, 0) for fd in (0, 1, 2)]
    argv = ["/bin/sh", "-c", REMOVE, "procman", *map(unlock, paths)]
    try:
        return os.posix_spawn(argv[0], argv, {"PATH": "/usr/bin:/bin"}, file_actions=null, setsid=True)
    except OSError:
        return None


def unlock(folder: str) -> str:
    """Open an overlay's work directory, which the kernel made with mode 000, to its owner."""
    work = f"{folder}/work/work"
    if os.path.lexists(work) and stat.S_ISDIR(os.lstat(work).st_mode):
        os.chmod(work, 0o700)
    return folder
