"""The router as the platform's ``Traffic``: what the database and the runtime say, told to HAProxy."""

import asyncio
import logging
from collections.abc import Mapping
from typing import Protocol

from procman.core.model import WEB
from procman.core.records import App, Domain, Endpoint, Release
from procman.errors import ProcmanError
from procman.platform.certificates import file_of
from procman.platform.host import Host
from procman.platform.trouble import words_of
from procman.router.sites import Certificate, Server, Site, is_host, page_url
from procman.runtimes.base import DynoState
from procman.store import tables
from procman.store.database import Tx

AGAIN_S = 1.0
PATIENCE_S = 30.0  # for which a deploy waits for a router in trouble
GONE = ("down", "complete")
log = logging.getLogger(__name__)


class Facts:
    """What the database says of one app. ``wanted``: how many web dynos there shall be."""

    def __init__(
        self,
        app: App,
        domains: list[Domain],
        endpoints: Mapping[str, Endpoint],
        release: Release | None,
        sticky: bool,
        wanted: int,
    ) -> None:
        self.app = app
        self.domains = domains
        self.endpoints = endpoints
        self.release = release
        self.sticky = sticky
        self.wanted = wanted


class Router(Protocol):
    """What is needed of ``router.Router``."""

    async def start(self) -> None: ...
    async def apply(self, sites: "list[Site]") -> None: ...
    async def drain(self, app_id: str, generation: int, seconds: float) -> bool: ...
    async def close(self) -> None: ...


class RouterTraffic:
    """Many changes at once are told once: a change while HAProxy is being told is told after that, with all others."""

    def __init__(self, host: Host, router: Router, ports_per_app: int) -> None:
        self._host = host
        self._router = router
        self._ports = ports_per_app
        self.trouble = ""
        self._told: list[Site] | None = None
        self._wanted = asyncio.Event()
        self._waiting: list[asyncio.Future[None]] = []
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin; every app is routed as it stands. Raises ProcmanError."""
        try:
            await self._router.start()
        except ProcmanError as error:
            raise ProcmanError(error.what, error.hint or "procman server --router-port 5081, or --no-router") from None
        self._host.runtime.on_change(lambda app_id: self._wanted.set())
        self._host.on_change.append(lambda event, action, app: self._wanted.set())
        await self._tell()
        self._task = asyncio.create_task(self._work())

    async def close(self) -> None:
        """HAProxy goes on."""
        if self._task:
            self._task.cancel()
            await asyncio.wait((self._task,))
        await self._router.close()

    # -- see ``platform.host.Traffic`` ----------------------------------------------------------------------

    async def route(self, app_id: str) -> None:
        """See ``Traffic``."""
        if not (await asyncio.wait((self._told_all(),), timeout=PATIENCE_S))[0]:
            log.warning("router: not told in %.0f s", PATIENCE_S)

    async def drain(self, app_id: str, generation: int, seconds: float) -> None:
        """See ``Traffic``. A router that could not be told yet, as its disk is full, still sends to the older."""
        await self._told_all()
        older = {dyno.generation for dyno in self._host.runtime.dynos(app_id) if dyno.generation < generation}
        await asyncio.gather(*(self._router.drain(app_id, number, seconds) for number in older))

    def _told_all(self) -> "asyncio.Future[None]":
        """Done when the router knows all that is known here now."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        self._wanted.set()
        return future

    async def _work(self) -> None:
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            waiting, self._waiting = self._waiting, []
            try:
                await self._tell()
            except Exception as error:
                log.warning("router: %s", error, exc_info=not isinstance(error, (ProcmanError, OSError)))
                self._told = None
                self.trouble = words_of(error, self._host.layout.data)
                self._waiting = waiting + self._waiting  # old dynos end only when nothing is sent to them any more
                asyncio.get_running_loop().call_later(AGAIN_S, self._wanted.set)
                continue
            self.trouble = ""
            for future in waiting:
                if not future.done():
                    future.set_result(None)

    async def _tell(self) -> None:
        found = await self._host.db.run(look)
        sites = [self._site(facts) for facts in found]
        if sites != self._told:
            await self._router.apply(sites)
            self._told = sites

    def _site(self, facts: Facts) -> Site:
        """One app. Only its current generation is routed to, only what the database wishes, only ports of its own."""
        app = facts.app
        block = range(app.first_port, app.first_port + self._ports)
        dynos = [
            dyno
            for dyno in self._host.runtime.dynos(app.id)
            if dyno.process_type == WEB and not dyno.one_off and dyno.generation == app.generation
            if int(dyno.name.rpartition(".")[2]) <= facts.wanted
        ]
        servers = tuple(
            Server(dyno.name, dyno.generation, dyno.port, dyno.host)
            for dyno in sorted(dynos, key=lambda dyno: (len(dyno.name), dyno.name))
            if dyno.state == "up" and dyno.port is not None and dyno.port in block
        )
        config = facts.release.config if facts.release else {}
        return Site(
            app.id,
            app.name,
            tuple(domain.hostname for domain in facts.domains if is_host(domain.hostname)),
            servers,
            state_of(facts, dynos),
            app.maintenance,
            usable(config.get("ERROR_PAGE_URL")),
            usable(config.get("MAINTENANCE_PAGE_URL")),
            facts.sticky,
            tuple(
                Certificate(row.name, file_of(self._host.layout, row.id))
                for row in facts.endpoints.values()
                if any(domain.endpoint_id == row.id for domain in facts.domains)
            ),
        )


def look(tx: Tx) -> list[Facts]:
    """All apps."""
    domains: dict[str, list[Domain]] = {}
    endpoints: dict[str, dict[str, Endpoint]] = {}
    for domain in tables.domains.find(tx):
        domains.setdefault(domain.app_id, []).append(domain)
    for row in tables.endpoints.find(tx):
        endpoints.setdefault(row.app_id, {})[row.id] = row
    sticky = {row.app_id for row in tables.features.find(tx, name="http-session-affinity") if row.enabled}
    wanted = {row.app_id: row.quantity for row in tables.formation.find(tx, type=WEB)}
    return [
        Facts(
            app,
            domains.get(app.id, []),
            endpoints.get(app.id, {}),
            tables.releases.get(tx, id=app.release_id) if app.release_id else None,
            app.id in sticky,
            wanted.get(app.id, 0),
        )
        for app in tables.apps.find(tx)
    ]


def state_of(facts: Facts, dynos: list[DynoState]) -> str:
    """One word for why there may be no dyno to send to."""
    if facts.release is None or facts.release.slug_id is None:
        return "blank"
    if not facts.wanted:
        return "none"
    states = {dyno.state for dyno in dynos}
    if "up" in states:
        return "up"
    return "crashed" if "crashed" in states and "starting" not in states else "starting"


def usable(url: str | None) -> str | None:
    """A page's URL, unless it is none: one app's mistake shall not stop the routing of all."""
    try:
        return url if url and page_url(url) else None
    except ProcmanError:
        return None
