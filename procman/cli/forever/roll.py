"""The roll of programs: who runs, or ran, under which uid and index, and whom a word of the command line means."""

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

from procman.cli.forever.program import Program
from procman.errors import ProcmanError
from procman.files import write_private
from procman.supervisor.home import AlreadyRunning, Home, apps_dir, homes

PREFIX = "forever-"
CARD = "forever.json"
COUNTER = ".forever-next"
NAMESAKES = 1000


class Entry(NamedTuple):
    """One program. ``facts``: uid, id, index, command, script, source, cwd, logfile."""

    home: Home
    facts: dict[str, Any]

    @property
    def uid(self) -> str:
        """What it is called."""
        return str(self.facts["uid"])

    def label(self) -> str:
        """``app.js (uid app-1a2b3c4d)``."""
        return f"{self.facts['script']} (uid {self.uid})"


def apps(path: str, environ: Mapping[str, str]) -> str:
    """Where the homes are: those of all formations, or under ``-p`` (or FOREVER_ROOT) others."""
    root = path or environ.get("FOREVER_ROOT", "")
    return os.path.join(os.path.abspath(root), "apps") if root else apps_dir(environ)


def entries(directory: str) -> list[Entry]:
    """Everyone who is, or was, by index."""
    found = []
    for home in homes(directory):
        try:
            with open(os.path.join(home.path, CARD), encoding="utf-8") as file:
                facts = json.load(file)
        except (OSError, ValueError):
            continue
        if isinstance(facts, dict) and {"uid", "index", "script"} <= facts.keys():
            found.append(Entry(home, facts))
    return sorted(found, key=lambda entry: (int(entry.facts["index"]), entry.uid))


def running(directory: str) -> list[Entry]:
    """Those whose supervisor lives."""
    return [entry for entry in entries(directory) if entry.home.is_running()]


def enrol(program: Program, directory: str, foreground: bool) -> tuple[Entry, dict[str, str]]:
    """Take the home of a new program; what its last holder left behind is in the second half.

    One uid runs once, and so does a script in the background, unless uids were given to tell it apart. In the
    foreground (`web: procman forever app.js`, web=2) a namesake gets a number. Raises ProcmanError.
    """
    os.makedirs(directory, mode=0o700, exist_ok=True)
    with locked(directory):
        alive = running(directory)
        twins = [entry for entry in alive if entry.facts.get("source") == program.source]
        if twins and not program.uid and not foreground:
            raise refusal(program, twins[0])
        uid = program.uid or program.default_uid()
        for number in range(1, NAMESAKES):
            name = uid if number == 1 else f"{uid}-{number}"
            home = Home(directory, PREFIX + name)
            try:
                last = home.take()
                break
            except AlreadyRunning:
                if not foreground or program.uid or number == NAMESAKES - 1:
                    raise refusal(program, next((e for e in alive if e.uid == name), None), name) from None
        index = next_index(directory, bool(alive))
        facts = {
            "uid": name,
            "id": program.id or None,
            "index": index,
            "command": program.command or None,
            "script": program.script,
            "source": program.source,
            "cwd": program.cwd,
            "logfile": program.log_file or (None if foreground else home.log),
            "foreground": foreground,
        }
        write(os.path.join(home.path, CARD), json.dumps(facts, indent=1) + "\n")
    return Entry(home, facts), last


def refusal(program: Program, twin: Entry | None, uid: str = "") -> ProcmanError:
    """Who is in the way, and what to do about it."""
    if twin is None:
        return ProcmanError(f"cannot start {program.script}: {uid} runs already", f"procman forever stop {uid}")
    pid = twin.home.facts().get("pid", "unknown")
    return ProcmanError(
        f"cannot start {program.script}: {twin.label()} runs already (forever pid {pid})",
        f"procman forever restart {twin.uid}; or run a second one with --uid NAME",
    )


def find(word: str, among: list[Entry]) -> list[Entry]:
    """Whom ``word`` means: by uid, id, index, process id, or script, the first that fits. Raises ProcmanError."""
    keys = (
        lambda entry: [entry.uid],
        lambda entry: [str(entry.facts.get("id"))],
        lambda entry: [str(entry.facts["index"])],
        lambda entry: [entry.home.facts().get("pid")] if word.isdecimal() else [],
        lambda entry: [child_pid(entry)] if word.isdecimal() else [],
        lambda entry: [entry.facts["script"], entry.facts["source"]],
        lambda entry: [os.path.basename(str(entry.facts["script"]))],
    )
    for key in keys:
        if found := [entry for entry in among if word in key(entry)]:
            return found
    who = ", ".join(entry.uid for entry in among) or "none"
    raise ProcmanError(f"cannot find '{word}': no such id, uid, pid, index or script", f"there are {who}")


def child_pid(entry: Entry) -> str:
    """The process id of the program itself, by its supervisor's word."""
    row = status(entry)
    return str(row.get("pid"))


def status(entry: Entry) -> dict[str, Any]:
    """Its row of `procman ps`; {} while its supervisor comes or goes."""
    from procman.control.client import Client, NotRunning

    try:
        with Client(entry.home.socket) as client:
            rows = client.call("ps").get("dynos") or [{}]
    except (NotRunning, OSError):
        return {}
    return dict(rows[0])


def next_index(directory: str, someone: bool) -> int:
    """One that nobody had since the list was last empty, so that an index never comes to mean another program."""
    path = os.path.join(directory, COUNTER)
    try:
        with open(path, encoding="ascii") as file:
            index = int(file.read()) if someone else 0
    except (OSError, ValueError):
        index = 0
    write(path, f"{index + 1}\n")
    return index


@contextmanager
def locked(directory: str) -> Iterator[None]:
    """One start at a time."""
    fd = os.open(os.path.join(directory, ".forever-lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def write(path: str, text: str, mode: int = 0o600) -> None:
    """Put a file in place in one step."""
    write_private(path, text.encode(), mode, lasting=False)
