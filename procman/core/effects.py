"""What the supervisor is told to do."""

from procman.core.model import DynoName
from procman.typed import NamedTuple


class Spawn(NamedTuple):
    """Start the dyno's command as run ``run``; answer with Spawned or SpawnFailed."""

    dyno: DynoName
    run: int


class Terminate(NamedTuple):
    """The signal (then SIGCONT) to every process of the dyno."""

    dyno: DynoName
    run: int
    signal: str = "SIGTERM"


class Kill(NamedTuple):
    """SIGKILL to every process of the dyno that is left; answer with Emptied when none is."""

    dyno: DynoName
    run: int


class Say(NamedTuple):
    """A system line in the log, about a dyno, or of the manager itself (None)."""

    dyno: DynoName | None
    text: str


class Quit(NamedTuple):
    """Nothing runs and nothing will: end with ``status``, saying ``why``."""

    status: int
    why: str


Effect = Spawn | Terminate | Kill | Say | Quit
