"""A program that is to be kept alive: what the flags, or an object of the JSON file, say about it, checked."""

import os
from collections.abc import Mapping, Sequence
from typing import NamedTuple
from zlib import crc32

from procman.cli.options import Value
from procman.core.model import Profile
from procman.core.restart import DEV, RestartPolicy
from procman.errors import ProcmanError, UsageError
from procman.formats import signal_name

INTERPRETERS = {".js": ("node",), ".mjs": ("node",), ".cjs": ("node",), ".py": ("python", "python3")}
MIN_UPTIME_MS = 1000  # forever
MOST_DIGITS = 12
IGNORE_FILE = ".foreverignore"


class Unusable(UsageError):
    """A flag's value that cannot be used; in parts, for where it stands in a file instead."""

    def __init__(self, flag: str, value: str, reason: str, example: str) -> None:
        super().__init__(f"cannot use {flag} {value}: {reason}", f"{flag} {example}")
        self.flag = flag
        self.value = value
        self.reason = reason


class Program(NamedTuple):
    """``words``: what is executed, in ``cwd``, with ``env`` on top of ours. ``min_uptime``: seconds.

    ``script``: as it was named, and as `list` shows it behind ``command``. ``source``: what makes it the same program
    as another one. ``uid`` empty: none was asked for. ``path``: below it its state is kept; empty: where all is.
    """

    words: tuple[str, ...]
    command: str
    script: str
    source: str
    cwd: str
    env: Mapping[str, str]
    uid: str
    id: str
    profile: Profile
    min_uptime: float
    log_file: str
    out_file: str
    err_file: str
    append: bool
    silent: bool
    pid_file: str
    watched: str | None
    unwatched: tuple[str, ...]
    path: str

    def default_uid(self) -> str:
        """By the script: the same one has the same, today and tomorrow."""
        stem = os.path.splitext(os.path.basename(self.script.split(" ", 1)[0].rstrip("/")))[0]
        base = "".join(letter if letter.isalnum() or letter in "-_." else "-" for letter in stem).strip(".-") or "app"
        return f"{base}-{crc32(self.source.encode('utf-8', 'surrogateescape')):08x}"


def program(
    fields: Mapping[str, Value], words: Sequence[str], literal: bool = False, env: Mapping[str, str] | None = None
) -> Program:
    """What is said about a script and its arguments, or about a ``literal`` command. Raises ProcmanError."""

    def text(name: str) -> str:
        value = fields.get(name)
        return value if isinstance(value, str) else ""

    source_dir = os.path.abspath(text("source_dir") or ".")
    cwd = os.path.abspath(text("working_dir") or source_dir)
    if not os.path.isdir(cwd):
        raise ProcmanError(f"cannot run in {cwd}: no such directory", "--workingDir DIR")
    if not words:
        raise UsageError("cannot run: no script is named", "procman forever app.js, or procman forever --help")
    run = literal_words(words) if literal else script_words(text("command"), words, source_dir, cwd)
    uid = checked_uid(text("uid"))
    base = os.path.abspath(text("path") or ".")
    watched = os.path.abspath(text("watch_directory") or cwd) if fields.get("watch") else None
    ignored = fields.get("watch_ignore")
    return Program(
        words=run,
        command="" if literal else " ".join(run[: len(run) - len(words)]),
        script=" ".join(words) if literal else words[0],
        source="\0".join((cwd, *words)) if literal else os.path.realpath(os.path.join(source_dir, words[0])),
        cwd=cwd,
        env=env or {},
        uid=uid,
        id=text("id"),
        profile=profile(text("max"), text("min_uptime"), text("spin_sleep"), text("kill_ttl"), text("kill_signal")),
        min_uptime=milliseconds("--minUptime", text("min_uptime"), MIN_UPTIME_MS),
        log_file=text("log_file") and os.path.join(base, text("log_file")),
        out_file=text("out_file") and os.path.abspath(text("out_file")),
        err_file=text("err_file") and os.path.abspath(text("err_file")),
        append=bool(fields.get("append")),
        silent=bool(fields.get("silent")),
        pid_file=text("pid_file") and os.path.abspath(text("pid_file")),
        watched=watched,
        unwatched=(*(ignored if isinstance(ignored, list) else ()), *(foreverignore(watched) if watched else ())),
        path=text("path"),
    )


def checked_uid(uid: str) -> str:
    """The same, or none. Raises Unusable for one that could be no file's name, or a number in a list."""
    plain = all(letter.isalnum() or letter in "-_." for letter in uid)
    if uid and (uid.isdecimal() or not plain or uid[0] in "-."):
        raise Unusable("--uid", f"'{uid}'", "letters, digits, - _ and . are wanted, and not digits alone", "shop")
    return uid


