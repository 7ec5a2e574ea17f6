"""What a process can learn about the dyno it runs in, and how it speaks and listens there.

Everything comes in by the environment (Heroku: dynos, dyno-metadata) and everything goes out by stdout, so
the app runs unchanged under Heroku, procman, honcho or a bare shell.
"""

import os
import select
import signal
import sys
from typing import NoReturn


def name() -> str:
    """Name of the dyno, such as `web.1`; made from the pid when no process manager gave one."""
    return os.environ.get("DYNO") or f"local.{os.getpid()}"


def release() -> str:
    """The release that runs, such as `v12`; `local` where there are no releases."""
    return os.environ.get("HEROKU_RELEASE_VERSION") or "local"


def seconds_from(variable: str, default: float) -> float:
    """A number of seconds above 0 out of the environment; ends the process with status 1 on anything else."""
    text = os.environ.get(variable) or str(default)
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= 86400:  # a day; also refuses nan and inf
        fail(f"cannot use {variable}={text}: a number of seconds above 0 is wanted, for example {default}")
    return seconds


def say(line: str) -> None:
    """Print one log line now: stdout is a pipe here, which Python would otherwise fill before it writes."""
    print(line, flush=True)


def fail(reason: str) -> NoReturn:
    """End the process with status 1 and one line that says why."""
    say(reason)
    sys.exit(1)


class Stop:
    """The wish that this process end: SIGTERM from the process manager, SIGINT from Ctrl-C.

    The signal only leaves a byte in a pipe, so it never cuts short what is being done. The pipe is never
    emptied: a second SIGTERM (Heroku may send several) changes nothing.
    """

    def __init__(self) -> None:
        """Take over both signals; main thread only."""
        self._asked, told = os.pipe()
        os.set_blocking(told, False)
        signal.set_wakeup_fd(told, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: None)

    def wait(self, seconds: float) -> bool:
        """Sleep for so many seconds, or until asked to end; true if asked."""
        readable, _, _ = select.select([self._asked], [], [], max(0.0, seconds))
        return bool(readable)
