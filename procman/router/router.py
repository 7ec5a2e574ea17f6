"""The router as the server sees it: told what to route, it makes HAProxy do so, and keeps it running."""

import asyncio
import contextlib
import itertools
import logging
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any

from procman.errors import ProcmanError
from procman.router import runtime_commands
from procman.router.arrangement import Arrangement, arrange, forget
from procman.router.binary import find_binary
from procman.router.configuration import LOG_PIPE, MASTER_SOCKET
from procman.router.files import Files
from procman.router.in_flight import in_flight, usage
from procman.router.log_pipe import LogPipe
from procman.router.orders import Orders
from procman.router.ports import Ports
from procman.router.process import Process
from procman.router.requests_log import Limits, read
from procman.router.runtime_commands import maps_of
from procman.router.runtime_socket import NotAnswering, RuntimeSocket, exists
from procman.router.settings import Settings, check_settings
from procman.router.sites import Site, check_sites
from procman.router.traffic import Counts, Traffic

OnLine = Callable[[str, bytes], None]
TIDY_S = 0.5
AGAIN_S = (0.0, 0.1, 0.2, 0.5, 1.0, 5.0)  # between tries to start an HAProxy that was killed
POLL_S = (0.01, 0.1)

log = logging.getLogger(__name__)


class Router:
    """``directory``: its own, for HAProxy's files and sockets. ``haproxy``: path of the program, None: find one.

    ``on_line(app_id, lines)`` hears of requests: whole lines, each with its newline, one call per app and batch.
    Every method but the first two may raise ProcmanError.
    """

    def __init__(
        self,
        directory: str,
        http_address: str,
        https_address: str | None,
        haproxy: str | None,
        on_line: OnLine,
        settings: Settings | None = None,
    ) -> None:
        self.settings = (settings or Settings(http_address))._replace(http=http_address, https=https_address)
        check_settings(self.settings)
        self.binary = find_binary(haproxy)
        self._files = Files(directory)
        self._socket = RuntimeSocket(self._files.fd, MASTER_SOCKET)
        self._on_line = on_line
        self._pipe = LogPipe(self._files.fd, LOG_PIPE, self._take)
        self._process = Process(self.binary, self._files.path, self._socket, self._pipe.fd)
        self._ports = Ports(filter(None, (http_address, https_address)))
        times = self.settings.timeouts
        self._limits = Limits(round(times.first_byte * 1000), round(times.connect * 1000))
        self._traffic = Traffic()
        self._orders = Orders(self.settings, self.binary, self._files)
        self._shape = ""  # of what HAProxy runs
        self._lock = asyncio.Lock()
        self._closing = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._tidier: asyncio.Task[None] | None = None
        self._gone: set[tuple[str, str]] = set()  # servers deleted in the current worker, which older ones may use

    async def start(self) -> None:
        """Have an HAProxy that serves: the one that runs, with what it was told last; else a new one."""
        self._pipe.start()
        async with self._lock:
            self._orders.remember()
            try:
                found = await self._socket.processes() if exists(self._files.fd, MASTER_SOCKET) else None
            except NotAnswering:
                found = None
            self._shape = await self._orders.write(self._shape, self._process.check)
            if found is None:
                self._ports.keep()
                await self._process.start(self._shape)
            elif (
                self._orders.owed or not found.worker or await self._socket.description(found.worker) != self._shape
            ):
                await self._process.reload(self._shape)
            await self._process.watch(self._on_end)
            self._orders.told()
        self._tidy_later()

    async def apply(self, sites: Iterable[Site]) -> None:
        """Route like this from now on. Nobody's connection is dropped; what left a route ends where it is."""
        sites = tuple(sites)
        check_sites(sites)
        async with self._lock:
            orders = self._orders
            before, old_maps = orders.arrangement, orders.maps
            after = await self._arrange(before, sites)
            certificates = [certificate for site in sites for certificate in site.certificates]
            listing = self._files.take_certificates(certificates) if self.settings.https else b""
            owed = orders.owed
            shape = await orders.change(after, maps_of(sites, after), listing, self._shape, self._process.check)
            self._traffic.forget(before.routes.keys() - after.routes.keys())
            commands = [
                *runtime_commands.enter(before, after, self.settings.timeouts),
                *runtime_commands.change_maps(old_maps, orders.maps),
                *runtime_commands.leave(before, after),
            ]
            await self._tell(commands, shape, owed)
        self._tidy_later()

    async def drain(self, app_id: str, generation: int, seconds: float) -> bool:
        """Wait until no request is in flight at an app's dynos of a generation. False if time was up before."""
        deadline = asyncio.get_running_loop().time() + seconds
        pause, quiet = POLL_S[0], 0
        while quiet < 2:  # looked at twice: a request may be on its way from the maps to the slot
            if asyncio.get_running_loop().time() >= deadline:
                return False
            busy = await in_flight(self._socket, self._orders.arrangement, app_id, generation)
            quiet = 0 if busy else quiet + 1
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, POLL_S[1])
        return True

    async def stats(self) -> dict[str, dict[str, Counts]]:
        """By app id and dyno (``""``: no dyno was reached): what the log said since we began, and what is in flight."""
        sessions: dict[tuple[str, str], int] = {}
        try:
            for row in await usage(self._socket, ("-1",)):
                slot = self._orders.arrangement.slots.get(row.slot)
                if slot and row.label != "BACKEND":
                    key = (slot.app_id, row.label.partition(":")[0])
                    sessions[key] = sessions.get(key, 0) + row.sessions
        except NotAnswering:
            pass
        return self._traffic.counts(sessions)

    async def close(self) -> None:
        """Go away; HAProxy stays and serves."""
        self._process.unwatch()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._ports.close()
        self._pipe.close()
        self._files.close()

    async def stop(self) -> None:
        """Go away, and HAProxy too."""
        self._closing = True
        async with self._lock:  # it may be being started
            await self._process.stop()
        await self.close()

    async def _arrange(self, before: Arrangement, sites: Sequence[Site]) -> Arrangement:
        """Dynos that do not answer are nothing to switch away from, if it comes to that."""
        after = arrange(before, sites)
        if all(after.routes.get(app_id, name) == name for app_id, name in before.routes.items()):
            return after
        try:
            rows = await usage(self._socket, ("-1",))
        except NotAnswering:
            return after
        return arrange(before, sites, frozenset((row.slot, row.label) for row in rows if row.up))

    async def _tell(self, commands: Sequence[str], shape: str, owed: bool) -> None:
        """Commands to all workers; a reload if it takes one, as it was ``owed`` others, or did not understand these."""
        try:
            found = await self._socket.processes()
            if shape == self._shape and found.worker and not owed:
                trouble = runtime_commands.complaint(await self._socket.tell(found.worker, commands))
                if trouble:
                    log.warning("reload, as HAProxy said: %s", trouble)
                    await self._process.reload(shape)
            else:
                await self._process.reload(shape)
                self._gone.clear()
            self._shape = shape
            for pid in (await self._socket.processes()).old:
                with contextlib.suppress(NotAnswering):
                    await self._socket.tell(pid, commands)
            self._orders.told()
        except NotAnswering:
            self._shape = shape  # it is being started again, from files that say the same

    def _take(self, lines: list[bytes]) -> None:
        """A batch of HAProxy's log."""
        requests = read(lines, self._limits)
        self._traffic.add(requests)
        by_app: dict[bytes, list[bytes]] = {}
        for request in requests:
            by_app.setdefault(request.app_id, []).append(request.line)
        for app_id, texts in by_app.items():
            self._on_line(app_id.decode(), b"".join(texts))

    def _on_end(self) -> None:
        """Somebody killed HAProxy."""
        log.warning("HAProxy ended; starting it again")
        self._ports.keep()
        self._run(self._restart())

    async def _restart(self) -> None:
        self._gone.clear()
        for attempt in itertools.count():
            await asyncio.sleep(AGAIN_S[min(attempt, len(AGAIN_S) - 1)])
            async with self._lock:
                if self._closing:
                    return
                self._ports.keep()
                try:
                    await self._process.start(self._shape)
                    await self._process.watch(self._on_end)
                    self._orders.told()
                    return
                except (ProcmanError, NotAnswering, OSError) as error:
                    log.error("%s", error)  # noqa: TRY400 - the traceback says nothing more

    def _run(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _tidy_later(self) -> None:
        if self._tidier is None or self._tidier.done():
            self._tidier = self._run(self._tidy())

    async def _tidy(self) -> None:
        """Forget servers that left, one by one, as the last connection to each ends."""
        while any(slot.leaving for slot in self._orders.arrangement.slots.values()):
            await asyncio.sleep(TIDY_S)
            async with self._lock:
                with contextlib.suppress(NotAnswering, OSError):  # what no file tells of is told of by the next one
                    await self._forget_gone()

    async def _forget_gone(self) -> None:
        found = await self._socket.processes()
        before = self._orders.arrangement
        for name, slot in before.slots.items():
            for server in slot.leaving:
                place = (name, server.label)
                if place not in self._gone and found.worker:
                    commands = [runtime_commands.hold(*place), runtime_commands.delete(*place)]
                    answer = await self._socket.tell(found.worker, commands)
                    if "Server deleted." in answer or "No such server" in answer:
                        self._gone.add(place)
                if place in self._gone and not found.old:
                    # Not before: a worker from before a reload knows this name, in this slot, as this app's.
                    self._gone.discard(place)
                    self._orders.arrangement = forget(self._orders.arrangement, *place)
        if self._orders.arrangement is not before:
            await self._orders.write(self._shape, self._process.check)
