"""The router as the server sees it: told what to route, it makes HAProxy do so, and keeps it running."""

import asyncio
import contextlib
import hashlib
import itertools
import logging
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any

from procman.errors import ProcmanError
from procman.router import pages, runtime_commands, waiting
from procman.router.arrangement import Arrangement, arrange, decode, encode, forget
from procman.router.binary import find_binary
from procman.router.configuration import LOG_PIPE, LUA, MASTER_SOCKET, Secrets, build
from procman.router.files import SLOTS, Files
from procman.router.log_pipe import LogPipe
from procman.router.ports import Ports
from procman.router.process import CONFIGURATION, Process
from procman.router.requests_log import Limits, read
from procman.router.runtime_commands import Maps, maps_of
from procman.router.runtime_socket import NotAnswering, RuntimeSocket, Usage, exists
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
        self._arrangement = Arrangement(self.settings.slots, self.settings.sticky_slots)
        self._maps = Maps()
        self._certificates = b""
        self._shape = ""
        self._lock = asyncio.Lock()
        self._closing = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._tidier: asyncio.Task[None] | None = None
        self._gone: set[tuple[str, str]] = set()  # servers deleted in the current worker, which older ones may use

    async def start(self) -> None:
        """Have an HAProxy that serves: the one that runs, with what it was told last; else a new one."""
        self._pipe.start()
        async with self._lock:
            self._remember()
            try:
                found = await self._socket.processes() if exists(self._files.fd, MASTER_SOCKET) else None
            except NotAnswering:
                found = None
            self._shape = await self._write()
            if found is None:
                self._ports.keep()
                await self._process.start(self._shape)
            elif not found.worker or await self._socket.description(found.worker) != self._shape:
                await self._process.reload(self._shape)
            await self._process.watch(self._on_end)
        self._tidy_later()

    async def apply(self, sites: Iterable[Site]) -> None:
        """Route like this from now on. Nobody's connection is dropped; what left a route ends where it is."""
        sites = tuple(sites)
        check_sites(sites)
        async with self._lock:
            before, old_maps = self._arrangement, self._maps
            after = await self._arrange(before, sites)
            certificates = [certificate for site in sites for certificate in site.certificates]
            listing = self._files.take_certificates(certificates) if self.settings.https else b""
            self._arrangement, self._maps, self._certificates = after, maps_of(sites, after), listing
            self._traffic.forget(before.routes.keys() - after.routes.keys())
            try:
                shape = await self._write()
            except (ProcmanError, OSError):  # HAProxy was told nothing of it: the disk is full, perhaps
                self._arrangement, self._maps = before, old_maps
                raise
            commands = [
                *runtime_commands.enter(before, after, self.settings.timeouts),
                *runtime_commands.change_maps(old_maps, self._maps),
                *runtime_commands.leave(before, after),
            ]
            await self._tell(commands, shape)
        self._tidy_later()

    async def drain(self, app_id: str, generation: int, seconds: float) -> bool:
        """Wait until no request is in flight at an app's dynos of a generation. False if time was up before."""
        deadline = asyncio.get_running_loop().time() + seconds
        pause, quiet = POLL_S[0], 0
        while quiet < 2:  # looked at twice: a request may be on its way from the maps to the slot
            if asyncio.get_running_loop().time() >= deadline:
                return False
            quiet = 0 if await self._in_flight(app_id, generation) else quiet + 1
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, POLL_S[1])
        return True

    async def stats(self) -> dict[str, dict[str, Counts]]:
        """By app id and dyno (``""``: no dyno was reached): what the log said since we began, and what is in flight."""
        sessions: dict[tuple[str, str], int] = {}
        try:
            for row in await self._usage(("-1",)):
                slot = self._arrangement.slots.get(row.slot)
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

    def _remember(self) -> None:
        """What the server before us told HAProxy last."""
        data = self._files.read(SLOTS)
        if data is None:
            return
        try:
            known = decode(data)
        except ValueError as error:
            log.warning("slots forgotten: %s", error)
            return
        plain, sticky = max(known.plain, self.settings.slots), max(known.sticky, self.settings.sticky_slots)
        self._arrangement = known._replace(plain=plain, sticky=sticky)
        contents = [runtime_commands.read_file(self._files.read(name) or b"") for name in Maps().files()]
        self._maps = Maps(*contents)
        if self.settings.https:
            self._certificates = self._files.read("certificates.list") or b""

    async def _arrange(self, before: Arrangement, sites: Sequence[Site]) -> Arrangement:
        """Dynos that do not answer are nothing to switch away from, if it comes to that."""
        after = arrange(before, sites)
        if all(after.routes.get(app_id, name) == name for app_id, name in before.routes.items()):
            return after
        try:
            rows = await self._usage(("-1",))
        except NotAnswering:
            return after
        return arrange(before, sites, frozenset((row.slot, row.label) for row in rows if row.up))

    async def _write(self) -> str:
        """All files, as they shall be; the description of what they make of HAProxy."""
        files = self._files
        for name, entries in self._maps.files().items():
            files.write(name, runtime_commands.file_text(entries).encode())
        for name in pages.TEXTS:
            files.write(name, pages.template(name).encode())
        files.write(LUA, waiting.script(self.settings.timeouts.boot).encode())
        if self.settings.https:
            files.write("certificates.list", self._certificates)
        shape = self._describe()
        text = build(self.settings, self._arrangement, Secrets(files.cookie_key()), shape).encode()
        if shape != self._shape and files.read(CONFIGURATION) != text:  # what stands there was checked
            files.write("candidate.cfg", text)
            await self._process.check("candidate.cfg")
        files.write(CONFIGURATION, text)
        files.write(SLOTS, encode(self._arrangement))
        return shape

    def _describe(self) -> str:
        """A digest of everything that a running HAProxy cannot be told."""
        empty = self._arrangement._replace(slots={}, routes={})
        parts = [
            self.binary.path,
            self.binary.version,
            build(self.settings, empty, Secrets(self._files.cookie_key()), ""),
            waiting.script(self.settings.timeouts.boot),
            *(pages.template(name) for name in pages.TEXTS),
            self._certificates.decode(),
        ]
        if self.settings.certificate and self.settings.https:
            parts.append(self._files.take_default(self.settings.certificate).hex())
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:24]

    async def _tell(self, commands: Sequence[str], shape: str) -> None:
        """Commands to all workers; a reload if it takes one, or if the worker did not understand."""
        try:
            found = await self._socket.processes()
            if shape == self._shape and found.worker:
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

    async def _usage(self, slots: Sequence[str]) -> list[Usage]:
        found = await self._socket.processes()
        rows: list[Usage] = []
        for pid in filter(None, (found.worker, *found.old)):
            rows += await self._socket.usage(pid, slots)
        return rows

    async def _in_flight(self, app_id: str, generation: int) -> int:
        slots = {name: slot for name, slot in self._arrangement.slots.items() if slot.app_id == app_id}
        meant = {(name, s.label) for name, slot in slots.items() for s in slot.servers() if s.generation == generation}
        # In a slot that is all of this generation, what still looks for its server counts too.
        others = {name for name, slot in slots.items() if any(s.generation != generation for s in slot.servers())}
        names = sorted({name for name, _ in meant})
        meant |= {(name, "BACKEND") for name in names if name not in others}
        try:
            rows = await self._usage(names) if names else []
        except NotAnswering:
            return 0
        return sum(row.sessions + row.queued for row in rows if (row.slot, row.label) in meant)

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
        while any(slot.leaving for slot in self._arrangement.slots.values()):
            await asyncio.sleep(TIDY_S)
            async with self._lock:
                with contextlib.suppress(NotAnswering, OSError):  # what no file tells of is told of by the next one
                    await self._forget_gone()

    async def _forget_gone(self) -> None:
        found = await self._socket.processes()
        before = self._arrangement
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
                    self._arrangement = forget(self._arrangement, *place)
        if self._arrangement is not before:
            await self._write()
