"""`forever --watch`: joins the file watcher to the supervisor."""

import os

from procman.cli.forever.program import Program
from procman.cli.watching import outputs, without
from procman.core.events import RestartRequested
from procman.errors import ProcmanError
from procman.formats.watch_rules import parse
from procman.supervisor.processes import LocalProcesses
from procman.supervisor.supervisor import Supervisor
from procman.supervisor.watch import Watch


def rules(program: Program) -> dict[str, tuple[str, ...]]:
    """Everything, without what was to be ignored. Raises ProcmanError."""
    assert program.watched is not None
    globs = ["*"]
    for glob in program.unwatched:
        inner = os.path.relpath(glob, program.watched) if glob.startswith("/") else glob
        globs.append(inner[1:] if inner.startswith("!") else f"!{inner}")
    try:
        return parse([f"all={glob}" for glob in globs])
    except ValueError as error:
        raise ProcmanError(f"cannot use --watchIgnore: {error}", "--watchIgnore '*.log'") from None


def watch(supervisor: Supervisor, processes: LocalProcesses, program: Program, homes: str) -> None:
    """From now on, restart the program once for each burst of changes. ``homes``: where we keep our own state."""
    assert program.watched is not None
    output = supervisor.output
    written = filter(None, (program.log_file, program.out_file, program.err_file, program.pid_file))
    ours = (path for file in written for path in (file, f"{file}.new"))  # a pid file is written beside, then renamed
    heeded = without(rules(program), program.watched, (homes, *outputs(), *ours))

    def on_change(_types: tuple[str, ...] | None, path: str, more: int) -> None:
        engine = supervisor.engine
        names = tuple(name for name in engine.dynos if name not in engine.held)
        if names and not engine.closing:
            output.say(None, f"{path}{f' and {more} more' if more else ''} changed: restarting")
            supervisor.post(RestartRequested(names))

    watcher = Watch(supervisor.loop, program.watched, heeded, on_change, lambda text: output.say(None, text))
    try:
        watcher.start()
    except OSError as error:
        output.say(None, f"cannot watch: {error.strerror}; going on unwatched")
        return
    supervisor.after_turn.append(lambda: processes.aides.add(watcher.pid))  # it may have been started again
