"""What the server itself writes into the logs of apps: requests, deeds of the API, dynos that never started.

A store an app, in one directory of the server's; only those written to lately are open. A batch costs one write.
"""

import os
import shutil
import time
from collections import OrderedDict
from collections.abc import Callable

from procman.logs.formats import Source
from procman.logs.store import LogStore

OPEN_STORES = 64


class ServerLog:
    """The writer of all stores under ``directory``, one a name. ``tell``: called with the app whose log has grown."""

    def __init__(
        self,
        directory: str,
        tell: Callable[[str], None] | None = None,
        wall: Callable[[], float] = time.time,
        open_stores: int = OPEN_STORES,
    ) -> None:
        self._directory = directory
        self._tell = tell
        self._wall = wall
        self._open_stores = open_stores
        self._stores: OrderedDict[str, LogStore] = OrderedDict()

    def path(self, app_id: str) -> str:
        """The directory of the app's store."""
        if app_id in ("", ".", "..") or "/" in app_id or "\0" in app_id:
            raise ValueError("not the id of an app")
        return os.path.join(self._directory, app_id)

    def append(self, app_id: str, source: str, ps: str, lines: bytes) -> None:
        """Whole lines, each with its newline. ``source``: "app" or "heroku"; ``ps``: "router", "api", "run.1234".

        The time is that of the call. Raises nothing for a disk in trouble: the log tells of what was lost.
        """
        if lines:
            self._store(app_id).append(Source(None, source, "system", ps), lines, self._wall())
            if self._tell:
                self._tell(app_id)

    def say(self, app_id: str, source: str, ps: str, text: str) -> None:
        """One message. Newlines in it become spaces: it stays one line, whoever chose its words."""
        flat = " ".join(text.splitlines())
        self.append(app_id, source, ps, flat.encode("utf-8", "surrogateescape") + b"\n")

    def remove(self, app_id: str) -> None:
        """Forget an app, and all that was kept of it."""
        path = self.path(app_id)
        store = self._stores.pop(app_id, None)
        if store:
            store.close()
        shutil.rmtree(path, ignore_errors=True)

    def close(self) -> None:
        """Give the descriptors back; a later ``append`` opens them anew."""
        while self._stores:
            self._stores.popitem()[1].close()

    def _store(self, app_id: str) -> LogStore:
        store = self._stores.get(app_id)
        if store is None:
            store = self._stores[app_id] = LogStore(self.path(app_id))
            if len(self._stores) > self._open_stores:
                self._stores.popitem(last=False)[1].close()
        else:
            self._stores.move_to_end(app_id)
        return store
