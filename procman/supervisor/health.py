"""The HTTP check that new web dynos have to pass at a rollout before requests are sent to them."""

from collections.abc import Mapping

from procman.core.model import DynoName
from procman.core.plan import Health
from procman.supervisor.loop import FOREVER, Loop
from procman.supervisor.probes import ADDRESS, Get, HttpProbe

RETRY_S = 0.5


class Check:
    """One dyno's. ``until``: when it has to be passed. ``try_at``: when to try next; ``probe``: this try."""

    def __init__(self, get: Get, within: float, now: float) -> None:
        self.get = get
        self.until = now + within
        self.try_at = now
        self.probe: HttpProbe | None = None
        self.found = f"GET {get.path} was not answered"


class HealthChecks:
    """Asks each added dyno until it answers well, or has had its time. ``passed`` and ``sick`` tell who has."""

    def __init__(self, loop: Loop) -> None:
        self.passed: set[DynoName] = set()
        self.sick: dict[DynoName, str] = {}
        self._loop = loop
        self._checks: dict[DynoName, Check] = {}
        loop.on_deadline(self._deadline, self._look)

    def add(self, dyno: DynoName, port: int, health: Health, env: Mapping[str, str]) -> None:
        """Begin, unless that is done already. The app is asked under its own name, if it has one."""
        if dyno in self._checks or dyno in self.passed or dyno in self.sick:
            return
        host = env.get("HEROKU_APP_DEFAULT_DOMAIN_NAME") or ADDRESS
        get = Get(port, health.path, health.timeout, host, health.any_answer)
        self._checks[dyno] = Check(get, health.within, self._loop.now())

    def clear(self) -> None:
        """Nobody wants to know any more."""
        for check in self._checks.values():
            if check.probe:
                check.probe.cancel()
        self._checks.clear()
        self.passed.clear()
        self.sick.clear()

    def _deadline(self) -> float:
        checks = self._checks.values()
        return min((one.probe.give_up_at if one.probe else one.try_at for one in checks), default=FOREVER)

    def _look(self, now: float) -> None:
        for dyno, check in list(self._checks.items()):
            if check.probe is None:
                if check.try_at <= now:
                    self._ask(dyno, check)
            elif check.probe.give_up_at <= now:
                check.probe.cancel()
                self._hear(dyno, check, check.probe.late())

    def _ask(self, dyno: DynoName, check: Check) -> None:
        check.probe = HttpProbe(self._loop, check.get, lambda why: self._hear(dyno, check, why))
        check.probe.ask()

    def _hear(self, dyno: DynoName, check: Check, why: str) -> None:
        check.probe = None
        if not why:
            del self._checks[dyno]
            self.passed.add(dyno)
            return
        check.found, check.try_at = why, self._loop.now() + RETRY_S
        if check.try_at >= check.until:
            del self._checks[dyno]
            self.sick[dyno] = why
