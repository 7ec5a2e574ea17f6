"""The verbs by which a server has another plan made true: ``apply``, ``switch``, ``abandon``."""

from collections.abc import Callable

from procman.control.connection import Connection
from procman.control.protocol import Message, refusal
from procman.core.dyno import State
from procman.core.events import FormationChanged, RestartRequested
from procman.core.formation import wanted_dynos
from procman.core.model import DynoName
from procman.core.plan import Plan
from procman.core.rollout import Phase, Rollout
from procman.errors import ProcmanError
from procman.supervisor.proof import Proof, rollout_of
from procman.supervisor.rollout_clients import RolloutClients
from procman.supervisor.served_app import ServedApp, formation_of
from procman.supervisor.supervisor import Supervisor


class Rollouts:
    """Makes plans true, one after the other. ``settled``: the generation that has proved itself and that the router
    sends to, if any has; ``on_settled`` hears of another.
    """

    def __init__(
        self,
        supervisor: Supervisor,
        app: ServedApp,
        settled: int | None,
        on_settled: Callable[[int], None] = lambda generation: None,
    ) -> None:
        self.settled = settled
        self._supervisor = supervisor
        self._app = app
        self._on_settled = on_settled
        self._proof = Proof(supervisor, app)
        self._rollout: Rollout | None = None
        self._clients = RolloutClients()
        self._seen = -1  # events of the supervisor
        supervisor.loop.on_deadline(self._deadline, lambda now: self.turn())
        supervisor.after_turn.append(self.turn)

    # -- verbs ----------------------------------------------------------------------------------------------

    def apply(self, request: Message, connection: Connection) -> None:
        """Read the plan again and make it true."""
        plan = self._app.read()
        later = self._clients.next
        newest = later.generation if later else self._app.newest.generation
        if plan.generation < newest:
            raise ProcmanError(f"cannot apply generation {plan.generation}: {newest} is newer")
        if later:
            self._clients.queue(plan, connection)
        elif plan.generation == newest:
            self._apply_again(plan, connection)
        elif self._rollout and not self._rollout.is_over:
            self._perform(self._rollout.abandon(f"generation {plan.generation} was applied"))
            self._clients.queue(plan, connection)
        else:
            self._begin(plan, [connection])
        self.turn()

    def switch(self, request: Message, connection: Connection) -> None:
        """The router sends to this generation now: the older ones end."""
        generation = generation_in(request)
        formation = self._supervisor.engine.formations.get(generation)
        ours = self._rollout is not None and self._rollout.generation == generation
        if ours and self._rollout and self._rollout.phase is not Phase.READY:
            raise ProcmanError(f"cannot switch to generation {generation}: it is not ready")
        if formation is None:
            raise ProcmanError(f"cannot switch to generation {generation}: there is none")
        if ours:
            self._rollout = None
        self._settle(generation)
        self._supervisor.post(FormationChanged(formation, generation, succeeds=True))
        connection.finish({"ok": True})

    def abandon(self, request: Message, connection: Connection) -> None:
        """End a generation and keep the older ones."""
        generation = generation_in(request)
        engine = self._supervisor.engine
        if generation == self.settled and generation in engine.formations:
            raise ProcmanError(f"cannot abandon generation {generation}: it is in use")
        if self._clients.next and self._clients.next.generation == generation:
            self._clients.refuse_next(f"generation {generation} was abandoned")
        elif self._rollout and self._rollout.generation == generation:
            self._perform(self._rollout.abandon("it was abandoned"))
        elif generation in engine.formations:
            self._supervisor.post(FormationChanged({}, generation))
        self._clients.wait(connection, lambda: None if self._names(generation) else {"ok": True})

    def resume(self, plan: Plan, ready: int | None) -> None:
        """Go on where a killed supervisor was. ``plan``: the server's; ``ready``: what was ready and not in use yet."""
        formations = self._supervisor.engine.formations
        older = {number: formation_of(self._app.plans[number]) for number in formations if number < plan.generation}
        if plan.generation not in formations:
            self._begin(plan, [])
        elif plan.generation == self.settled:
            self._supervisor.post(FormationChanged(formations[plan.generation], plan.generation, succeeds=True))
        elif older and ready == plan.generation:
            self._rollout = rollout_of(plan, older)
            self._rollout.phase = Phase.READY
        elif older:
            self._judge(plan, older, [])

    def hindrance(self) -> str:
        """What is going on that another program could not go on with."""
        if self._rollout and not self._rollout.is_over:
            return f"generation {self._rollout.generation} is being rolled out"
        return ""

    def ready(self) -> int | None:
        """The generation that is ready and not in use yet."""
        return self._rollout.generation if self._rollout and self._rollout.phase is Phase.READY else None

    # -- what goes on ---------------------------------------------------------------------------------------

    def turn(self) -> None:
        """Look at the dynos again, and answer whoever waits. Called after every turn of the loop."""
        rollout, engine = self._rollout, self._supervisor.engine
        if engine.closing:
            self._clients.refuse_next("the app was shut down")
            self._clients.end(refusal("the app was shut down meanwhile"))
            return
        if (rollout is None or rollout.is_over) and self._seen == self._supervisor.events:
            return
        while rollout and rollout is self._rollout and not rollout.is_over:
            passed, sick = self._proof.look_at(rollout)
            wishes = rollout.step(engine.dynos, self._supervisor.now(), passed, sick)
            self._perform(wishes)
            self._clients.tell(rollout.healthy)
            if rollout.is_over:
                self._conclude(rollout)
            elif not wishes:
                break
        self._clients.look_again()
        self._app.forget_others(engine.formations, engine.dynos)
        self._seen = self._supervisor.events

    def _deadline(self) -> float:
        return self._rollout.deadline() if self._rollout else float("inf")

    def _begin(self, plan: Plan, connections: list[Connection]) -> None:
        """A generation that has not been there yet."""
        engine = self._supervisor.engine
        self._app.admit(plan)
        if plan.rollout == "restart":
            self._rollout = None
            self._settle(plan.generation)
            self._supervisor.post(FormationChanged(formation_of(plan), plan.generation, succeeds=True))
            names = wanted_dynos(formation_of(plan), plan.generation)
            for connection in connections:
                self._clients.wait(connection, lambda: self._started(plan.generation, dict.fromkeys(names, 1), []))
        else:
            self._judge(plan, {number: dict(old) for number, old in engine.formations.items()}, connections)

    def _judge(self, plan: Plan, older: dict[int, dict[str, int]], connections: list[Connection]) -> None:
        """It has to prove itself beside the older ones."""
        self._app.trial = plan.generation
        self._supervisor.engine.reprofile()
        self._proof.begin(plan.generation)
        self._rollout = rollout_of(plan, older)
        self._clients.join(*connections)
        self._perform(self._rollout.begin())

    def _apply_again(self, plan: Plan, connection: Connection) -> None:
        """The newest generation once more: its quantities, sizes and policies, or a wait for it."""
        rollout = self._rollout
        if rollout and rollout.generation == plan.generation and not rollout.is_over:
            self._clients.join(connection)
            if plan != self._app.newest:
                self._app.admit(plan)
                self._perform(rollout.reform(formation_of(plan)))
        elif plan.generation not in self._supervisor.engine.formations:
            self._begin(plan, [connection])  # it failed, or was abandoned
        elif self._is_first(plan) and rollout is None and plan.rollout == "preboot":
            self._app.admit(plan)
            self._judge(plan, {}, [connection])
        else:
            self._change(plan, connection)

    def _change(self, plan: Plan, connection: Connection) -> None:
        """In place: only what is another now is touched."""
        generation, engine, before = plan.generation, self._supervisor.engine, self._app.newest
        self._app.admit(plan)
        engine.reprofile()
        present = [name for name in self._names(generation) if engine.dynos[name].wanted]
        whole = (before.env, before.directory, before.mount) != (plan.env, plan.directory, plan.mount)
        stale = tuple(
            name
            for name in present
            if name.process_type in plan.types and (whole or is_another(before, plan, name.process_type))
        )
        self._supervisor.post(FormationChanged(formation_of(plan), generation))
        runs = {name: engine.dynos[name].run + 1 for name in stale if engine.has(name)}
        self._supervisor.post(RestartRequested(tuple(runs)))
        names = wanted_dynos(formation_of(plan), generation)
        started = {name: engine.dynos[name].run for name in names if name not in present and name in engine.dynos}
        gone = [name for name in present if not engine.has(name)]
        if self._is_first(plan) and self._rollout is None:
            self._settle(generation)
        self._clients.wait(connection, lambda: self._started(generation, {**runs, **started}, gone))

    def _conclude(self, rollout: Rollout) -> None:
        """It is ready, or has failed and is gone."""
        self._app.trial = None
        self._supervisor.engine.reprofile()
        if rollout.phase is Phase.READY:
            self._clients.answer({"ok": True, "generation": rollout.generation, "ready": True})
        else:
            self._clients.answer(self._proof.failure(rollout))
            self._rollout = None
            self._app.withdraw(rollout.generation)
        self._proof.begin(None)
        if plan := self._clients.next:
            self._begin(plan, self._clients.take_next())

    def _started(self, generation: int, runs: dict[DynoName, int], gone: list[DynoName]) -> Message | None:
        """Whether those that are to come have a process, or have had one, and those that are to go have gone."""
        dynos = self._supervisor.engine.dynos
        for name, run in runs.items():
            dyno = dynos.get(name)
            if dyno and dyno.wanted and (dyno.run < run or (dyno.run == run and dyno.state is State.WAITING)):
                return None
        if any(name in dynos and not dynos[name].wanted for name in gone):
            return None
        ready = {"ready": True} if self.ready() == generation else {}
        return {"ok": True, "generation": generation, **ready}

    # -- small things ---------------------------------------------------------------------------------------

    def _is_first(self, plan: Plan) -> bool:
        """It is all that runs, and has not proved itself."""
        return self.settled != plan.generation and len(self._supervisor.engine.formations) == 1

    def _names(self, generation: int) -> list[DynoName]:
        dynos = self._supervisor.engine.dynos.items()
        return [name for name, dyno in dynos if name.generation == generation and not dyno.profile.one_off]

    def _perform(self, wishes: list[FormationChanged]) -> None:
        for wish in wishes:
            self._supervisor.post(wish)

    def _settle(self, generation: int) -> None:
        if generation != self.settled:
            self.settled = generation
            self._on_settled(generation)

def is_another(before: Plan, after: Plan, process_type: str) -> bool:
    """Whether the dynos of a type are not what they were: another command, size or check."""
    old, new = before.types.get(process_type), after.types[process_type]
    return old is None or (old.command, old.limits, old.checks) != (new.command, new.limits, new.checks)


def generation_in(request: Message) -> int:
    """The one that is meant. Raises ProcmanError."""
    found = request.get("generation")
    if type(found) is not int:
        raise ProcmanError(f"cannot {request['verb']}: 'generation' must be a number")
    return found
