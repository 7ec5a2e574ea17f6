"""Kernel calls that Python 3.11 has no names for: namespaces, a subreaper, rights given up for good."""

import ctypes
import os
import sys

CLONE_NEWNS, CLONE_NEWUSER, CLONE_NEWPID = 0x00020000, 0x10000000, 0x20000000
MS_NOSUID, MS_NODEV, MS_NOEXEC = 2, 4, 8
MS_BIND, MS_REC, MS_PRIVATE = 0x1000, 0x4000, 0x40000
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS = 1, 36, 38
LINUX = sys.platform == "linux"


def libc() -> ctypes.CDLL:
    """The C library, already loaded; its errno is kept."""
    return ctypes.CDLL(None, use_errno=True)


def check(status: int, what: str) -> None:
    """Raises OSError for a call that failed."""
    if status != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def adopt_orphans() -> None:
    """Be the parent of every descendant whose own parent has gone."""
    if LINUX:
        libc().prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def end_with_parent(number: int) -> None:
    """Get this signal when the parent ends. To be called again after a change of user, which forgets it."""
    if LINUX:
        libc().prctl(PR_SET_PDEATHSIG, int(number), 0, 0, 0)


def begin_processes() -> int:
    """The next child will be the first process of a world of its own, in which it sees and reaches no other.

    Returns where we were, for ``end_processes``; -1 where it is refused (to all but root). The child must mount its
    own /proc before it looks for processes.
    """
    if not LINUX or os.geteuid() != 0:
        return -1
    try:
        here = os.open("/proc/self/ns/pid_for_children", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return -1
    library = libc()
    if library.setns(here, CLONE_NEWPID) != 0 or library.unshare(CLONE_NEWPID) != 0:  # no way back, then not there
        os.close(here)
        return -1
    return here


def end_processes(here: int) -> None:
    """Children from now on are born where we are. Raises OSError."""
    try:
        check(libc().setns(here, CLONE_NEWPID), "setns")
    finally:
        os.close(here)


def show_processes() -> bool:
    """Mount the /proc of our own processes, in mounts of our own; whether that was allowed."""
    return bool(libc().mount(b"proc", b"/proc", b"proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, None) == 0)


def own_mounts() -> str:
    """Have mounts that nobody else sees. Returns why not, or nothing.

    Without root, in a user namespace in which the caller is still itself. The process must have one thread.
    """
    if not LINUX:
        return "this system has no mount namespaces"
    library = libc()
    uid, gid = os.geteuid(), os.getegid()
    try:
        if uid == 0:
            check(library.unshare(CLONE_NEWNS), "unshare")
        else:
            check(library.unshare(CLONE_NEWNS | CLONE_NEWUSER), "unshare")
            for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
                with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
                    file.write(text)
        check(library.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None), "mount")
    except OSError as error:
        return error.strerror or str(error)
    return ""


def appear_at(folder: str, mount: str) -> str:
    """Show ``folder`` at ``mount``, in mounts of our own. Returns why not, or nothing."""
    if not os.path.isdir(mount):
        return f"there is no directory {mount} (mkdir {mount})"
    try:
        check(libc().mount(os.fsencode(folder), os.fsencode(mount), None, MS_BIND, None), "mount")
    except OSError as error:
        return error.strerror or str(error)
    return ""


def cover(path: str, folder: str) -> None:
    """Bind ``folder`` over a path, in mounts of our own; without effect where that is refused."""
    libc().mount(os.fsencode(folder), os.fsencode(path), None, MS_BIND, None)


def become(uid: int | None, gid: int | None) -> None:
    """Give up the caller's rights for those of a user, and the hope of others. Raises OSError."""
    if uid is not None:
        os.setgroups([])
        os.setresgid(*(3 * (uid if gid is None else gid,)))
        os.setresuid(uid, uid, uid)
    if LINUX:
        libc().prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
