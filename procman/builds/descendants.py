"""All processes below this one, found in /proc and ended. Orphans are ours too: the caller is a subreaper."""

import os
import signal
import time

PATIENCE_S = 10.0


def of(pid: int) -> set[int]:
    """The pids of everything below a process at this moment."""
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc") if os.path.isdir("/proc/self") else ():
        if name.isdecimal():
            try:
                with open(f"/proc/{name}/stat", "rb") as file:
                    fields = file.read().rpartition(b")")[2].split()
            except OSError:
                continue
            if fields[0] not in (b"Z", b"X"):
                children.setdefault(int(fields[1]), []).append(int(name))
    found: set[int] = set()
    row = [pid]
    while row:
        row = [child for parent in row for child in children.get(parent, ()) if child not in found]
        found.update(row)
    return found


def end_all(keep: int | None = None) -> int:
    """SIGKILL everything below the caller until nothing is left, and reap it; ``keep``: a pid that lives on.

    Returns how many there were. Raises nothing: what cannot be ended within ten seconds is stuck in the kernel.
    """
    ended: set[int] = set()
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        left = of(os.getpid()) - {keep}
        for pid in left:
            try:
                os.kill(pid, signal.SIGKILL)
            except OSError:
                pass
        reap(keep)
        if not left:
            break
        ended |= left
    return len(ended)


def reap(keep: int | None = None) -> None:
    """Collect what has ended, but for one child."""
    while True:
        try:
            found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if found is None or found.si_pid == keep:
                return
            os.waitpid(found.si_pid, 0)
        except ChildProcessError:
            return
