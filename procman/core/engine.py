"""The formation's engine: events in, effects out."""

from procman.core.dyno import AT_REST, RUNNING, Dyno, State
from procman.core.effects import Effect, Quit, Say
from procman.core.events import (
    Adopted,
    Command,
    DynoEvent,
    Event,
    Exited,
    FormationChanged,
    Hurried,
    NeedsMet,
    OneOffRequested,
    Postponed,
    Replaced,
    RestartRequested,
    ShutdownRequested,
    SpawnFailed,
    StartRequested,
    StopRequested,
    Superseded,
    Tick,
    Unwanted,
    Wanted,
)
from procman.core.formation import list_words, reconcile
from procman.core.model import DynoName, Profile
from procman.core.order import is_followed, is_needed, lacking, longest
from procman.core.restart import NEVER
from procman.core.table import handle
from procman.typed import Callable, Collection, Mapping

REMIND_S = 2.0  # whoever waits for a stop hears again after this long whom it is waiting for


class Engine:
    """Decides for one app. ``profile`` tells what a dyno is held to.

    ``exit_with``: a process type, "any" or "none" — whose exit ends everything with its status; None leaves it
    to the policy (``stops_all``). With "none" the engine goes on even when nothing is left to run.
    """

    def __init__(self, profile: Callable[[DynoName], Profile], exit_with: str | None = None) -> None:
        self.profile = profile
        self.exit_with = exit_with
        self.formations: dict[int, dict[str, int]] = {}  # by generation
        self.held: set[DynoName] = set()  # of the formation, but stopped by hand
        self.cleared: set[str] = set()  # process types that were scaled to none
        self.dynos: dict[DynoName, Dyno] = {}
        self.closing: ShutdownRequested | None = None
        self.failures: dict[DynoName, tuple[int, str]] = {}  # by dyno, the earliest to fail first
        self.quit: Quit | None = None
        self.remind_at = NEVER
        self.ordered = False  # some dyno needs another, or has
        self.last_runs: dict[DynoName, int] = {}  # of those forgotten: late news must fit no later life

    def handle(self, event: Event, now: float) -> list[Effect]:
        """Apply one event at ``now`` (monotonic seconds); the effects are in the order to perform them."""
        effects: list[Effect] = []
        if self.quit:
            return []  # nothing comes after that
        if isinstance(event, FormationChanged):
            effects = self._change(event, now)
        elif isinstance(event, (Adopted, OneOffRequested)):
            effects = self._admit(event, now)
        elif isinstance(event, (RestartRequested, StopRequested, StartRequested)):
            effects = self._command(event, now)
        elif isinstance(event, ShutdownRequested):
            effects = self._shut_down(event, now)
        elif isinstance(event, Tick):
            for dyno in list(self.dynos.values()):
                effects += self._apply(dyno, event, now)
            effects += self._remind(now)
        else:
            dyno_or_none = self.dynos.get(event.dyno)
            if dyno_or_none is None or dyno_or_none.run != event.run:
                return []  # late news of an earlier run
            effects = self._apply(dyno_or_none, event, now)
            if isinstance(event, (Exited, SpawnFailed)):
                effects += self._judge(dyno_or_none, now)
        if self.ordered:
            effects += self._go_in_order(now)
        return effects + self._finish()

    def deadline(self) -> float:
        """When a Tick is next due; infinity when only the outside world can change anything."""
        return min([self.remind_at, *(dyno.deadline() for dyno in self.dynos.values())])

    def snapshot(self) -> dict[str, tuple[str, int, int | None]]:
        """State, run and pid of every dyno by its full name, for tests and for whoever asks."""
        return {dyno.name.full(): (dyno.state.value, dyno.run, dyno.pid) for dyno in self.dynos.values()}

    def reprofile(self) -> None:
        """``profile`` answers otherwise now: hold every dyno to that, from its next deadline on."""
        for dyno in self.dynos.values():
            dyno.profile = self.profile(dyno.name)
            self.ordered = self.ordered or bool(dyno.profile.needs)

    @property
    def generation(self) -> int:
        """The newest one that is wished for."""
        return max(self.formations, default=0)

    @property
    def formation(self) -> dict[str, int]:
        """Quantities by process type in the newest generation."""
        return self.formations.get(self.generation, {})

    def has(self, name: DynoName) -> bool:
        """Whether the dyno is of the formation of its generation: neither a one-off nor being scaled away."""
        return 0 < name.number <= self.formations.get(name.generation, {}).get(name.process_type, 0)

    def _apply(self, dyno: Dyno, event: DynoEvent, now: float) -> list[Effect]:
        """By the table, which has to know what the dyno lacks."""
        if dyno.profile.needs:
            dyno.lacks = self.lacks(dyno)
        return handle(dyno, event, now)

    def lacks(self, dyno: Dyno) -> str:
        """The types that have to be up before it starts, and are not, in words."""
        return list_words(lacking(dyno, self.dynos, self.formations.get(dyno.name.generation, {})))

    def _go_in_order(self, now: float) -> list[Effect]:
        """Start what has all that it needs by now; in the end, stop what nothing needs any more."""
        effects: list[Effect] = []
        dynos = list(self.dynos.values())
        for dyno in dynos if not self.closing else ():
            if dyno.state is State.QUEUED and not self.lacks(dyno):
                effects += self._apply(dyno, NeedsMet(dyno.name), now)
        for dyno in dynos:
            if dyno.state in RUNNING and not dyno.wanted and not self._waits(dyno):
                effects += self._apply(dyno, self._farewell(dyno.name, self._heir(dyno.name)), now)
        return effects

    def _waits(self, dyno: Dyno, going: Collection[DynoName] = ()) -> bool:
        """Whether a dyno that is to end does so after others; ``going``: that are to end as well."""
        if not self.ordered or dyno.state not in RUNNING:
            return False
        dynos = self.dynos.values()
        return is_needed(dyno, dynos) if self.closing else is_followed(dyno, dynos, going)

    def _heir(self, name: DynoName) -> FormationChanged | None:
        """Whose dynos took the place of one that had to stay for a while."""
        if self.closing or name.generation in self.formations or name.generation > self.generation:
            return None
        return FormationChanged(self.formation, self.generation)

    def _command(self, event: Command, now: float) -> list[Effect]:
        """Somebody's order about single dynos. What is stopped by hand stays so until it is started by hand."""
        effects: list[Effect] = []
        for dyno in [self.dynos[name] for name in event.dynos if name in self.dynos and not self.closing]:
            if dyno.profile.one_off or not self.has(dyno.name):
                if dyno.profile.one_off and isinstance(event, StopRequested):
                    effects += self._apply(dyno, Unwanted(dyno.name), now)
                continue
            if isinstance(event, StopRequested):
                self.held.add(dyno.name)
                effects += self._apply(dyno, Unwanted(dyno.name), now)
                continue
            self.held.discard(dyno.name)
            if isinstance(event, RestartRequested) or dyno.state not in RUNNING:
                effects += self._apply(dyno, Replaced(dyno.name), now)
        return effects

    def _admit(self, event: Adopted | OneOffRequested, now: float) -> list[Effect]:
        """A dyno that no formation asks for, or not yet."""
        name = event.dyno
        if self.closing or name in self.dynos:
            return []
        dyno = self._make(name, now)
        return self._apply(dyno, event if isinstance(event, Adopted) else Wanted(name), now)

    def _change(self, event: FormationChanged, now: float) -> list[Effect]:
        """What a generation shall be from now on, after what older ones shall be no more."""
        if self.closing:
            return []
        had = {kind for kind, quantity in self.formations.get(event.generation, {}).items() if quantity}
        # A type that the formation does not know any more can never be wanted again.
        self.cleared = {kind for kind in self.cleared | had if event.formation.get(kind) == 0}
        effects: list[Effect] = []
        older = sorted(each for each in self.formations if each < event.generation)
        for generation in older if event.succeeds else ():
            effects += self._reconcile(generation, {}, now, heir=event)
        return effects + self._reconcile(event.generation, event.formation, now)

    def _reconcile(
        self, generation: int, formation: Mapping[str, int], now: float, heir: FormationChanged | None = None
    ) -> list[Effect]:
        self.formations[generation] = dict(formation)
        self.held = {name for name in self.held if self.has(name)}
        present = {
            name
            for name, dyno in self.dynos.items()
            if name.generation == generation and not dyno.profile.one_off and (dyno.wanted or name in self.held)
        }
        if not formation and generation:
            del self.formations[generation]
            self.last_runs = {name: run for name, run in self.last_runs.items() if name.generation != generation}
        starts, stops = reconcile(formation, present, generation)
        effects: list[Effect] = []
        waiting = [name for name in stops if self._waits(self.dynos[name], stops)]
        for name in stops:
            event = Postponed(name) if name in waiting else self._farewell(name, heir)
            effects += self._apply(self.dynos[name], event, now)
        for name in starts:
            effects += self._apply(self.dynos.get(name) or self._make(name, now), Wanted(name), now)
        return effects

    def _farewell(self, name: DynoName, heir: FormationChanged | None) -> DynoEvent:
        """Word for a dyno to go, and whether one of the heir's takes its place."""
        if heir is None or name.number > heir.formation.get(name.process_type, 0):
            return Unwanted(name)
        successor = self.dynos.get(name._replace(generation=heir.generation))
        return Superseded(name, successor is not None and successor.wanted)

    def _make(self, name: DynoName, now: float) -> Dyno:
        dyno = self.dynos[name] = Dyno(name, self.profile(name), now, self.last_runs.get(name, 0))
        self.ordered = self.ordered or bool(dyno.profile.needs)
        return dyno

    def _judge(self, dyno: Dyno, now: float) -> list[Effect]:
        """An exit that nobody asked for may end everything, and may become the manager's own status."""
        if dyno.asked or not dyno.wanted or dyno.last_exit is None or self.closing or dyno.profile.one_off:
            return []
        verdict = dyno.last_exit.code() or int(dyno.sick), f"{dyno.name} {dyno.last_exit.words()}"
        if verdict[0]:
            self.failures[dyno.name] = verdict
        else:
            self.failures.pop(dyno.name, None)  # a later try has made good
        ends_all = dyno.profile.policy.stops_all if self.exit_with is None else self.exit_with in (
            "any", dyno.name.process_type,
        )
        return self._shut_down(ShutdownRequested(*verdict), now) if ends_all else []

    def _shut_down(self, event: ShutdownRequested, now: float) -> list[Effect]:
        again, self.closing = self.closing is not None, self.closing or event
        running = [dyno for dyno in self.dynos.values() if dyno.state not in AT_REST]
        effects: list[Effect] = []
        if running:
            self.remind_at = NEVER if again else now + REMIND_S
        stopping = [dyno for dyno in running if dyno.state is not State.KILLING]
        if stopping and not again:
            names = list_words(dyno.name for dyno in stopping)
            grace = longest(stopping, lambda dyno: dyno.profile.grace)
            effects.append(Say(None, f"{event.why}; stopping {names}, up to {grace:g} s"))
        for dyno in list(self.dynos.values()):
            order: DynoEvent = Hurried(dyno.name) if again else self._last_order(dyno)
            effects += self._apply(dyno, order, now)
        return effects

    def _last_order(self, dyno: Dyno) -> DynoEvent:
        """To end, at once or after those that need it."""
        return Postponed(dyno.name) if self._waits(dyno) else Unwanted(dyno.name)

    def _remind(self, now: float) -> list[Effect]:
        if now < self.remind_at:
            return []
        self.remind_at = NEVER
        running = [dyno for dyno in self.dynos.values() if dyno.state not in AT_REST]
        left = longest(running, lambda dyno: dyno.profile.grace if dyno.state in RUNNING else dyno.deadline() - now)
        names = list_words(dyno.name for dyno in running)
        return [Say(None, f"Still waiting for {names}, up to {max(left, 0):.0f} s; Ctrl-C kills at once")]

    def _finish(self) -> list[Effect]:
        """Forget dynos that are down and not of a formation; quit when nothing runs and nothing will.

        What was stopped or scaled to none by hand may be wanted again: then it is the same hand that ends it all.
        """
        ended = [
            name
            for name, dyno in self.dynos.items()
            if dyno.state in AT_REST and (dyno.profile.one_off or not dyno.wanted)
        ]
        for name in ended if self.closing else [name for name in ended if name not in self.held]:
            dyno = self.dynos.pop(name)
            if not dyno.profile.one_off and name.generation in self.formations:  # others never come again
                self.last_runs[name] = dyno.run
            self.failures.pop(name, None)
        if not all(dyno.is_final() for dyno in self.dynos.values()):
            return []
        if self.closing:
            self.quit = Quit(self.closing.status, self.closing.why)
        elif self.dynos and not self.held and not self.cleared and self.exit_with != "none":
            self.quit = Quit(*next(iter(self.failures.values()), (0, "every dyno has completed")))
        return [self.quit] if self.quit else []
