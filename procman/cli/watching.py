"""`start --watch`: joins the file watcher to the supervisor."""

import os
import re
import stat
from collections.abc import Iterable, Mapping, Sequence

from procman.cli.local_app import LocalApp
from procman.core.events import RestartRequested
from procman.core.formation import list_words, wanted_dynos
from procman.core.model import RELEASE
from procman.errors import ProcmanError
from procman.supervisor.processes import LocalProcesses
from procman.supervisor.supervisor import Supervisor
from procman.supervisor.watch import Watch


def watch(supervisor: Supervisor, processes: LocalProcesses, app: LocalApp) -> None:
    """From now on, restart the dynos of a type when files change that its rules are about."""
    engine, output = supervisor.engine, supervisor.output

    def on_change(types: tuple[str, ...] | None, path: str, more: int) -> None:
        if path in app.files():
            reload(path)
            return
        names = tuple(
            name
            for name in wanted_dynos(engine.formation)
            if name not in engine.held
            and name.process_type != RELEASE
            and (types is None or name.process_type in types)
        )
        if names and not engine.closing:
            others = f" and {more} more" if more else ""
            output.say(None, f"{path}{others} changed: restarting {list_words(names)}")
            supervisor.post(RestartRequested(names))

    def reload(path: str) -> None:
        try:
            found = app.reload(engine.formation)
        except ProcmanError as error:
            output.say(None, f"{path} changed, and cannot be used, so nothing else has: {error.what}")
            return
        output.say(None, f"{path} changed: reloaded")
        found.put_in_force(supervisor)

    ours = (os.path.dirname(os.path.dirname(app.said["socket"])), *outputs())
    rules = without(app.settings.watch, app.app.root, ours)
    watcher = Watch(supervisor.loop, app.app.root, rules, on_change, lambda text: output.say(None, text))
    try:
        watcher.start()
    except OSError as error:
        output.say(None, f"cannot watch: {error.strerror}; the formation goes on unwatched")
        return
    supervisor.after_turn.append(lambda: processes.aides.add(watcher.pid))  # it may have been started again


def without(rules: Mapping[str, Sequence[str]], root: str, ours: Iterable[str]) -> dict[str, Sequence[str]]:
    """The rules, less what we write ourselves where that lies within the app: each restart would cause the next."""
    inside = (os.path.relpath(os.path.realpath(path), os.path.realpath(root)) for path in ours)
    named = [re.sub(r"[^\w./-]", "?", path) for path in inside if not path.startswith("..")]  # `?` is any character
    spared = [glob for path in named for glob in (f"!/{path}", f"!/{path}/**")]  # a file, or all in a folder
    return {name: (*globs, *spared) for name, globs in rules.items()}


def outputs(descriptors: Sequence[int] = (1, 2)) -> list[str]:
    """The files that our own output goes to, such as nohup.out."""
    files = [fd for fd in descriptors if stat.S_ISREG(os.fstat(fd).st_mode)]
    return [path for path in (f"/proc/self/fd/{fd}" for fd in files) if os.path.exists(path)]
