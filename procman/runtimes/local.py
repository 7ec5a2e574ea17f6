"""The runtime of this host: every app's dynos under a supervisor of its own, which outlives the server.

Theory of operation: a plan is written to the app's home, and its supervisor is told to read it. What runs is known from
the stream of states that each supervisor tells (``local_keeper``), never from memory: so a server that has just begun
knows as much as one that has run for a year. A supervisor that dies is started again with the plan that stands there;
its dynos have gone on meanwhile.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from procman.control.protocol import Message
from procman.core.plan import Plan
from procman.errors import ProcmanError
from procman.runtimes.base import DynoState, OneOff, RolloutFailed, Stream
from procman.runtimes.local_app import LocalApp
from procman.runtimes.local_control import Gone, checked
from procman.runtimes.local_home import AppHome
from procman.runtimes.local_surroundings import Surroundings

T = TypeVar("T")
FIND_S = 10.0  # a supervisor that hangs shall not hang the server's start
TRIES = 5  # of a request whose supervisor died over it
Owner = Callable[[str], Awaitable[int | None]]  # raises LookupError for an app that is none, or no longer one


async def nobody_else(app_id: str) -> int | None:
    """Everything runs as the server's own user."""
    return None


class LocalRuntime:
    """``directory``: the homes of all apps. ``owner``: the user an app's dynos run as, None: the server's own."""

    def __init__(self, directory: str, around: Surroundings, owner: Owner = nobody_else) -> None:
        self._directory = directory
        self._around = around
        self._owner = owner
        self._apps: dict[str, LocalApp] = {}
        self._removed: set[str] = set()  # ids are never used again
        self._on_change: list[Callable[[str], None]] = []
        self._on_news: list[Callable[[str], None]] = []

    async def find(self) -> list[str]:
        """Follow every supervisor that an earlier server left; the ids of all apps that have a home here."""
        try:
            app_ids = sorted(os.listdir(self._directory))
        except OSError:
            return []
        apps = [await self._app(app_id) for app_id in app_ids]
        await asyncio.gather(*(asyncio.wait_for(app.keeper.find(), FIND_S) for app in apps), return_exceptions=True)
        return app_ids

    async def close(self) -> None:
        """The server is going; supervisors stay."""
        await asyncio.gather(*(app.leave() for app in self._apps.values()))

    # -- see ``base.Runtime`` -------------------------------------------------------------------------------

    async def apply(self, plan: Plan, progress: Callable[[str], None] = lambda dyno: None) -> None:
        """See ``Runtime``."""
        app = await self._app(plan.app_id)
        async with app.lock:
            self._refuse_removed(plan.app_id)
            plan = await app.enter(plan)
            if not app.keeper.wanted and not await app.keeper.find() and not app.keeper.home.has_remains():
                await app.keep(plan)
                return
            await self._make_true(app, plan, progress)

    async def _make_true(self, app: LocalApp, plan: Plan, progress: Callable[[str], None]) -> None:
        async def ask() -> Message:
            answer = await app.ask("apply", on_event=lambda event: progress(str(event.get("dyno"))))
            newest = await app.newest() if not answer["ok"] and "dyno" not in answer else 0
            if newest > plan.generation:  # a rollout that the server before us had not finished
                checked(await app.ask("abandon", generation=newest))
                answer = await app.ask("apply")
            return answer

        try:
            answer = await again(ask)
            if "dyno" in answer and not answer["ok"]:
                raise RolloutFailed(str(answer["error"]), str(answer["dyno"] or ""), answer.get("lines") or ())
            checked(answer)
        except BaseException:
            app.give_up(plan)
            raise
        await app.keep(plan)

    async def switch(self, app_id: str, generation: int) -> None:
        """See ``Runtime``."""
        app = await self._app(app_id)
        if app.keeper.is_there:
            checked(await again(lambda: app.ask("switch", generation=generation)))

    async def abandon(self, app_id: str, generation: int) -> None:
        """See ``Runtime``."""
        app = await self._app(app_id)
        if app.keeper.is_there:
            checked(await again(lambda: app.ask("abandon", generation=generation)))

    async def restart(self, app_id: str, words: Sequence[str]) -> None:
        """See ``Runtime``."""
        app = await self._app(app_id)
        checked(await app.ask_once("restart", dynos=list(words)))

    async def stop(self, app_id: str, name: str) -> None:
        """See ``Runtime``."""
        app = await self._app(app_id)
        one_off = any(dyno.one_off for dyno in app.dynos if dyno.name == name)
        if one_off:
            app.errand(app.ask_once("stop", dynos=[name]))  # its answer comes when it has gone, which may take long
        else:
            checked(await app.ask_once("restart", dynos=[name]))

    async def start_one_off(self, app_id: str, one_off: OneOff) -> None:
        """See ``Runtime``."""
        app = await self._app(app_id)
        await app.start(one_off)

    async def attach_one_off(self, app_id: str, one_off: OneOff) -> Stream:
        """See ``Runtime``."""
        app = await self._app(app_id)
        return await app.attach(one_off)

    async def wait_one_off(self, app_id: str, name: str) -> int:
        """See ``Runtime``."""
        app = await self._app(app_id)
        return await app.status_of(name)

    async def remove(self, app_id: str) -> None:
        """See ``Runtime``."""
        if app_id in self._removed:
            return
        app = await self._app(app_id)
        async with app.lock:
            self._removed.add(app_id)
            try:
                await app.end()
            except BaseException:
                self._removed.discard(app_id)
                raise
        self._apps.pop(app_id, None)

    def dynos(self, app_id: str) -> list[DynoState]:
        """See ``Runtime``."""
        app = self._apps.get(app_id)
        return list(app.dynos) if app else []

    def on_change(self, listener: Callable[[str], None]) -> None:
        """See ``Runtime``."""
        self._on_change.append(listener)

    # -- beyond what every runtime does ---------------------------------------------------------------------

    def on_log_news(self, listener: Callable[[str], None]) -> None:
        """Call with an app's id whenever its log has grown, while somebody ``listens`` to that."""
        self._on_news.append(listener)

    async def listen(self, app_id: str) -> Callable[[], None]:
        """Somebody wants to hear of the app's log, until he calls what is returned."""
        try:
            app = await self._app(app_id)
        except ProcmanError:  # it is gone, and so are its news
            return lambda: None
        app.news.want()
        return app.news.leave

    def supervisor(self, app_id: str) -> int:
        """Its process; 0 while there is none."""
        app = self._apps.get(app_id)
        return app.keeper.pid if app else 0

    async def _app(self, app_id: str) -> LocalApp:
        """Raises ProcmanError when there is no such app, or no more: it would have no user to run as."""
        self._refuse_removed(app_id)
        app = self._apps.get(app_id)
        if app is None:
            path = os.path.join(self._directory, app_id)
            try:
                uid = await self._owner(app_id)
            except LookupError:
                uid = owner_of_home(path)
            self._refuse_removed(app_id)
            app = self._apps.get(app_id)  # somebody may have been quicker
            if app is None:
                home = AppHome(path, uid)
                app = self._apps[app_id] = LocalApp(app_id, home, self._around, self._changed, self._told)
        return app

    def _refuse_removed(self, app_id: str) -> None:
        if app_id in self._removed:
            raise ProcmanError("cannot run anything of this app: it was destroyed")

    def _changed(self, app_id: str) -> None:
        for listener in self._on_change:
            listener(app_id)

    def _told(self, app_id: str) -> None:
        for listener in self._on_news:
            listener(app_id)


def owner_of_home(path: str) -> int | None:
    """The user of an app that only its home tells of: a server was killed while it destroyed it. None: our own.

    Raises ProcmanError without a home.
    """
    try:
        uid = os.lstat(path).st_uid
    except OSError:
        raise ProcmanError("cannot run anything of this app: there is no such app") from None
    return uid if uid != os.geteuid() else None


async def again(request: Callable[[], Awaitable[T]]) -> T:
    """The answer to what can be asked twice, though the supervisor may die over it. Raises ProcmanError."""
    for _ in range(TRIES):
        try:
            return await request()
        except Gone:
            continue
    raise ProcmanError(f"cannot reach the app's supervisor: it died {TRIES} times over one request")
