"""The host: everything that use cases need, handed in by the composition root."""

import time
import uuid
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, NamedTuple, Protocol

from procman.core.records import App, Release
from procman.platform.attempts import Attempts
from procman.platform.layout import Layout
from procman.platform.logins import Logins
from procman.platform.threads import Threads
from procman.reach import Reach
from procman.runtimes.base import Runtime, Stream
from procman.store.database import Database

if TYPE_CHECKING:
    from procman.platform.builds import Builds
    from procman.platform.git_access import GitAccess
    from procman.platform.rollouts import Rollouts


class Settings(NamedTuple):
    """How this server is set up. ``urls``: how it is reached, for answers and messages."""

    api_url: str = "http://127.0.0.1:5000"
    git_host: str = "127.0.0.1:5001"
    rendezvous_address: str = "127.0.0.1:5002"
    router_port: int = 5080
    domain: str = "localhost"  # apps are reached at NAME.DOMAIN
    stack: str = "heroku-24"
    region: str = "local"
    first_port: int = 20_000
    ports_per_app: int = 200
    last_port: int = 60_000
    first_uid: int | None = None  # None: everything runs as the server's own user
    push_creates_apps: bool = False
    allow_local_addresses: bool = False  # whether URLs of users may lead to this host itself
    mount: str | None = None  # "/app" where dynos may have file systems of their own
    attach_timeout: float = 30.0
    drain_s: float = 30.0
    release_timeout: float = 3600.0
    build_timeout: float = 900.0
    slug_limit: int = 500 << 20  # bytes of a packed slug (Heroku: limits)
    room: int = 512 << 20  # bytes: with less on the disk, old slugs go before a build


class AppLog(Protocol):
    """The server's own lines in an app's log."""

    def write(self, app_id: str, source: str, ps: str, text: str) -> None:
        """One line, of ``app[api]`` or ``heroku[run.1234]``."""

    def forget(self, app_id: str) -> None:
        """The app is gone."""


class Traffic(Protocol):
    """The router, as the platform needs it. ``trouble``: why it cannot be told anything at present, if so."""

    trouble: str

    async def route(self, app_id: str) -> None:
        """Send the app's requests to its current generation, and only to that."""

    async def drain(self, app_id: str, generation: int, seconds: float) -> None:
        """Return when older generations have no request in hand, or after so long."""


class Rendezvous(Protocol):
    """Where clients join attached one-off dynos."""

    def expect(self, start: Callable[[], Awaitable[Stream]], on_timeout: Callable[[], None], seconds: float) -> str:
        """A client may come within ``seconds``; ``start`` makes the stream it is joined to. Returns the attach URL."""


class Numbers(Protocol):
    """Who counts what apps do."""

    async def text(self) -> bytes:
        """All numbers, in Prometheus's text format."""

    async def summary(self, app: App) -> dict[str, object]:
        """One app's."""


class NoTraffic:
    """No router: dynos are reached at their ports."""

    trouble = ""

    async def route(self, app_id: str) -> None:
        """Nothing to do."""

    async def drain(self, app_id: str, generation: int, seconds: float) -> None:
        """Nothing to wait for."""


class Host:
    """One server's parts. Nothing here decides; use cases take it as their first argument."""

    rollouts: "Rollouts"
    builds: "Builds"
    git_access: "GitAccess | None" = None
    numbers: Numbers | None = None

    def __init__(
        self,
        db: Database,
        runtime: Runtime,
        layout: Layout,
        log: AppLog,
        settings: Settings,
        traffic: Traffic | None = None,
        rendezvous: Rendezvous | None = None,
        now: Callable[[], float] = time.time,
        new_id: Callable[[], str] = lambda: str(uuid.uuid4()),
    ) -> None:
        self.db = db
        self.runtime = runtime
        self.layout = layout
        self.log = log
        self.settings = settings
        self.reach = Reach(settings.allow_local_addresses)
        self.traffic: Traffic = traffic or NoTraffic()
        self.rendezvous = rendezvous
        self.now = now
        self.new_id = new_id
        self.logins = Logins()
        self.attempts = Attempts()
        self.passwords = Threads("passwords", 2)  # scrypt is slow on purpose, and anybody may ask for it
        self.sources = Threads("sources", 16, 2)  # a download may take minutes; of a user's at most so many at a time
        self.checkouts = Threads("checkouts", 4, 2)  # a push's files are here already, and wait for no download
        self.on_change: list[Callable[[str, str, App], None]] = []  # (event, action, app): webhooks, router
        self.on_release_end: list[Callable[[App, Release], None]] = []  # it has come up, or will not
        self.on_parting: list[Callable[[App], Awaitable[None]]] = []  # the last moment at which an app has its rows

    def say(self, app_id: str, text: str) -> None:
        """A line of ``app[api]``."""
        self.log.write(app_id, "app", "api", text)

    def tell(self, event: str, action: str, app: App) -> None:
        """Something about an app has changed: ``api:release``, ``create``."""
        for listener in self.on_change:
            listener(event, action, app)

    def tell_end(self, app: App, release: Release) -> None:
        """It has been decided what becomes of a release, which need not be the newest one."""
        for listener in self.on_release_end:
            listener(app, release)

    async def part(self, app: App) -> None:
        """An app is about to be forgotten."""
        for listener in self.on_parting:
            await listener(app)
