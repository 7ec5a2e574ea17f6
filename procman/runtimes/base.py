"""The seam between the platform and whatever runs dynos: this host's supervisors today, a cluster tomorrow."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

from procman.core.plan import Plan


class DynoState(NamedTuple):
    """One dyno as its supervisor last told. ``since``: seconds since the epoch."""

    name: str
    process_type: str
    generation: int
    version: int
    state: str
    since: float
    port: int | None
    pid: int | None
    run: int
    size: str
    command: str
    exit: str | None = None
    status: int | None = None
    one_off: bool = False
    host: str = "127.0.0.1"


class OneOff(NamedTuple):
    """A one-off dyno to start. ``plan``: what it is made of, which need not be what the formation runs.

    ``window``: rows and columns of its terminal; None without one. ``ttl``: seconds it may live.
    """

    name: str
    command: str
    plan: Plan
    env: Mapping[str, str] = {}
    tty: bool = True
    window: tuple[int, int] | None = None
    ttl: float | None = None


class RolloutFailed(Exception):
    """New dynos did not come up; the old ones are untouched. ``lines``: the last ones of the dyno that failed."""

    def __init__(self, why: str, dyno: str = "", lines: Sequence[str] = ()) -> None:
        super().__init__(why)
        self.why = why
        self.dyno = dyno
        self.lines = tuple(lines)


class Stream(Protocol):
    """An attached dyno's bytes, both ways."""

    async def read(self) -> bytes:
        """What it printed next; b"" at its end."""

    async def write(self, data: bytes) -> None:
        """What was typed."""

    def close(self) -> None:
        """Hang up: the dyno gets SIGHUP, unless it has ended."""


class Runtime(Protocol):
    """Runs dynos. Every method may raise ProcmanError; none blocks the event loop."""

    async def apply(self, plan: Plan, progress: Callable[[str], None] = lambda dyno: None) -> None:
        """Make the plan true; under ``preboot`` return when its dynos are healthy, the old ones still running.

        Raises RolloutFailed. ``progress`` hears of each dyno that is up.
        """

    async def switch(self, app_id: str, generation: int) -> None:
        """The router sends to this generation now: end the older ones."""

    async def abandon(self, app_id: str, generation: int) -> None:
        """End this generation and keep the older."""

    async def restart(self, app_id: str, words: Sequence[str]) -> None:
        """Replace the named dynos or types by new ones; all of the formation without words."""

    async def stop(self, app_id: str, name: str) -> None:
        """End a one-off dyno; a formation dyno is started again (Heroku: ps:stop)."""

    async def start_one_off(self, app_id: str, one_off: OneOff) -> None:
        """Start it detached; its output is logged."""

    async def attach_one_off(self, app_id: str, one_off: OneOff) -> Stream:
        """Start it, joined to the stream that is returned."""

    async def wait_one_off(self, app_id: str, name: str) -> int:
        """Its exit status, once it has ended."""

    async def remove(self, app_id: str) -> None:
        """End everything of the app, its supervisor too, and forget it."""

    def dynos(self, app_id: str) -> list[DynoState]:
        """All dynos of an app as last known, one-offs too."""

    def on_change(self, listener: Callable[[str], None]) -> None:
        """Call with an app's id whenever its dynos have changed."""
