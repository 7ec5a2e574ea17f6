"""Children that end, as the kernel tells of them; and orphans, which it can be asked to send to us."""

import os


def next_exit() -> tuple[int, int]:
    """Pid of a child that has ended, and its exit code or minus its signal; pid 0 when there is none now.

    It stays a zombie until ``reap``; before Python 3.13 macOS has no waitid, and there it is reaped at once.
    """
    try:
        if not hasattr(os, "waitid"):
            pid, status = os.waitpid(-1, os.WNOHANG)
            return pid, os.waitstatus_to_exitcode(status) if pid else 0
        news = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return 0, 0
    if news is None:
        return 0, 0
    return news.si_pid, news.si_status if news.si_code == os.CLD_EXITED else -news.si_status


def reap(pid: int) -> None:
    """Let the zombie go."""
    if hasattr(os, "waitid"):
        os.waitid(os.P_PID, pid, os.WEXITED)


def become_subreaper() -> bool:
    """Make orphans of dynos come back to us instead of init; False where the kernel cannot (not Linux)."""
    try:
        # The half of ctypes that calls: the rest of it costs 2 ms between the first dyno and the first line.
        from _ctypes import call_function, dlopen, dlsym  # noqa: PLC0415

        pr_set_child_subreaper = 36  # prctl(2)
        prctl = dlsym(dlopen(None), "prctl")  # type: ignore[arg-type]  # the stubs know of no program of our own
        return bool(call_function(prctl, (pr_set_child_subreaper, 1, 0, 0, 0)) == 0)
    except (ImportError, OSError):
        return False
