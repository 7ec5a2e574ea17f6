"""What reading an app's files again has found, and how that is put in force."""

from procman.core.events import FormationChanged, RestartRequested
from procman.core.formation import wanted_dynos
from procman.core.model import DynoName
from procman.supervisor.supervisor import Supervisor
from procman.typed import Mapping, NamedTuple


class Reload(NamedTuple):
    """Quantities by type in file order, and the types whose dynos must be replaced."""

    formation: Mapping[str, int]
    changed: frozenset[str]

    def put_in_force(self, supervisor: Supervisor) -> dict[DynoName, int]:
        """Change what was found changed. What was stopped by hand stays down.

        The dynos that are replaced, each with the run that is to come.
        """
        engine = supervisor.engine
        before = {name for name, dyno in engine.dynos.items() if dyno.wanted} - engine.held
        engine.reprofile()
        supervisor.post(FormationChanged(self.formation))
        kept = wanted_dynos(self.formation)
        stale = [name for name in kept if name in before and name.process_type in self.changed]
        stale = [name for name in stale if name in engine.dynos]  # the last to end may have ended everything
        runs = {name: engine.dynos[name].run + 1 for name in stale}
        supervisor.post(RestartRequested(tuple(stale)))
        return runs
