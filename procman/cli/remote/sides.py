"""Which side a verb speaks to that both have: this directory's formation, or an app on a server."""

from procman.cli.options import Given
from procman.typed import Any, Callable, Mapping

Action = Callable[[Given, dict[str, bool]], int]

BOTH: Mapping[str, str] = {  # and what the server's side calls, ``MODULE.FUNCTION`` of this package
    "ps": "dynos.show",
    "scale": "dynos.scale",
    "restart": "dynos.restart",
    "stop": "dynos.stop",
    "logs": "logs.logs",
    "run": "run.run",
}

OURS = ("app_root", "procfile", "name", "socket")  # flags that mean a formation of this host


def chosen(name: str, told: Given) -> Action | None:
    """The server's side of a verb that both have, if it is meant; None for this directory's formation."""
    if name not in BOTH:
        return None
    if "app" in told.fields or "remote" in told.fields:
        refuse_ours(name, told)
        return action(BOTH[name])
    if told.fields.keys() & OURS or runs_here(told):
        return None
    import os

    from procman.cli.remote.target import app_name  # and HTTP with it, which takes as long as all the rest of `ps`

    return action(BOTH[name]) if app_name(told.fields, os.environ) else None


def refuse_ours(name: str, told: Given) -> None:
    """Raises UsageError when a flag means this directory's formation, such as the ``-d`` of `heroku logs -d web.1`."""
    for field in OURS:
        if field in told.fields:
            from procman.cli.options import OPTIONS
            from procman.errors import UsageError

            flags = next(option.flags for option in OPTIONS[name] if option.name == field)
            what = f"cannot use {' or '.join(flags)} with an app on a server: it means a formation of this host"
            raise UsageError(what, f"procman help {name}")


def action(call: str) -> Action:
    """What ``MODULE.FUNCTION``, or ``MODULE.NAME.METHOD``, of this package is; its module is imported now."""
    from importlib import import_module

    module, *attributes = call.split(".")
    found: Any = import_module(f"procman.cli.remote.{module}")
    for attribute in attributes:
        found = getattr(found, attribute)
    done: Action = found
    return done


def runs_here(told: Given) -> bool:
    """Whether the formation of the directory that is meant runs."""
    from procman.cli.target import find_home
    from procman.errors import ProcmanError

    fields = {name: value for name, value in told.fields.items() if isinstance(value, str)}
    try:
        return find_home(fields).is_running()
    except ProcmanError:
        return False
