"""One app on this host: its plan, its dynos as last told, its one-off dynos."""

import asyncio
import logging
import os
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from procman.control.protocol import Message
from procman.core.plan import Plan
from procman.errors import ProcmanError
from procman.runtimes.base import DynoState, OneOff
from procman.runtimes.local_control import Connection, Gone, checked, connect
from procman.runtimes.local_home import GOOD, PLAN, AppHome
from procman.runtimes.local_keeper import Keeper
from procman.runtimes.local_news import LogNews
from procman.runtimes.local_surroundings import Surroundings

LOST = 1  # exit status of a one-off dyno whose end nobody saw
ENDS = 1000  # one-off dynos whose end is remembered
log = logging.getLogger(__name__)


class LocalApp:
    """``lock``: held by whoever changes the plan."""

    def __init__(
        self,
        app_id: str,
        home: AppHome,
        around: Surroundings,
        changed: Callable[[str], None],
        told: Callable[[str], None],
    ) -> None:
        self.lock = asyncio.Lock()
        self.dynos: list[DynoState] = []
        self.keeper = Keeper(home, around, self._take, self._lose)
        self.news = LogNews(home, lambda: told(app_id))
        self._app_id = app_id
        self._around = around
        self._changed = changed
        self._ends: dict[str, asyncio.Future[int]] = {}  # by one-off dyno
        self._seen: set[str] = set()  # one-off dynos that were told of
        self._errands: set[asyncio.Task[Any]] = set()
        self._log_trouble = ""

    # -- plans ----------------------------------------------------------------------------------------------

    async def enter(self, plan: Plan) -> Plan:
        """Write the plan down, completed by what only the runtime knows."""
        home = self.keeper.home
        home.make()
        await asyncio.to_thread(home.give, plan.directory)
        if os.geteuid() == 0:
            self.keeper.cgroup = self._around.groups.prepare(self._app_id, home.uid or 0)
        plan = plan._replace(cgroup=self.keeper.cgroup)
        await asyncio.to_thread(home.write, PLAN, plan)
        self.keeper.want(has_work(plan))
        return plan

    async def keep(self, plan: Plan) -> None:
        """It has become true: what a later failure falls back to."""
        await asyncio.to_thread(self.keeper.home.write, GOOD, plan)

    def give_up(self, plan: Plan) -> None:
        """It has not: the supervisor shall find the last good one, should it begin anew."""
        home = self.keeper.home
        good = home.read(GOOD)
        if good is None:
            good = plan._replace(types={name: kind._replace(quantity=0) for name, kind in plan.types.items()})
        home.write(PLAN, good)
        self.keeper.want(has_work(good))

    # -- requests -------------------------------------------------------------------------------------------

    async def ask(
        self, verb: str, on_event: Callable[[Message], None] = lambda event: None, **arguments: Any
    ) -> Message:
        """The last answer, also a refusal. Raises Gone when the supervisor died over it, ProcmanError without one."""
        async with self.keeper.use():
            connection = await self._connect()
            try:
                async for answer in connection.ask(verb, **arguments):
                    if "ok" in answer:
                        await self.keeper.catch_up()
                        return answer
                    on_event(answer)
            finally:
                connection.close()
        raise Gone("the supervisor ended")

    async def ask_once(self, verb: str, **arguments: Any) -> Message:
        """The same for what must not be asked twice: Gone becomes a ProcmanError."""
        try:
            return await self.ask(verb, **arguments)
        except Gone:
            raise ProcmanError(f"cannot {verb}: the app's supervisor ended meanwhile") from None

    async def newest(self) -> int:
        """The newest generation that the supervisor has."""
        return int((await self.ask("ps")).get("generation", 0))

    def errand(self, work: Coroutine[Any, Any, Any]) -> None:
        """Do it in the background; nobody hears how it came out."""
        task = asyncio.get_running_loop().create_task(work)
        self._errands.add(task)
        task.add_done_callback(self._errands.discard)
        task.add_done_callback(lambda done: done.cancelled() or done.exception())

    async def _connect(self) -> Connection:
        return await connect(self.keeper.home.socket, self.keeper.home.uid)

    # -- one-off dynos --------------------------------------------------------------------------------------

    async def start(self, one_off: OneOff) -> None:
        """Detached. Raises ProcmanError."""
        connection = await self._run(one_off, attach=False)
        connection.close()

    async def attach(self, one_off: OneOff) -> "LocalStream":
        """Joined to its bytes. Raises ProcmanError."""
        return LocalStream(await self._run(one_off, attach=True))

    async def status_of(self, name: str) -> int:
        """When it has ended."""
        future = self._ends.get(name)
        if future is None:
            raise ProcmanError(f"cannot wait for {name}: there is no such dyno")
        return await asyncio.shield(future)

    async def _run(self, one_off: OneOff, attach: bool) -> Connection:
        home, file = self.keeper.home, f"{one_off.name}.json"
        home.make()
        await asyncio.to_thread(home.give, one_off.plan.directory)
        if home.read(PLAN) is None:  # a first release's command runs before anything else of the app does
            nothing = {name: kind._replace(quantity=0) for name, kind in one_off.plan.types.items()}
            home.write(PLAN, one_off.plan._replace(types=nothing, generation=max(one_off.plan.generation - 1, 0)))
        await asyncio.to_thread(home.write, file, one_off.plan._replace(cgroup=self.keeper.cgroup))
        try:
            async with self.keeper.use():
                self._expect(one_off.name)
                connection = await self._connect()
                try:
                    await self._begin(connection, one_off, file, attach)
                    await self.keeper.catch_up()
                except BaseException:
                    connection.close()
                    self._ends.pop(one_off.name, None)
                    raise
                return connection
        except Gone:
            raise ProcmanError(f"cannot run {one_off.name}: the app's supervisor ended meanwhile") from None
        finally:
            home.remove(file)

    async def _begin(self, connection: Connection, one_off: OneOff, file: str, attach: bool) -> None:
        arguments = {
            "dyno": one_off.name,
            "command": one_off.command,
            "env": dict(one_off.env),
            "attach": attach,
            "size": list(one_off.window) if one_off.window and one_off.tty else None,
            "tty": one_off.tty,
            "ttl": one_off.ttl,
            "plan": file,
        }
        async for answer in connection.ask("run", **arguments):
            checked(answer)

    def _expect(self, name: str) -> None:
        self._seen.discard(name)
        self._ends[name] = asyncio.get_running_loop().create_future()
        while len(self._ends) > ENDS:
            self._ends.pop(next(iter(self._ends)))

    # -- what is told ---------------------------------------------------------------------------------------

    def _take(self, message: Message) -> None:
        """How every dyno stands now."""
        self.dynos = [state_of(row) for row in message["dynos"]]
        present = {dyno.name: dyno for dyno in self.dynos if dyno.one_off}
        for name, dyno in present.items():
            if dyno.state == "complete":
                self._note_end(name, LOST if dyno.status is None else dyno.status)
        for name in self._seen - present.keys():
            self._note_end(name, LOST)
        self._seen = {name for name, dyno in present.items() if dyno.state != "complete"}
        trouble = str(message.get("log", ""))
        if trouble and trouble != self._log_trouble:
            log.warning("app=%s the log of its dynos waits or lacks lines: %s", self._app_id, trouble)
        self._log_trouble = trouble
        self._changed(self._app_id)

    def _note_end(self, name: str, status: int) -> None:
        future = self._ends.get(name)
        if future and not future.done():
            future.set_result(status)

    def _lose(self) -> None:
        """Nobody tells any more; what was told last is the best that is known while the dynos go on."""
        if not self.keeper.wanted and not self.keeper.home.has_remains():
            self.dynos = []
        self._changed(self._app_id)

    async def leave(self) -> None:
        """The server is going."""
        self.news.close()
        for task in self._errands:
            task.cancel()
        await self.keeper.leave()

    async def end(self) -> None:
        """End everything of the app."""
        await self.keeper.end()
        await self.leave()
        self.dynos = []
        for name in list(self._ends):
            self._note_end(name, LOST)


class LocalStream:
    """See ``base.Stream``."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def read(self) -> bytes:
        """See ``Stream``."""
        return await self._connection.read()

    async def write(self, data: bytes) -> None:
        """See ``Stream``."""
        await self._connection.write(data)

    def close(self) -> None:
        """See ``Stream``."""
        self._connection.close()


def has_work(plan: Plan) -> bool:
    """Whether a dyno shall run."""
    return any(kind.quantity for kind in plan.types.values())


def state_of(row: Mapping[str, Any]) -> DynoState:
    """A row of the supervisor's stream."""
    return DynoState(
        name=row["dyno"],
        process_type=row["type"],
        generation=row["generation"],
        version=row["release"],
        state=row["state"],
        since=row["since"],
        port=row["port"],
        pid=row["pid"],
        run=row["run"],
        size=row["size"] or "",
        command=row["command"],
        exit=row["exit"],
        status=row["status"],
        one_off=row["one_off"],
    )