def profile(most: str, min_uptime: str, spin_sleep: str, kill_ttl: str, kill_signal: str) -> Profile:
    """What the program is held to. Raises Unusable."""
    if most and not (is_number(most) and int(most)):
        raise Unusable("-m", most, "a number of runs is wanted, 1 or more", "5")
    grace = milliseconds("--killTTL", kill_ttl, int(DEV.grace * 1000))
    policy = RestartPolicy(
        f"-m {most}" if most else "forever",
        delays=(milliseconds("--spinSleepTime", spin_sleep, 0),) if spin_sleep else DEV.delays,
        jitter=0.0 if spin_sleep else DEV.jitter,
        forgiven_after=milliseconds("--minUptime", min_uptime, MIN_UPTIME_MS),
        grace=grace,
        lives=int(most) if most else None,
        spares_long_lives=True,
    )
    return Profile(policy, grace, stop_signal=signal_named(kill_signal or "SIGTERM"))


def milliseconds(flag: str, given: str, default: int) -> float:
    """Seconds. ``0`` is a number as any other."""
    if given and not is_number(given):
        raise Unusable(flag, given, "milliseconds are wanted", str(default or 1000))
    return int(given or default) / 1000


def is_number(text: str) -> bool:
    """Whether it is digits, and not so many that nothing can reckon with them."""
    return text.isascii() and text.isdecimal() and len(text) <= MOST_DIGITS


def signal_named(word: str) -> str:
    """``SIGTERM``, ``TERM``, ``15``: the full name."""
    try:
        return signal_name.parse(word)
    except ValueError:
        raise Unusable("--killSignal", word, "no such signal", "SIGINT") from None


def literal_words(words: Sequence[str]) -> tuple[str, ...]:
    """A command as it stands; refused here rather than restarted for ever when there is no such program."""
    require(words[0])
    return tuple(words)


def script_words(command: str, words: Sequence[str], source_dir: str, cwd: str) -> tuple[str, ...]:
    """A script with what runs it in front."""
    path = os.path.join(source_dir, words[0])
    if not os.path.exists(path):
        raise ProcmanError(f"cannot run {words[0]}: no such file in {source_dir}", "procman forever --help")
    if command:
        by = command_words(command)
        require(by[0] if by else command)
    else:
        by = interpreter(path)
    name = words[0] if source_dir == cwd else path
    return (*by, name if by or "/" in name else f"./{name}", *words[1:])


def command_words(command: str) -> Sequence[str]:
    """What ``-c`` says, as a shell would split it. Raises Unusable."""
    from shlex import split

    try:
        return split(command)
    except ValueError as error:
        reason = "it ends with a backslash" if "escape" in str(error) else "quote never closed"
        raise Unusable("-c", f"'{command}'", reason, "'node --inspect'") from None


def interpreter(path: str) -> Sequence[str]:
    """By the suffix; an executable runs itself; a directory, or a script of node's, is node's."""
    found = INTERPRETERS.get(os.path.splitext(path)[1])
    if not found and (os.path.isdir(path) or is_nodes(path)):
        found = INTERPRETERS[".js"]
    if found:
        there = [name for name in found if which(name)]
        if not there:
            require(found[0])
        return there[:1]
    if os.access(path, os.X_OK):
        return ()
    raise ProcmanError(f"cannot run {path}: it is not executable, and has no suffix that says how", "-c COMMAND")


def is_nodes(path: str) -> bool:
    """A script that names node itself and cannot be executed, such as Express's ``bin/www``."""
    if os.access(path, os.X_OK):
        return False
    try:
        with open(path, "rb") as file:
            first = file.readline(200)
    except OSError:
        return False
    return first.startswith(b"#!") and b"node" in first


def require(name: str) -> None:
    """Raise ProcmanError (exit code 127) unless there is such a command."""
    if not which(name):
        raise ProcmanError(f"cannot run {name}: command not found", "is it in PATH?", 127)


def which(name: str) -> bool:
    """Whether a command can be found; ``shutil.which`` costs more to import than all of this file."""
    places = [""] if "/" in name else os.get_exec_path()
    paths = [os.path.join(place, name) for place in places]
    return any(os.access(path, os.X_OK) and not os.path.isdir(path) for path in paths)


def foreverignore(directory: str) -> list[str]:
    """The globs of the directory's .foreverignore."""
    try:
        with open(os.path.join(directory, IGNORE_FILE), encoding="utf-8", errors="surrogateescape") as file:
            lines = [line.strip() for line in file]
    except OSError:
        return []
    return [line for line in lines if line and not line.startswith("#")]
