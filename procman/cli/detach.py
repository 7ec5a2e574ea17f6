"""`procman start --detach`: the supervisor goes on without a terminal, and says so only once it can be reached."""

import os
import signal
import sys
import traceback
from collections.abc import Callable
from itertools import pairwise

from procman.cli.options import Given
from procman.errors import ProcmanError
from procman.supervisor.home import Home

READY = "ready"
MOST_DESCRIPTORS = 65_536


def detach(home: Home, run: Callable[[Callable[[], None]], int]) -> None:
    """Run ``run`` in a process of its own session, its descriptors on nothing; it gets a function to call when ready.

    Returns when it is. Raises ProcmanError with the reason when it never came to that.
    """
    words = launch(home, lambda say: run(lambda: say(READY)))
    if words != READY:
        raise ProcmanError(f"cannot start {home.name}: {words}")


def tell_detached(home: Home, given: Given) -> int:
    """Say that the formation runs, once that or, if it was asked for, once its dynos are up."""
    from procman.cli.listing import emit, emit_json
    from procman.cli.request import ask_at, waiting
    from procman.cli.target import NO_SUPERVISOR
    from procman.control.client import ENDED

    wish, as_json = waiting(given), bool(given.fields.get("json"))
    if not as_json:
        emit(f"{home.name} runs; its socket is {home.socket}")
    facts = {"name": home.name, "socket": home.socket, "pid": int(home.facts().get("pid", 0))}
    try:
        answer = ask_at(home, "wait", **wish) if wish["wait"] else {"ok": True}
    except ProcmanError as error:
        if error.exit_code == NO_SUPERVISOR or error.what == ENDED:  # its dynos were quicker than our question
            raise ProcmanError(f"{home.name} has ended already", f"procman logs --name {home.name}") from None
        raise
    if as_json:
        emit_json({**answer, **facts})
    return 0


def launch(home: Home, run: Callable[[Callable[[str], None]], int]) -> str:
    """Run ``run`` so; returns what it said, once, by the function it gets, or how it came to say nothing."""
    reader, writer = os.pipe()
    sys.stdout.flush()
    if not os.fork():
        status = 1
        try:
            leave_terminal(os.path.join(home.path, "stderr"), {writer, home.fileno()})
            status = run_detached(run, writer)
        finally:
            os._exit(status)  # whatever happened, our caller's code is not ours to go on with
    os.close(writer)
    words = b""
    while chunk := os.read(reader, 4096):
        words += chunk
    os.close(reader)
    return words.decode("utf-8", "replace").strip() or f"it ended at once; see {home.path}/stderr"


def run_detached(run: Callable[[Callable[[str], None]], int], writer: int) -> int:
    """The detached process's life, to its exit status."""
    told = False

    def say(words: str) -> None:
        nonlocal told
        if not told:
            told = True
            try:
                os.write(writer, words.encode("utf-8", "replace"))
            except OSError:
                pass  # whoever waited for it was killed; what was started goes on
            os.close(writer)

    try:
        return run(say)
    except ProcmanError as error:
        print(error.what, file=sys.stderr)
        say(error.what)
        return error.exit_code
    except BaseException:
        traceback.print_exc()
        return 1


def leave_terminal(errors: str, kept: set[int]) -> None:
    """A session of our own; nothing to read, nobody to write to, unexpected words to a file.

    No descriptor stays open but ``kept``: a pipe or lock of our caller's would be held for as long as we live.
    """
    os.setsid()
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    null = os.open(os.devnull, os.O_RDWR)
    words = os.open(errors, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    for fd, target in ((null, 0), (null, 1), (words, 2)):
        os.dup2(fd, target)
    for low, high in pairwise([2, *sorted(kept), MOST_DESCRIPTORS]):
        os.closerange(low + 1, high)
