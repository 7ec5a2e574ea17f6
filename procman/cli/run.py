"""`procman run`: one command in the app's environment. It becomes that command, so nothing stands in between."""

import os
import shutil
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from procman.cli.app import load
from procman.cli.environment import dyno_env, shell
from procman.cli.options import Given
from procman.cli.settings import resolve
from procman.core.model import RELEASE, DynoName
from procman.errors import ProcmanError
from procman.supervisor.home import Home

RUN = "run"
ANSWER_S = 5.0  # a supervisor that says nothing for so long does not answer
OTHERWISE = frozenset({"env_files", "port", "interpolate"})  # flags that ask for another environment than what runs has
OWN = ("TERM", "COLORTERM", "COLUMNS", "LINES")  # what tells of the terminal one sits at


class Surroundings(NamedTuple):
    """Where a command runs. ``types``: in the order in which they are given their hundreds of ports."""

    root: str
    processes: Mapping[str, str]
    env: Mapping[str, str]
    types: Sequence[str]
    base_port: int


def run(given: Given, argv: list[str]) -> int:
    """Replace this process by the command: its status, signals, stdin and terminal are then its own.

    A first word that is a process type stands for that type's command, with the other words behind it (Heroku:
    one-off-dynos). A single other word is read by the shell; several are run as they are. Raises ProcmanError with
    exit code 127 when there is no such command.
    """
    around = surroundings(given, dict(os.environ))
    words = words_of(argv, around.processes)
    name = f"{RUN}.{os.getpid()}"
    base = dyno_env(around.env, DynoName(RUN, 1), [*around.types, RUN], around.base_port)
    env = {**base, "DYNO": name, "PS": name}
    os.chdir(around.root)
    program = shutil.which(words[0], path=env.get("PATH"))
    if program is None and "/" in words[0] and os.path.exists(words[0]):
        raise ProcmanError(f"cannot run {words[0]}: not executable", f"chmod +x {words[0]}", 126)
    if program is None:
        raise ProcmanError(f"cannot run {words[0]}: command not found", "procman shows the process types", 127)
    try:
        os.execve(program, words, env)
    except OSError as error:
        raise ProcmanError(f"cannot run {words[0]}: {error.strerror}", exit_code=126) from None


def surroundings(given: Given, environ: dict[str, str]) -> Surroundings:
    """Those of the formation that runs, by its supervisor's word; where none runs, what the files say."""
    named = [given.fields[field] for field in ("socket", "name") if given.fields.get(field)]
    if not OTHERWISE & given.fields.keys():
        from procman.cli.request import home_of

        home = home_of(given)
        socket = given.fields.get("socket")
        if named or os.path.exists(home.socket):
            from procman.cli.target import Located

            with Located(given):
                found = of_running(home, socket if isinstance(socket, str) else "", environ, bool(named))
            if found:
                return found
    app = load(resolve(given, environ), environ, procfile_needed=False)
    types = sorted(dict(app.processes), key=lambda name: name == RELEASE)
    return Surroundings(app.root, dict(app.processes), app.env, types, app.base_port)


def of_running(home: Home, socket: str, environ: Mapping[str, str], needed: bool) -> Surroundings | None:
    """What its supervisor says; None when there is none, unless it is ``needed``. Raises ProcmanError.

    What the caller's environment has besides stays; where both have something, the formation's counts.
    """
    from procman.cli.target import NO_SUPERVISOR, connect, succeed

    try:
        with connect(home, socket or None, ANSWER_S) as client:
            told = succeed(client.call("one-off"))
    except TimeoutError:
        raise ProcmanError(
            f"cannot ask {socket or home.name} for its environment: it does not answer",
            "procman run -e .env CMD reads the files",
        ) from None
    except ProcmanError as error:
        if error.exit_code == NO_SUPERVISOR and not needed:
            return None
        raise
    env = {**environ, **told["env"], **{name: environ[name] for name in OWN if name in environ}}
    return Surroundings(told["root"], told["processes"], env, told["types"], told["base_port"])


def words_of(argv: list[str], commands: Mapping[str, str]) -> list[str]:
    """The argument list to execute."""
    if argv[0] in commands:
        return [shell(), "-c", f'{commands[argv[0]]} "$@"', argv[0], *argv[1:]]
    if len(argv) == 1:
        return [shell(), "-c", argv[0]]
    return argv
