"""Whether what somebody asked for has come true, cannot any more, or has not in the time that they would wait."""

from procman.control.protocol import Message, refusal
from procman.control.requests import patience
from procman.core.dyno import AT_REST, RUNNING, Dyno, State
from procman.core.formation import list_words
from procman.core.model import DynoName
from procman.formats.duration import written
from procman.supervisor.loop import FOREVER
from procman.supervisor.supervisor import Supervisor
from procman.typed import Mapping, NamedTuple, Sequence

STEADY_S = 1.0  # whoever waits for a dyno without a port to bind is told so much later (supervisord: startsecs)


class Wish(NamedTuple):
    """What a client waits for: that dynos are started or, with ``up``, that they are up. ``limit``: seconds, if any."""

    up: bool = False
    limit: float | None = None


def wish_of(request: Message) -> Wish:
    """As the request says. Raises ProcmanError."""
    limit = patience(request)
    return Wish(bool(request.get("wait")) or limit is not None, limit)


class Outcomes:
    """Looks at one supervisor's dynos. ``look_at``: when time alone may change an answer; whoever asks resets it."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self.look_at = FOREVER

    def formed(
        self, gone: Sequence[DynoName], targets: Mapping[DynoName, int], wish: Wish, late: bool, **facts: object
    ) -> Message | None:
        """Whether the formation is as it was wished for."""
        engine = self._supervisor.engine
        left = [name for name in gone if name in engine.dynos]
        if again := [name for name in left if engine.has(name)]:
            return refusal(f"{again[0]} was started again meanwhile")
        answer = self.started(targets, wish, late)
        if left and (answer is None or answer["ok"]):
            return refusal(f"{left[0]} has not ended after {self._limit(wish)}; it goes on") if late else None
        return answer and {**answer, "formation": engine.formation, **facts}

    def started(
        self, targets: Mapping[DynoName, int], wish: Wish, late: bool, **facts: object
    ) -> Message | None:
        """Whether every dyno has come to its run, or a later one that was asked for: spawned, or up."""
        engine = self._supervisor.engine
        if engine.closing:
            return refusal(f"the formation was shut down meanwhile: {engine.closing.why}")
        pending: list[Dyno] = []
        for name, run in targets.items():
            dyno = engine.dynos.get(name)
            if dyno is None or not dyno.wanted:
                return refusal(f"{name} was stopped meanwhile")
            if dyno.state is State.COMPLETE and dyno.run >= run:
                continue  # as good as up: it has done what it was for
            if dyno.state is State.QUEUED:
                if hopeless := self._hopeless(dyno):
                    return refusal(f"{name} waits for {hopeless}", f"procman explain {name}")
                pending.append(dyno)
                continue
            if dyno.state in AT_REST or (dyno.run > run and dyno.crashes):
                why = dyno.last_exit.words() if dyno.last_exit else "it is down"
                return refusal(f"{name} did not stay up: {why}", f"procman explain {name}")
            if dyno.run < run or dyno.state not in RUNNING or (wish.up and not self._is_steady(dyno)):
                pending.append(dyno)
        if not pending:
            return {"ok": True, "dynos": [str(name) for name in targets], **facts}
        if wish.up and wish.limit is None and (overdue := [dyno for dyno in pending if dyno.overdue]):
            seconds = overdue[0].profile.boot_timeout or 0.0
            why = "has not passed its health check" if overdue[0].profile.check else "has not bound its port"
            return not_up(overdue, f"{why} within {written(seconds)}", "longer: --wait-timeout 10m")
        return not_up(pending, f"is not up after {self._limit(wish)}") if late else None

    def _hopeless(self, dyno: Dyno) -> str:
        """What a dyno waits for and nobody is going to start."""
        dynos = self._supervisor.engine.dynos.values()
        others = [other for other in dynos if other.name.process_type in dyno.profile.needs]
        down = (other for other in others if other.state in (State.CRASHED, State.DOWN) and other.is_final())
        return next((f"{other.name}, which is {other.public()}" for other in down), "")

    def stopped(self, names: Sequence[DynoName]) -> Message | None:
        """Whether nothing of these dynos is left."""
        dynos = self._supervisor.engine.dynos
        if again := [name for name in names if name in dynos and dynos[name].wanted]:
            return refusal(f"{again[0]} was started again meanwhile")
        if any(name in dynos and dynos[name].state not in AT_REST for name in names):
            return None
        return {"ok": True, "dynos": [str(name) for name in names]}

    def _is_steady(self, dyno: Dyno) -> bool:
        """Up, and for a while where being up is all that can be seen from outside."""
        if dyno.state is not State.UP or dyno.profile.boot_timeout is not None:
            return dyno.state is State.UP
        steady_at = dyno.started_at + STEADY_S
        if self._supervisor.now() >= steady_at:
            return True
        self.look_at = min(self.look_at, steady_at)
        return False

    def _limit(self, wish: Wish) -> str:
        return written(wish.limit or 0.0)


def not_up(dynos: Sequence[Dyno], why: str, hint: str = "") -> Message:
    """The first one is not up, and perhaps others; nobody has given them up."""
    others = f", nor {list_words(dyno.name for dyno in dynos[1:])}" if len(dynos) > 1 else ""
    return refusal(f"{dynos[0].name} {why}{others}; it goes on", hint or f"procman explain {dynos[0].name}")


def next_run(dyno: Dyno) -> int:
    """The run of a dyno that is to run: the present one, or the one after its end."""
    return dyno.run + (dyno.state not in RUNNING)
