"""A rollout: a new generation comes up beside the old, or is given up, and the old one has lost nothing.

Types that may not overlap wait until all others are healthy; then the old dynos of these types end, and only when they
have does a new one of them start. What is decided comes out as wishes (``FormationChanged``); whoever performs them
hands in the dynos as they stand, after every change and at ``deadline()``. Times are monotonic seconds.
"""

from collections.abc import Collection, Iterable, Mapping
from enum import Enum
from typing import NamedTuple

from procman.core.dyno import AT_REST, RUNNING, Dyno, State
from procman.core.events import FormationChanged
from procman.core.formation import wanted_dynos
from procman.core.health import spelt
from procman.core.model import DynoName
from procman.core.restart import NEVER


class Phase(Enum):
    """How far a rollout is."""

    BOOTING = "booting"  # all types that may overlap
    YIELDING = "yielding"  # the old dynos of the others end
    WATCHED = "watched"  # the new ones of the others start, and are looked at for a while
    READY = "ready"  # all are healthy; the old generation still runs
    FAILING = "failing"  # the new generation ends
    FAILED = "failed"  # nothing of it is left, and the old one is whole again


class Failure(NamedTuple):
    """Which dyno did not come up, and why, in words; no dyno: somebody gave the rollout up."""

    dyno: DynoName | None
    why: str


class Trial(NamedTuple):
    """What the new dynos have to show. ``checked``: the types that must also pass a check of their health.

    ``steady_s``: how long a dyno without a port has to be up. ``watch_s``: how long those that waited are looked at.
    """

    steady_s: float = 5.0
    watch_s: float = 10.0
    checked: frozenset[str] = frozenset()


class Rollout:
    """Brings up one generation. ``older``: the formations that run, by generation. ``apart``: types of which old and
    new dynos may never run side by side.
    """

    def __init__(
        self,
        generation: int,
        formation: Mapping[str, int],
        older: Mapping[int, Mapping[str, int]],
        apart: Collection[str] = (),
        trial: Trial | None = None,
    ) -> None:
        self.generation = generation
        self.formation = dict(formation)
        self.phase = Phase.BOOTING
        self.failure: Failure | None = None
        self.healthy: list[DynoName] = []  # in the order in which they became so
        self._trial = trial or Trial()
        self._older = {number: dict(quantities) for number, quantities in older.items()}
        self._waiting = {kind for kind in apart if any(old.get(kind) for old in self._older.values())}
        self._look_at = NEVER

    @property
    def is_over(self) -> bool:
        """Nothing more is decided, unless it is abandoned."""
        return self.phase in (Phase.READY, Phase.FAILED)

    def deadline(self) -> float:
        """When time alone may bring it further."""
        return self._look_at

    def begin(self) -> list[FormationChanged]:
        """The first wish."""
        return [FormationChanged(self._present(), self.generation)]

    def reform(self, formation: Mapping[str, int]) -> list[FormationChanged]:
        """Other quantities are wanted of the generation that is coming up."""
        self.formation = dict(formation)
        if self.phase in (Phase.FAILING, Phase.FAILED):
            return []
        self.phase = Phase.BOOTING if self.phase is Phase.READY else self.phase
        return self.begin()

    def abandon(self, why: str) -> list[FormationChanged]:
        """Give it up, also one that is ready; what had to yield to it comes back when it is gone."""
        if self.phase in (Phase.FAILING, Phase.FAILED):
            return []
        return self._fail(Failure(None, why))

    def step(
        self, dynos: Mapping[DynoName, Dyno], now: float, passed: Collection[DynoName], sick: Mapping[DynoName, str]
    ) -> list[FormationChanged]:
        """Look at the dynos, and decide. ``passed``, ``sick``: what their checks have found, with the reason."""
        self._look_at = NEVER
        if self.is_over:
            return []
        if self.phase is Phase.FAILING:
            return self._restore(dynos)
        names = wanted_dynos(self._present(), self.generation)
        for name in names:
            if why := sick.get(name) or trouble(dynos.get(name)):
                return self._fail(Failure(name, why))
        for name in names:
            if name not in self.healthy and self._is_healthy(dynos[name], now, passed):
                self.healthy.append(name)
        if self.phase is Phase.YIELDING:
            return self._take_over(dynos)
        if any(name not in self.healthy for name in names):
            return []
        return self._proceed([dynos[name] for name in names], now)

    def _present(self) -> dict[str, int]:
        """The quantities that are wanted of the new generation in this phase."""
        if self.phase is Phase.WATCHED or not self._waiting:
            return self.formation
        return {kind: quantity for kind, quantity in self.formation.items() if kind not in self._waiting}

    def _is_healthy(self, dyno: Dyno, now: float, passed: Collection[DynoName]) -> bool:
        if dyno.state is not State.UP:
            return False
        if dyno.name.process_type in self._trial.checked:
            return dyno.name in passed
        if dyno.profile.boot_timeout is not None:
            return True
        return self._has_come(dyno.started_at + self._trial.steady_s, now)

    def _has_come(self, then: float, now: float) -> bool:
        if now < then:
            self._look_at = min(self._look_at, then)
        return now >= then

    def _proceed(self, dynos: Iterable[Dyno], now: float) -> list[FormationChanged]:
        """All that was asked for is healthy: what comes next."""
        if self.phase is Phase.BOOTING and self._waiting:
            self.phase = Phase.YIELDING
            return [
                FormationChanged({**old, **dict.fromkeys(self._waiting & old.keys(), 0)}, number)
                for number, old in self._older.items()
            ]
        watched = [dyno.started_at for dyno in dynos if dyno.name.process_type in self._waiting]
        if self._has_come(max(watched, default=-NEVER) + self._trial.watch_s, now):
            self.phase = Phase.READY
        return []

    def _take_over(self, dynos: Mapping[DynoName, Dyno]) -> list[FormationChanged]:
        """Once nothing of the old is left, the new ones of those types may start."""
        if any(name.process_type in self._waiting and name.generation in self._older for name in dynos):
            return []
        self.phase = Phase.WATCHED
        return self.begin()

    def _fail(self, failure: Failure) -> list[FormationChanged]:
        self.phase, self.failure = Phase.FAILING, failure
        return [FormationChanged({}, self.generation)]

    def _restore(self, dynos: Mapping[DynoName, Dyno]) -> list[FormationChanged]:
        """When nothing of the new generation is left, the old one is as it was."""
        if any(name.generation == self.generation and not dyno.profile.one_off for name, dyno in dynos.items()):
            return []
        self.phase = Phase.FAILED
        return [FormationChanged(old, number) for number, old in self._older.items()] if self._waiting else []


def trouble(dyno: Dyno | None) -> str:
    """Why a dyno that is on trial has failed, in words; nothing while it has not."""
    if dyno is None or (dyno.state is State.DOWN and not dyno.wanted):
        return "it was stopped"
    if dyno.state in RUNNING or dyno.state is State.WAITING or dyno.asked:
        return ""
    if dyno.overdue and dyno.profile.check:
        what = dyno.finding or dyno.profile.check
        return f"it did not pass its health check within {spelt(dyno.profile.boot_timeout or 0.0)} (R10): {what}"
    if dyno.overdue:
        return f"it did not bind $PORT within {spelt(dyno.profile.boot_timeout or 0.0)} (R10)"
    if dyno.last_exit is not None and (dyno.state in AT_REST or dyno.pid is None):
        return dyno.last_exit.words()
    return ""
