"""How a generation proves itself beside the older ones: what its health checks say, and what it said last."""

from procman.control.protocol import Message, refusal
from procman.core.dyno import State
from procman.core.model import DynoName
from procman.core.plan import Plan
from procman.core.rollout import Rollout, Trial
from procman.supervisor.health import HealthChecks
from procman.supervisor.last_words import LastWords
from procman.supervisor.served_app import ServedApp, formation_of
from procman.supervisor.supervisor import Supervisor


class Proof:
    """Of one generation at a time."""

    def __init__(self, supervisor: Supervisor, app: ServedApp) -> None:
        self._supervisor = supervisor
        self._app = app
        self._health = HealthChecks(supervisor.loop)
        self._words = LastWords(supervisor)

    def begin(self, generation: int | None) -> None:
        """This one has to prove itself from now on; None: none has."""
        self._health.clear()
        self._words.begin(generation)

    def look_at(self, rollout: Rollout) -> tuple[set[DynoName], dict[DynoName, str]]:
        """Ask the new dynos that listen by now; those that have answered well so far, and why others have not."""
        plan, engine = self._app.plans[rollout.generation], self._supervisor.engine
        for name, dyno in engine.dynos.items():
            if name.generation != rollout.generation or dyno.profile.one_off:
                continue
            kind, port = plan.types.get(name.process_type), self._app.ports.port_of(name)
            if kind and kind.health and port and dyno.state is State.UP:
                self._health.add(name, port, kind.health, plan.env)
        return self._health.passed, self._health.sick

    def failure(self, rollout: Rollout) -> Message:
        """What whoever waits is told of a rollout that failed."""
        failure = rollout.failure
        assert failure is not None
        if failure.dyno is None:
            words = refusal(f"cannot apply generation {rollout.generation}: {failure.why}")
            return {**words, "dyno": None, "lines": []}
        words = refusal(f"{failure.dyno} did not come up: {failure.why}")
        return {**words, "dyno": str(failure.dyno), "lines": self._words.of(failure.dyno)}


def rollout_of(plan: Plan, older: dict[int, dict[str, int]]) -> Rollout:
    """The rollout of a plan beside what runs."""
    apart = [name for name, kind in plan.types.items() if not kind.overlap]
    checked = frozenset(name for name, kind in plan.types.items() if kind.health)
    trial = Trial(plan.steady_s, plan.watch_s, checked)
    return Rollout(plan.generation, formation_of(plan), older, apart, trial)
