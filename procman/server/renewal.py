"""The server's certificate, renewed before it expires, without a restart."""

import asyncio
import logging
import ssl

from procman.errors import ProcmanError
from procman.rendezvous import certificates

LOOK_S = 86_400.0
log = logging.getLogger(__name__)


class Renewal:
    """Looks once a day. ``context``: shared by all listeners, and good for every connection that begins."""

    def __init__(self, directory: str, context: ssl.SSLContext) -> None:
        self._directory = directory
        self._context = context
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin."""
        self._task = asyncio.get_running_loop().create_task(self._work())

    async def close(self) -> None:
        """Leave off."""
        if self._task:
            self._task.cancel()
            await asyncio.wait((self._task,))

    async def _work(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            await self.look()

    async def look(self) -> None:
        """Renew it if need be."""
        try:
            if await asyncio.to_thread(certificates.ensure, self._directory, certificates.names_of_host()):
                certificates.load(self._context, self._directory)
        except (ProcmanError, OSError) as error:
            log.warning("certificate: %s", error)
