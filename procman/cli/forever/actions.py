"""What each action of `procman forever` does."""

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from procman.cli.forever.flags import ACTIONS, GONE, RUN, TABLE, Asked, check_wordless, help_text, read
from procman.cli.forever.program import Program, Unusable, program
from procman.cli.forever.roll import apps, enrol, status
from procman.cli.listing import emit
from procman.errors import ProcmanError, UsageError
from procman.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from procman.cli.forever import configuration


def forever(argv: list[str]) -> int:
    """Do what the words behind `procman forever` say; returns the exit status."""
    asked = read(argv)
    if asked.fields.get("help") or asked.action == "help" or not (asked.action or asked.words or asked.fields):
        emit(help_text())
        return 0
    if asked.fields.get("version"):
        from procman import __version__

        emit(f"procman {__version__}")
        return 0
    if asked.action in GONE:
        raise ProcmanError(f"cannot use {asked.action}: {GONE[asked.action]}")
    if asked.action in (RUN, "start"):
        return (start if asked.action else foreground)(asked)
    check_wordless(asked)
    from procman.cli.forever import listings, orders

    others = {
        "stop": orders.stop,
        "stopbypid": orders.stop_by_pid,
        "stopall": orders.stop_all,
        "restart": orders.restart,
        "restartall": orders.restart_all,
        "list": listings.show_list,
        "logs": listings.logs,
        "cleanlogs": listings.clean_logs,
    }
    path = asked.fields.get("path")
    return others[asked.action](asked, directory(path if isinstance(path, str) else ""))


def directory(path: str) -> str:
    """Where this user's programs are listed. ``path``: that of ``-p``, or empty."""
    return apps(path, os.environ)


def programs(asked: Asked) -> list[Program]:
    """What is to run: one, or those of a JSON file; there the command line has the last word."""
    if asked.literal or not asked.words or not asked.words[0].endswith(".json"):
        if asked.action == RUN and asked.words and not asked.literal and not os.path.exists(asked.words[0]):
            refuse_word(asked)
        return [program(asked.fields, asked.words, asked.literal)]
    from procman.cli.forever import configuration

    return [listed(entry, asked) for entry in configuration.read(asked.words[0])]


def listed(entry: "configuration.Entry", asked: Asked) -> Program:
    """One of a JSON file's. Raises ProcmanError, with the line of a value that cannot be used."""
    words = [entry.script, *entry.args, *asked.words[1:]]
    try:
        return program({**entry.fields, **asked.fields}, words, env=entry.env)
    except Unusable as error:
        field = TABLE[error.flag][0].name
        if field in asked.fields:
            raise
        raise ProcmanError(f"cannot use {entry.places[field]} {error.value}: {error.reason}") from None


def refuse_word(asked: Asked) -> None:
    """A word that is neither an action nor a file may be a misspelt action."""
    from difflib import get_close_matches

    if "source_dir" not in asked.fields and (near := get_close_matches(asked.words[0], ACTIONS, 1)):
        raise UsageError(f"cannot run {asked.words[0]}: no such file or action", f"did you mean '{near[0]}'?")


def foreground(asked: Asked) -> int:
    """Keep one alive here until it is stopped; several, until all are."""
    wanted = programs(asked)
    for one in wanted:
        check(one)
    if len(wanted) == 1:
        return keep_here(wanted[0])
    from functools import partial

    from procman.cli.forever.several import together

    return together([partial(keep_here, one, os.getpid()) for one in wanted])


def keep_here(wanted: Program, parent: int = 0) -> int:
    """Keep one alive in this process, and no longer than its ``parent`` lives, if that is said."""
    from procman.cli.forever.keep import keep
    from procman.supervisor.sweep import sweep

    try:
        entry, last = enrol(wanted, directory(wanted.path), foreground=True)
    except OSError:  # a container's read-only home: it runs all the same, and is on no list
        import tempfile

        with tempfile.TemporaryDirectory(prefix="procman-") as place:
            entry, last = enrol(wanted, place, foreground=True)
            return keep(wanted, entry.home, sweep(last), parent=parent)
    return keep(wanted, entry.home, sweep(last), parent=parent)


