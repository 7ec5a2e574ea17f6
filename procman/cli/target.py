"""Which running formation a command means: by socket, by name, or by the directory one stands in."""

import os
from errno import EACCES, EPERM

from procman.cli.options import Given
from procman.cli.settings import resolve
from procman.control.client import Client, NotRunning
from procman.control.protocol import Message
from procman.errors import ProcmanError
from procman.supervisor.home import Home, apps_dir, default_name
from procman.typed import Mapping

NO_SUPERVISOR = 3  # exit code


def find_home(fields: Mapping[str, str]) -> Home:
    """The home of the app that is meant by ``name``, or by ``app_root`` and ``procfile``, whether it runs or not.

    What flags leave open is looked up in the settings files, as `procman start` does.
    """
    if "name" in fields:
        return Home(apps_dir(os.environ), fields["name"])
    settings = resolve(Given(fields), os.environ)
    name = settings.name or default_name(os.path.abspath(settings.app_root), settings.procfile)
    return Home(apps_dir(os.environ), name)


def connect(home: Home, socket: str | None = None, patience: float | None = None) -> Client:
    """A connection to its supervisor. Raises ProcmanError (exit code 3 when none runs)."""
    try:
        return Client(socket or home.socket, patience)
    except NotRunning as error:
        raise absence(home, socket, error.errno) from None


def absence(home: Home, socket: str | None = None, errno: int | None = None) -> ProcmanError:
    """Nobody answers for it: why, and what brings it back. ``errno``: what the kernel said."""
    from procman.cli.forever.roll import CARD

    if errno in (EACCES, EPERM):
        what = f"cannot reach {socket or home.name}: permission denied: it is another user's"
        return ProcmanError(what, "procman list, for what is yours")
    if not socket and home.is_running():
        pid = home.facts().get("pid", "unknown")
        what = f"cannot reach {home.name}: it runs (pid {pid}), but its socket is gone, or not there yet"
        return ProcmanError(what, f"kill {pid}, if it stays so: that ends it gracefully", NO_SUPERVISOR)
    killed = not socket and home.was_killed()
    hint = "procman start, or procman list for what runs"
    if os.path.exists(os.path.join(home.path, CARD)):
        hint = "procman forever start, with its script and flags as before"
    elif killed:
        hint = "procman start --detach, to go on with what it left, or procman start, to begin anew"
    why = "its supervisor was killed" if killed else "it is not running"
    return ProcmanError(f"cannot reach {socket or home.name}: {why}", hint, NO_SUPERVISOR)


def located(error: ProcmanError, told: Given) -> ProcmanError:
    """The refusal, with a hint that says as the command line did which formation is meant: ``--name shop``."""
    import re
    from shlex import quote

    flags = {"name": "--name", "app_root": "-d", "procfile": "-f"}
    said = "".join(f" {flags[field]} {quote(str(told.fields[field]))}" for field in flags if told.fields.get(field))
    if error.hint and said:
        command = r"procman (?!list\b|forever\b)[^,;]+"
        error.hint = re.sub(command, lambda found: found[0] + said, error.hint)
    return error


class Located:
    """Within it, what is refused is ``located``."""

    def __init__(self, told: Given) -> None:
        self._told = told

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, error: BaseException | None, at: object) -> None:
        if isinstance(error, ProcmanError):
            located(error, self._told)


def succeed(answer: Mapping[str, object]) -> Message:
    """The answer, if it is not a refusal; ProcmanError otherwise."""
    if not answer.get("ok"):
        hint = answer.get("hint")
        raise ProcmanError(str(answer.get("error")), str(hint) if hint else None)
    return dict(answer)
