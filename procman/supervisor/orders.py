"""What a server can have an app's supervisor do, and what goes on of that in the next one."""

from procman.supervisor.adoption import Succession
from procman.supervisor.baggage import Baggage
from procman.supervisor.child import Child
from procman.supervisor.commands import Serve
from procman.supervisor.ledger import Ledger
from procman.supervisor.one_offs import OneOffs
from procman.supervisor.rollouts import Rollouts
from procman.supervisor.served_app import ServedApp
from procman.supervisor.states import States
from procman.supervisor.supervisor import Supervisor
from procman.typed import Any


class Orders:
    """Rollouts, one-off dynos, and the states that their server is told of."""

    def __init__(self, supervisor: Supervisor, app: ServedApp) -> None:
        self._supervisor = supervisor
        self._app = app
        self._rollouts = Rollouts(supervisor, app, app.settled(), app.settle)
        self._states = States(supervisor, app, self._rollouts)
        self._one_offs = OneOffs(supervisor, app)
        self.hindrance = self._rollouts.hindrance
        self.rejoin = self._one_offs.rejoin

    def verbs(self) -> dict[str, Serve]:
        """Beside those that every app has."""
        return {
            "apply": self._rollouts.apply,
            "switch": self._rollouts.switch,
            "abandon": self._rollouts.abandon,
            "states": self._states.follow,
            "run": self._one_offs.run,
        }

    def tell(self, succession: Succession) -> None:
        """Have written in the books what the next supervisor has to know, should this one be killed."""
        succession.more = self._entry
        succession.facts = lambda: {
            "formations": self._supervisor.engine.formations,
            "ready": self._rollouts.ready(),
        }

    def _entry(self, child: Child) -> dict[str, Any]:
        return {**self._app.entry(child.dyno), **self._one_offs.entry(child)}

    def adopt(self, found: Ledger) -> None:
        """Go on with what the books told."""
        more = {(entry.dyno, entry.run): entry.more for entry in found.dynos}
        for child in self._supervisor.children():
            if child.inherited:
                self._one_offs.adopt(child, more[child.dyno, child.run])
        self._rollouts.resume(self._app.read(), found.facts.get("ready"))

    def pack(self) -> dict[str, Any]:
        """For another program that goes on in our place."""
        return {"app": self._app.pack(), "one_offs": self._one_offs.pack(), "ready": self._rollouts.ready()}

    def unpack(self, baggage: Baggage) -> None:
        """Go on with that; the app has been unpacked already."""
        self._one_offs.unpack(baggage["app"]["one_offs"])
        self._rollouts.resume(self._app.newest, baggage["app"]["ready"])
