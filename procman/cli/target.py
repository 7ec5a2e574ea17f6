"""Which running formation a command means: by socket, by name, or by the directory one stands in."""

import os

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
    """A connection to its supervisor. Raises ProcmanError (exit code 3) when none runs."""
    try:
        return Client(socket or home.socket, patience)
    except NotRunning:
        where = socket or home.name
        if not socket and "pid" in home.facts() and not home.is_running():
            raise ProcmanError(
                f"cannot reach {where}: its supervisor was killed",
                "procman start --detach goes on with what it left, procman start begins anew",
                NO_SUPERVISOR,
            ) from None
        raise ProcmanError(
            f"cannot reach {where}: it is not running", "procman start, or procman list for what runs", NO_SUPERVISOR
        ) from None


def succeed(answer: Mapping[str, object]) -> Message:
    """The answer, if it is not a refusal; ProcmanError otherwise."""
    if not answer.get("ok"):
        hint = answer.get("hint")
        raise ProcmanError(str(answer.get("error")), str(hint) if hint else None)
    return dict(answer)
