"""Who hears that an app's log has grown: a stream from its supervisor, open only while somebody wants to hear."""

import asyncio
from collections.abc import Callable

from procman.runtimes.local_control import Gone, connect
from procman.runtimes.local_home import AppHome

AGAIN_S = 0.5  # a supervisor that is not there may come
LINGER_S = 5.0  # who heard something soon asks again


class LogNews:
    """One app's. ``tell`` is called at first, as nobody knows what was missed, and whenever the log has grown."""

    def __init__(self, home: AppHome, tell: Callable[[], None]) -> None:
        self._home = home
        self._tell = tell
        self._listeners = 0
        self._task: asyncio.Task[None] | None = None
        self._end: asyncio.TimerHandle | None = None

    def want(self) -> None:
        """One more wants to hear."""
        self._listeners += 1
        if self._end:
            self._end.cancel()
            self._end = None
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._follow())

    def leave(self) -> None:
        """One less."""
        self._listeners -= 1
        if not self._listeners and self._task:
            self._end = asyncio.get_running_loop().call_later(LINGER_S, self.close)

    def close(self) -> None:
        """Nobody is told any more."""
        if self._task:
            self._task.cancel()
        if self._end:
            self._end.cancel()
        self._task = self._end = None

    async def _follow(self) -> None:
        while True:
            try:
                connection = await connect(self._home.socket, self._home.uid)
                try:
                    async for _ in connection.ask("follow"):
                        self._tell()
                finally:
                    connection.close()
            except Gone:
                pass
            await asyncio.sleep(AGAIN_S)
