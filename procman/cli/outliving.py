"""What makes the dynos of a detached formation outlive a killed supervisor: it is handed what the last one left."""

from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Any

from procman.cli.local_app import LocalApp
from procman.core.events import RestartRequested
from procman.core.formation import list_words
from procman.core.model import DynoName
from procman.supervisor.adoption import Succession, find, holder_of, make_pipes
from procman.supervisor.child import Child
from procman.supervisor.home import Home
from procman.supervisor.ledger import Ledger, remove
from procman.supervisor.owed import Witness, cut_torn
from procman.supervisor.processes import LocalProcesses
from procman.supervisor.supervisor import Supervisor


class Outliving:
    """One start of a formation, and what it goes on with. ``used``: log pipes that are in use besides."""

    def __init__(self, app: LocalApp, home: Home, found: Ledger, used: Sequence[str] = ()) -> None:
        self._app = app
        self._used = [*used, *found.pipes()]
        self._home = home
        self._found = found
        self._succession: Succession | None = None
        app.present = lambda: [entry.dyno for entry in found.dynos]  # their ports are no strangers'

    def has_any(self) -> bool:
        """Whether there are dynos to go on with."""
        return bool(self._found.dynos)

    def held(self) -> dict[str, str]:
        """Who holds their log pipes."""
        return holder_of(self._found)

    def pipes(self) -> str:
        """The directory for the dynos' log pipes."""
        return make_pipes(self._home, self._used)

    def witness(self) -> Witness | None:
        """What can tell whether something was written."""
        store, scribe = self._app.store, self._app.scribe
        return Witness(self._home.log, store.place, lambda: scribe.waiting > 0) if store and scribe else None

    def join(self, supervisor: Supervisor, processes: LocalProcesses, token: str) -> Callable[[], None]:
        """What is to be done before the formation starts."""
        self._home.write({**self._app.said, **holder_of(self._found, processes)})
        self._succession = Succession(self._home, token, supervisor, processes, self._entry)
        return lambda: self._adopt(supervisor)

    def begin(self, supervisor: Supervisor, do: Callable[[Callable[[], object]], object]) -> None:
        """The formation runs: replace the dynos whose command or environment is another by now, and keep the books."""
        assert self._succession
        before = {entry.dyno: entry.more.get("essence") for entry in self._found.dynos}
        stale = [name for name, essence in before.items() if essence != self._essence(name)]
        supervisor.post(RestartRequested(tuple(stale)))
        self._succession.keep_books(do)

    def close(self) -> None:
        """A clean end."""
        if self._succession:
            self._succession.close()

    def _adopt(self, supervisor: Supervisor) -> None:
        if self._found.dynos:
            supervisor.output.say(None, f"Took over {list_words(entry.dyno for entry in self._found.dynos)}")
        assert self._succession
        self._succession.adopt(self._found, self._port)

    def _port(self, dyno: DynoName) -> int | None:
        port = self._app.command(dyno).env.get("PORT", "")
        return int(port) if port.isdecimal() else None

    def _entry(self, child: Child) -> dict[str, Any]:
        return {"essence": self._essence(child.dyno)}

    def _essence(self, dyno: DynoName) -> str:
        if dyno.process_type not in self._app.types():
            return ""
        return sha256(repr(self._app.essence(dyno.process_type)).encode("utf-8", "surrogateescape")).hexdigest()


def clear_up(app: LocalApp, home: Home, last: dict[str, str]) -> tuple[str, Outliving | None]:
    """End what the last supervisor left, but for what a detached formation goes on with; says how much that was."""
    cut_torn(home.log)
    found, swept = find(home, last, lambda entry: bool(app.settings.detach) and entry.dyno.process_type in app.types())
    if app.settings.detach:
        return swept, Outliving(app, home, found)
    remove(home.ledger)
    return swept, None
