"""What of the apps the server has to know or put right itself, before it serves."""

import asyncio
import logging
import os
import re
import shutil
from collections.abc import Collection, Sequence

from procman.errors import ProcmanError
from procman.platform.host import Host
from procman.platform.slug_collection import remove_path
from procman.runtimes.base import Runtime
from procman.store import tables
from procman.store.database import Database, Tx

log = logging.getLogger(__name__)

OF_AN_APP = re.compile(r"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})(?:\.git|\.lock)?")  # named for its id
FOLDERS = ("repos", "cache", "logs")  # besides its home, which a supervisor may still hold


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
    """End what is left of apps that the database does not know: a server was killed while it destroyed them.

    Their repositories, build caches and logs go with them. Uploads and keys go too that belong to nobody: one that was
    cut off may have been of a gigabyte.
    """
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

    def rows(tx: Tx) -> set[str]:
        found = {host.layout.source(row.id) for row in tables.sources.find(tx)}
        return found | {host.layout.certificate(row.id) for row in tables.endpoints.find(tx)}

    await asyncio.to_thread(remove_strangers, [host.layout.path(folder) for folder in FOLDERS], known)
    kept = await host.db.run(rows)
    await asyncio.to_thread(remove_others, (host.layout.path("sources"), host.layout.path("certificates")), kept)


def remove_others(folders: Sequence[str], kept: Collection[str]) -> None:
    """Remove what is in these folders, but for the paths that are to be kept."""
    for folder in folders:
        for path in (os.path.join(folder, name) for name in os.listdir(folder)):
            if path not in kept:
                remove_path(path)


def remove_strangers(folders: Sequence[str], known: Collection[str]) -> None:
    """Remove what is named for an app that is not known. What has any other name is nobody's to judge."""
    for folder in folders:
        for name in os.listdir(folder):
            found = OF_AN_APP.fullmatch(name)
            if found and found[1] not in known:
                remove_path(os.path.join(folder, name))
