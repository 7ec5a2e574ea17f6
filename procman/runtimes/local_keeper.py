"""One app's supervisor, kept: found or started, followed, started again when it dies, let go when it has nothing to do.

One task does all of it, so there are never two at work on the same app; that there are never two supervisors is the
kernel's doing: they take a lock.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

from procman.control.protocol import Message
from procman.errors import ProcmanError
from procman.runtimes.local_control import Connection, Gone, connect
from procman.runtimes.local_ends import reap, shut_down
from procman.runtimes.local_home import AppHome
from procman.runtimes.local_surroundings import Surroundings
from procman.runtimes.local_upgrade import Upgrader

BEARABLE = 2  # failed starts in a row that nobody is told of: the one that was killed may not have gone yet
CATCH_UP_S = 1.0
STEADY_S = 30.0  # after so long a life a death is a first one
HASTE_S = 5.0  # for the dynos of an app that is being destroyed
log = logging.getLogger(__name__)


class Keeper:
    """One app's. ``on_states`` hears of every message of the stream; ``on_end`` that there is none for now.

    ``wanted``: there is something to run. ``busy``: how many requests are on their way.
    """

    def __init__(
        self,
        home: AppHome,
        around: Surroundings,
        on_states: Callable[[Message], None],
        on_end: Callable[[], None],
    ) -> None:
        self.home = home
        self.wanted = False
        self.cgroup: Mapping[str, str] = {}
        self.pid = 0
        self._around = around
        self._on_states = on_states
        self._on_end = on_end
        self._needed = asyncio.Event()
        self._up = False
        self._waiting: list[asyncio.Future[None]] = []
        self._busy = 0
        self._empty = True
        self._retirement: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        self._connection: Connection | None = None
        self._retiring = False
        self._said = ""  # why it cannot be started
        self._last: Message = {}
        self._news: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @property
    def is_there(self) -> bool:
        """A supervisor lives, or is being started."""
        return self._needed.is_set()

    async def find(self) -> bool:
        """Whether an earlier server left a supervisor, or one that was killed left dynos; then it is followed."""
        if self.is_there:
            return True
        if not self.home.has_remains():
            return False
        await self.up()
        return True

    @asynccontextmanager
    async def use(self) -> AsyncIterator[None]:
        """A supervisor that is up, and stays for as long as this lasts. Raises ProcmanError when there can be none.

        Gone, raised inside, tells that it has ended, of which the stream may not have told yet.
        """
        self._busy += 1
        try:
            await self.up()
            connection = self._connection
            try:
                yield
            except Gone:
                if connection is self._connection and connection:
                    self._up = False
                    connection.close()
                raise
        finally:
            self._busy -= 1
            self._consider()

    async def up(self) -> None:
        """Return when a supervisor is up and its dynos are known. Raises ProcmanError."""
        self._needed.set()
        if self._task is None:
            self._task = asyncio.create_task(self._keep())
        if not self._up:
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(future)
            await future

    async def catch_up(self) -> None:
        """Return when what was told is no older than this call: an answer may overtake the stream."""
        try:
            async with asyncio.timeout(CATCH_UP_S):
                connection = await connect(self.home.socket, self.home.uid)
                try:
                    now = await anext(aiter(connection.ask("states")))
                finally:
                    connection.close()
                if now != self._last:
                    if self._news.done():
                        self._news = asyncio.get_running_loop().create_future()
                    await asyncio.shield(self._news)
        except (Gone, TimeoutError):
            return

    def want(self, wanted: bool) -> None:
        """There is, or is not, something to run from now on."""
        self.wanted = wanted
        self._consider()

    async def end(self) -> None:
        """Look after it no longer, and have it end, with whatever an earlier one left."""
        self.wanted = False
        while self.is_there or self.home.has_remains():
            await self.up()
            await self.leave()
            try:
                await shut_down(self.home, HASTE_S)
                break
            except Gone:
                continue  # it was killed meanwhile, and may have left dynos
        await self.leave()
        self._around.groups.withdraw(self.cgroup)

    async def leave(self) -> None:
        """The server is going: the supervisor is left as it is."""
        if self._retirement:
            self._retirement.cancel()
        if self._task:
            self._task.cancel()
            await asyncio.wait((self._task,))
        self._task, self._up = None, False
        self._needed.clear()
        self._refuse(ProcmanError("cannot reach the app's supervisor: the server is going"))

    # -- the task -------------------------------------------------------------------------------------------

    async def _keep(self) -> None:
        loop, deaths = asyncio.get_running_loop(), 0
        while True:
            await self._needed.wait()
            began = loop.time()
            try:
                connection = await self._reach()
                try:
                    await self._follow(connection)
                finally:
                    connection.close()
            except Exception as error:  # also of words that make no sense: whoever speaks there is the app's user
                if not isinstance(error, (ProcmanError, OSError)):
                    log.warning("%s: a supervisor makes no sense: %r", self.home.path, error)
                if deaths >= BEARABLE:
                    self._complain(str(error))
                    self._refuse(error if isinstance(error, ProcmanError) else ProcmanError(f"cannot start: {error}"))
            self._up = False
            self._on_end()
            if self._retiring:
                await self._dismiss()
                self._retiring = False
                continue
            if not (self.wanted or self._busy or self._waiting or self.home.has_remains()):
                self._needed.clear()  # whoever needs it next has it started
                continue
            deaths = 0 if loop.time() - began > STEADY_S else deaths + 1
            await asyncio.sleep(self._around.again_s[min(deaths, len(self._around.again_s)) - 1 if deaths else 0])

    async def _reach(self) -> Connection:
        """The one that runs, or a new one. Raises ProcmanError, Gone."""
        try:
            return await connect(self.home.socket, self.home.uid)
        except Gone:
            pass
        around = self._around
        entry = around.groups.entry(self.cgroup)
        process = await asyncio.to_thread(self.home.launch, around.program, around.env, entry)
        reap(process)
        return await connect(self.home.socket, self.home.uid)

    async def _follow(self, connection: Connection) -> None:
        """Until it ends."""
        self.pid, self._connection = connection.pid, connection
        upgrader = Upgrader(self.home)
        try:
            async for message in connection.ask("states"):
                if "ok" in message:
                    raise ProcmanError(f"cannot follow the app's supervisor: {message.get('error')}")
                await upgrader.heed(message)  # before anybody asks for what an older one does not know
                self._empty = not message["dynos"]
                self._last = message
                self._on_states(message)
                if not self._news.done():
                    self._news.set_result(None)
                if not self._up:
                    self._up, self._said = True, ""
                    waiting, self._waiting = self._waiting, []
                    for future in waiting:
                        if not future.done():
                            future.set_result(None)
                self._consider()
        except Gone:
            return
        finally:
            self.pid = 0
            self._last = {}

    def _complain(self, why: str) -> None:
        """Once in a row of failures."""
        if why != self._said:
            log.warning("%s: no supervisor looks after this app, whose dynos go on: %s", self.home.path, why)
        self._said = why

    def _refuse(self, error: ProcmanError) -> None:
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.done():
                future.set_exception(ProcmanError(error.what, error.hint))

    # -- nothing to do --------------------------------------------------------------------------------------

    def _consider(self) -> None:
        """Begin, or no longer, to wait until it can go."""
        idle = self._up and self._empty and not self.wanted and not self._busy
        if idle and self._retirement is None:
            self._retirement = asyncio.get_running_loop().call_later(self._around.idle_s, self._retire)
        elif not idle and self._retirement is not None:
            self._retirement.cancel()
            self._retirement = None

    def _retire(self) -> None:
        self._retirement = None
        self._up = False  # whoever comes now waits for the next one
        self._retiring = True
        self._needed.clear()
        assert self._connection
        self._connection.close()

    async def _dismiss(self) -> None:
        try:
            await shut_down(self.home)
        except Gone:
            return
