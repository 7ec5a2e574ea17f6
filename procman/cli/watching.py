"""`start --watch`: joins the file watcher to the supervisor."""

import os
from collections.abc import Mapping, Sequence

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
            plan = app.reload(engine.formation)
        except ProcmanError as error:
            output.say(None, f"{path} changed, and cannot be used, so nothing else has: {error.what}")
            return
        output.say(None, f"{path} changed: reloaded")
        supervisor.put_in_force(plan)

    rules = without(app.settings.watch, app.app.root, os.path.dirname(os.path.dirname(app.said["socket"])))
    watcher = Watch(supervisor.loop, app.app.root, rules, on_change, lambda text: output.say(None, text))
    try:
        watcher.start()
    except OSError as error:
        output.say(None, f"cannot watch: {error.strerror}; the formation goes on unwatched")
        return
    supervisor.after_turn.append(lambda: processes.aides.add(watcher.pid))  # it may have been started again


def without(rules: Mapping[str, Sequence[str]], root: str, state: str) -> dict[str, Sequence[str]]:
    """The rules, less our own logs and history where they lie within the app: each restart would cause the next."""
    inside = os.path.relpath(os.path.realpath(state), os.path.realpath(root))
    spared = () if inside.startswith("..") else (f"!{inside}/**",)
    return {name: (*globs, *spared) for name, globs in rules.items()}
