"""What a dyno finds in its environment and how its command is read: the same for `start` and `run`."""

import os

from procman.core.formation import port_of, port_variable
from procman.core.model import DynoName
from procman.typed import Mapping, Sequence

SERVICE_VARS = frozenset({"NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC"})  # systemd's words to us alone
# What tells of the shell, the terminal, the login or the unit that something was started from, and SSH_… besides.
SURROUNDINGS = frozenset(
    {"_", "SHLVL", "PWD", "OLDPWD"}
    | {"TERM", "COLORTERM", "COLUMNS", "LINES", "TERM_PROGRAM", "TERM_PROGRAM_VERSION", "TERM_SESSION_ID", "GPG_TTY"}
    | {"WINDOWID", "WINDOW", "STY", "TMUX", "TMUX_PANE", "XDG_SESSION_ID"}
    | {"INVOCATION_ID", "JOURNAL_STREAM", "SYSTEMD_EXEC_PID"}
)
NPM = "npm_lifecycle_event"  # a variable of whatever npm, yarn and pnpm start


def callers(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment that we were started in, as far as dynos may inherit it."""
    return {name: value for name, value in environ.items() if name not in SERVICE_VARS}


def lasting(env: Mapping[str, str], origins: Mapping[str, str]) -> list[tuple[str, str]]:
    """The variables that tell whether an app is still the same, sorted; it may be started anew from another terminal.

    ``origins``: of each, an env file's place or ``environment``. What an env file sets counts, whatever it is called.
    """
    return sorted(
        (name, value)
        for name, value in env.items()
        if origins.get(name) != "environment" or not (name in SURROUNDINGS or name.startswith("SSH_"))
    )


def shell() -> str:
    """Heroku runs commands with bash; where there is none, sh."""
    return "/bin/bash" if os.access("/bin/bash", os.X_OK) else "/bin/sh"


def dyno_env(
    base: Mapping[str, str], dyno: DynoName, process_types: Sequence[str], base_port: int
) -> dict[str, str]:
    """``base`` and what every dyno gets: PORT, DYNO, PS; and TYPE_PORT, where the first dyno of each type listens.

    ``process_types``: those of the formation, in the order in which they are given their hundreds of ports.
    """
    neighbours = {
        port_variable(name): str(port_of(DynoName(name, 1), process_types, base_port))
        for name in process_types
    }
    own = {"DYNO": str(dyno), "PS": str(dyno), "PORT": str(port_of(dyno, process_types, base_port))}
    return {**neighbours, **base, **own}
