"""What of the apps the server has to know or put right itself, before it serves."""

import asyncio
import logging
import shutil
from collections.abc import Sequence

from procman.errors import ProcmanError
from procman.platform.host import Host
from procman.runtimes.base import Runtime
from procman.store import tables
from procman.store.database import Database

log = logging.getLogger(__name__)


class Owners:
    """Which user an app's dynos run as."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def uid_of(self, app_id: str) -> int | None:
        """As it was recorded when the app was made; None: the server's own. Raises LookupError for no app."""
        app = await self._db.run(lambda tx: tables.apps.get(tx, id=app_id))
        if app is None:
            raise LookupError(app_id)
        return app.uid


async def clear_up(host: Host, runtime: Runtime, homes: Sequence[str]) -> None:
    """End what is left of apps that the database does not know: a server was killed while it destroyed them."""
    known = {app.id for app in await host.db.run(tables.apps.find)}
    for app_id in homes:
        if app_id in known:
            continue
        try:
            await runtime.remove(app_id)
        except (ProcmanError, OSError) as error:
            log.warning("app=%s error=%s", app_id, error)
            continue
        await asyncio.to_thread(shutil.rmtree, host.layout.home(app_id), True)
        host.log.forget(app_id)
