"""What can happen. An event about one life of a dyno carries its run number, so that late news can be told apart."""

from procman.core.model import DynoName, Exit
from procman.typed import Mapping, NamedTuple


class FormationChanged(NamedTuple):
    """The wish: how many dynos of each process type there shall be in a generation; without any, it is given up.

    ``succeeds``: it takes the place of every older generation, which ends now.
    """

    formation: Mapping[str, int]
    generation: int = 0
    succeeds: bool = False


class OneOffRequested(NamedTuple):
    """Somebody wants this dyno run once, beside the formation."""

    dyno: DynoName


class Adopted(NamedTuple):
    """A dyno of an earlier supervisor lives on. ``age``: seconds since its start. ``up``: it has bound its port."""

    dyno: DynoName
    run: int
    pid: int
    age: float
    up: bool


class Spawned(NamedTuple):
    """The process of a run exists."""

    dyno: DynoName
    run: int
    pid: int


class SpawnFailed(NamedTuple):
    """The process of a run could not be made; ``exit`` has the shell's status (126, 127) and the reason."""

    dyno: DynoName
    run: int
    exit: Exit


class Bound(NamedTuple):
    """A process of the dyno listens on its ``$PORT``."""

    dyno: DynoName
    run: int


class CheckPassed(NamedTuple):
    """The dyno was found healthy."""

    dyno: DynoName
    run: int


class CheckFailed(NamedTuple):
    """It was not, and why."""

    dyno: DynoName
    run: int
    why: str


class Exited(NamedTuple):
    """The root process of the run ended. Others of the dyno may still live."""

    dyno: DynoName
    run: int
    exit: Exit


class Emptied(NamedTuple):
    """The root process and everything it ever started is gone."""

    dyno: DynoName
    run: int


class RestartRequested(NamedTuple):
    """Somebody wants these dynos replaced; those at rest are started, whatever their cool-off."""

    dynos: tuple[DynoName, ...]


class StopRequested(NamedTuple):
    """Somebody wants these dynos down, and kept so while the formation has them."""

    dynos: tuple[DynoName, ...]


class StartRequested(NamedTuple):
    """Somebody wants these dynos up that were stopped or have ended."""

    dynos: tuple[DynoName, ...]


class ShutdownRequested(NamedTuple):
    """All shall end gracefully; ``status`` becomes the manager's own. A second one kills at once."""

    status: int
    why: str


class Tick(NamedTuple):
    """Time has passed: do what is due."""


class Wanted(NamedTuple):
    """The formation has this dyno. Made by the engine only."""

    dyno: DynoName


class Unwanted(NamedTuple):
    """The formation no longer has this dyno. Made by the engine only."""

    dyno: DynoName


class Postponed(NamedTuple):
    """It is to end, but not before those that need it. Made by the engine only."""

    dyno: DynoName


class NeedsMet(NamedTuple):
    """All that this dyno needs is up. Made by the engine only."""

    dyno: DynoName


class Superseded(NamedTuple):
    """A dyno of a newer generation takes its place. Made by the engine only. ``quietly``: that one runs already."""

    dyno: DynoName
    quietly: bool


class Replaced(NamedTuple):
    """This dyno shall have a new run. Made by the engine only."""

    dyno: DynoName


class Hurried(NamedTuple):
    """Whoever waits for this dyno's end waits no longer. Made by the engine only."""

    dyno: DynoName


RunEvent = Spawned | SpawnFailed | Bound | CheckPassed | CheckFailed | Exited | Emptied
DynoEvent = RunEvent | Adopted | Wanted | NeedsMet | Unwanted | Postponed | Superseded | Replaced | Hurried | Tick
Command = RestartRequested | StopRequested | StartRequested
Event = RunEvent | Adopted | FormationChanged | OneOffRequested | Command | ShutdownRequested | Tick