def check(wanted: Program) -> None:
    """What can be told before anything starts."""
    if wanted.watched is not None:
        from procman.cli.forever.watching import rules
        from procman.supervisor.watch import check_installed

        check_installed()
        rules(wanted)


def check_apart(wanted: Sequence[Program], words: Sequence[str]) -> None:
    """No two of a JSON file are in each other's way, as ``enrol`` will see it. Raises ProcmanError."""
    for place, one in enumerate(wanted):
        others = [other for other in wanted[:place] if directory(other.path) == directory(one.path)]
        uid = one.uid or one.default_uid()
        if not one.uid and any(other.source == one.source for other in others):
            raise ProcmanError(f"cannot start {words[0]}: it names {one.script} twice", '"uid": "NAME"')
        if any(uid == (other.uid or other.default_uid()) for other in others):
            raise ProcmanError(f"cannot start {words[0]}: it names uid {uid} twice", '"uid": "NAME"')


def check_files(wanted: Program) -> None:
    """What is to be written can be: in the background nobody would see why not. Raises ProcmanError."""
    from procman.logs.file import hindrance

    where = directory(wanted.path)
    with kept(where):
        os.makedirs(where, mode=0o700, exist_ok=True)  # the file of -l may be there too
    files = {"-l": wanted.log_file, "-o": wanted.out_file, "-e": wanted.err_file, "--pidFile": wanted.pid_file}
    for flag, path in files.items():
        tried = f"{path}.new" if flag == "--pidFile" and not os.path.isdir(path) else path  # it is renamed to its place
        if path and (why := hindrance(tried, wanted.append)):
            raise ProcmanError(f"cannot write {path}: {why}", f"{flag} FILE")


@contextmanager
def kept(where: str) -> Iterator[None]:
    """Trouble inside is that no state can be kept there, and raises ProcmanError."""
    try:
        yield
    except OSError as error:
        raise ProcmanError(f"cannot keep state in {where}: {error.strerror}", "-p DIR") from None


def start(asked: Asked) -> int:
    """Keep them alive in the background; the status is 1 if one does not come up. It is then tried again."""
    wanted = programs(asked)
    check_apart(wanted, asked.words)
    for one in wanted:
        check(one)
        check_files(one)
    status = 0
    for one in wanted:
        try:
            status |= launch_one(one)
        except ProcmanError as error:
            if len(wanted) == 1:
                raise
            print(f"procman: {error.what}\n  hint: {error.hint}", file=sys.stderr)
            status = 1
    return status


def launch_one(wanted: Program) -> int:
    """Start one and say how that went."""
    from shlex import quote

    from procman.cli.detach import launch
    from procman.cli.forever.keep import UP, keep
    from procman.supervisor.sweep import sweep

    where = directory(wanted.path)
    with kept(where):
        entry, last = enrol(wanted, where, foreground=False)
    words = launch(entry.home, lambda say: keep(wanted, entry.home, sweep(last), say))
    if words == UP:
        pid, child = entry.home.facts().get("pid", "-"), status(entry).get("pid") or "-"
        emit(
            f"Started {entry.facts['script']}: uid {entry.uid}, index {entry.facts['index']}, name {entry.home.name}, "
            f"forever pid {pid}, pid {child}, log {entry.facts['logfile']}"
        )
        return 0
    where_said = f" -p {quote(wanted.path)}" if wanted.path else ""
    lives, look = wanted.profile.policy.lives, f"procman forever logs{where_said} {entry.uid}"
    if lives == 1:  # whether its supervisor has gone yet is chance
        raise ProcmanError(f"{entry.label()} does not stay up: {words}; it is not tried again (-m 1)", look)
    if entry.home.is_running():
        until = f", up to {lives} runs in all (-m {lives})" if lives else " until it does"
        raise ProcmanError(
            f"{entry.label()} does not stay up: {words}; it is tried again{until}",
            f"{look}; procman forever stop{where_said} {entry.uid}",
        )
    raise ProcmanError(f"cannot start {entry.label()}: {words}", look)
