"""The entry point: plain words by the short way, all others by click; and errors as a person reads them."""

import gc
import os
import sys

from procman.errors import ProcmanError
from procman.lean import signal


def main() -> None:
    """Run the command line and exit with its status."""
    # Until a verb installs its own handlers, Ctrl-C ends the program at once and without a traceback.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if sys.getfilesystemencoding() != "utf-8" and not sys.flags.utf8_mode:
        begin_in_utf8()
    if None in (sys.stdin, sys.stdout, sys.stderr):
        fill_in()
    status = dispatch(sys.argv[1:])
    if sys.argv[1:2] == ["start"]:
        leave(status)
    sys.exit(status)


def begin_in_utf8() -> None:
    """Procfiles, env files and logs are UTF-8 whatever the locale says, and a dyno gets their bytes as they are."""
    os.execv(sys.executable, [sys.orig_argv[0], "-X", "utf8", *sys.orig_argv[1:]])


def leave(status: int) -> None:
    """End at once: all is done and written, and to take a hundred modules apart would cost 2 ms more."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            pass  # the reader has gone
    os._exit(status)


def dispatch(argv: list[str]) -> int:
    """Do what the words say; returns the exit status. Refusals are one line on stderr, with a hint."""
    try:
        return _dispatch(argv)
    except ProcmanError as error:
        hint = f"\n  hint: {error.hint}" if error.hint else ""
        print(f"procman: {error.what}{hint}", file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:  # `| head`
        from procman.cli.listing import reader_gone

        return reader_gone()
    except OSError as error:
        if not (why := hindrance(error)):
            raise
        from procman.cli.listing import stop_printing

        print(f"procman: {why}", file=sys.stderr)
        stop_printing()
        return 1


def hindrance(error: OSError) -> str:
    """What a person can do something about: a directory that is gone, a disk that takes nothing; or nothing."""
    from errno import EDQUOT, EFBIG, EIO, ENOSPC

    try:
        os.getcwd()
    except FileNotFoundError:
        return "cannot work here: the current directory was removed\n  hint: cd ~"
    where = f" ({error.filename})" if error.filename else ""
    return f"cannot go on: {error.strerror}{where}" if error.errno in (EDQUOT, EFBIG, EIO, ENOSPC) else ""


def fill_in() -> None:
    """Started with closed outputs (``>&-``), procman prints to nobody, and no file of its own takes their place.

    A closed input is at its end.
    """
    for fd in (0, 1, 2):
        try:
            os.fstat(fd)
        except OSError:
            null = os.open(os.devnull, os.O_RDWR)  # the lowest that is free: those below it are open
            assert null == fd
            os.set_inheritable(fd, True)
    sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False)


def _dispatch(argv: list[str]) -> int:
    from procman.cli.options import OPTIONS, read_fast, verb_first

    words = verb_first(argv)
    if words[:1] in (["start"], ["check"], ["install"]) and "--watch" in words:
        from procman.formats.watch_rules import join_values

        words = join_values(words)
    if words[:1] == ["start"] and (given := read_fast("start", words[1:])) is not None:
        gc.disable()  # what is imported stays: to look for garbage in it takes a tenth of the time to the first dyno
        from procman.cli.start import start

        return start(given)
    if words[:1] == ["kill"]:
        from procman.formats.signal_name import spelt_out

        words = spelt_out(words)
    if words[:1] == ["forever"]:  # its words are its script's, which click must not read
        from procman.cli.forever.actions import forever

        return forever(words[1:])
    if words[:1] == ["supervise"]:  # a server's word, in no help
        from procman.cli.supervise import supervise

        return supervise(words[1:])
    if words and words[0] in OPTIONS and (given := read_fast(words[0], words[1:])) is not None:
        from procman.cli.verb import perform
        from procman.cli.verbs import VERBS

        verb = VERBS[words[0]]
        if verb.takes(given.arguments):
            return perform(words[0], verb, given)
    from procman.cli.group import run  # and click, whose import takes twice as long as all the rest of `ps`

    return run(words)
