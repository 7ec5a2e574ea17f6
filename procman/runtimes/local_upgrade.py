"""A supervisor of another version, found by a server that was upgraded: it is told to run what is installed now."""

import asyncio
import logging
import math
import time
from collections.abc import Callable

from procman import __version__
from procman.control.protocol import Message
from procman.runtimes.local_control import Gone, call, connect
from procman.runtimes.local_home import AppHome

PATIENCE_S = 30.0  # for the new program to say whether it can go on, on a busy host
AGAIN_S = 5.0  # at the earliest, after a refusal: in the middle of a rollout, for instance
log = logging.getLogger(__name__)


class Upgrader:
    """For one supervisor. What it cannot do now is tried again when it has news; nothing here raises."""

    def __init__(self, home: AppHome, clock: Callable[[], float] = time.monotonic) -> None:
        self._home = home
        self._clock = clock
        self._said = ""
        self._not_before = 0.0

    async def heed(self, message: Message) -> None:
        """It has told how it stands, and which version of procman it is; those before 0.2 do not say that."""
        version = version_in(message)
        if version == __version__ or self._clock() < self._not_before:
            return
        try:
            async with asyncio.timeout(PATIENCE_S):
                why = await self._replace()
        except Gone:
            return  # the next one is of this version
        except TimeoutError:
            why = f"it did not answer in {PATIENCE_S:.0f} s"
        self._not_before = max(self._not_before, self._clock() + AGAIN_S)
        if why and why != self._said:
            log.warning("%s: its supervisor goes on with procman %s: %s", self._home.path, version, why)
        self._said = why

    async def _replace(self) -> str:
        """Why that cannot be; "" if it is done. Raises Gone."""
        answer = await call(self._home.socket, self._home.uid, "upgrade")
        if not answer.get("ok"):
            return str(answer.get("error"))
        connection = await connect(self._home.socket, self._home.uid)
        try:
            told = await anext(aiter(connection.ask("states")))
        finally:
            connection.close()
        if version_in(told) == __version__:
            return ""
        self._not_before = math.inf  # its command line is what it was
        return "its program was started from another place than ours"


def version_in(message: Message) -> str:
    """Of whoever tells how its dynos stand."""
    return str(message.get("version", "before 0.2"))
