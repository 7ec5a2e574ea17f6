"""`procman run`: one command in the app's environment. It becomes that command, so nothing stands in between."""

import os
import shutil

from procman.cli.app import App, load
from procman.cli.environment import dyno_env, shell
from procman.cli.options import Given
from procman.cli.settings import resolve
from procman.core.model import RELEASE, DynoName
from procman.errors import ProcmanError

RUN = "run"


def run(given: Given, argv: list[str]) -> int:
    """Replace this process by the command: its status, signals, stdin and terminal are then its own.

    A first word that is a process type stands for that type's command, with the other words behind it (Heroku:
    one-off-dynos). A single other word is read by the shell; several are run as they are. Raises ProcmanError with
    exit code 127 when there is no such command.
    """
    environ = dict(os.environ)
    app = load(resolve(given, environ), environ, procfile_needed=False)
    words = words_of(argv, app)
    order = [*sorted(dict(app.processes), key=lambda name: name == RELEASE), RUN]
    name = f"{RUN}.{os.getpid()}"
    env = {**dyno_env(app.env, DynoName(RUN, 1), order, app.base_port), "DYNO": name, "PS": name}
    os.chdir(app.root)
    program = shutil.which(words[0], path=env.get("PATH"))
    if program is None and "/" in words[0] and os.path.exists(words[0]):
        raise ProcmanError(f"cannot run {words[0]}: not executable", f"chmod +x {words[0]}", 126)
    if program is None:
        raise ProcmanError(f"cannot run {words[0]}: command not found", "procman shows the process types", 127)
    try:
        os.execve(program, words, env)
    except OSError as error:
        raise ProcmanError(f"cannot run {words[0]}: {error.strerror}", exit_code=126) from None


def words_of(argv: list[str], app: App) -> list[str]:
    """The argument list to execute."""
    commands = dict(app.processes)
    if argv[0] in commands:
        return [shell(), "-c", f'{commands[argv[0]]} "$@"', argv[0], *argv[1:]]
    if len(argv) == 1:
        return [shell(), "-c", argv[0]]
    return argv
