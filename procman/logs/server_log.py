"""What the server itself writes into the logs of apps: requests, deeds of the API, dynos that never started.

A store an app, in one directory of the server's; only those written to lately are open. A batch costs one write, by a
thread of its own: a disk that stalls costs lines, which are counted, and holds up nothing that the server does.
"""

import logging
import os
import shutil
import time
from collections import OrderedDict
from collections.abc import Callable

from procman.logs.formats import Source
from procman.logs.scribe import SLOW, Scribe
from procman.logs.store import LogStore

OPEN_STORES = 64
log = logging.getLogger(__name__)


class ServerLog:
    """The writer of all stores under ``directory``, one a name. ``tell``: called with the app whose log has grown.

    ``soon``: has work done at the end of the loop's turn, once for all its lines: a wait costs more than a write.
    """

    def __init__(
        self,
        directory: str,
        tell: Callable[[str], None] | None = None,
        wall: Callable[[], float] = time.time,
        open_stores: int = OPEN_STORES,
        soon: Callable[[Callable[[], None]], object] = lambda settle: settle(),
    ) -> None:
        self._directory = directory
        self._tell = tell
        self._wall = wall
        self._soon = soon
        self._stores = Stores(self.path, open_stores)
        self._scribe = Scribe(None)
        self._missed: dict[str, dict[Source, tuple[int, int]]] = {}  # by app: lines and bytes that nothing had room for
        self._stalls = False
        self._grown: list[str] = []  # apps whose lines are on their way

    def path(self, app_id: str) -> str:
        """The directory of the app's store."""
        if app_id in ("", ".", "..") or "/" in app_id or "\0" in app_id:
            raise ValueError("not the id of an app")
        return os.path.join(self._directory, app_id)

    def append(self, app_id: str, source: str, ps: str, lines: bytes) -> None:
        """Whole lines, each with its newline. ``source``: "app" or "heroku"; ``ps``: "router", "api", "run.1234".

        The time is that of the call; written it is a turn of the loop later, or at once if there is no loop any more.
        Raises nothing for a disk in trouble: the log tells of what was lost.
        """
        if not lines:
            return
        self.path(app_id)
        self._hand_over(app_id, Source(None, source, "system", ps), lines, self._wall())
        self._grown.append(app_id)
        if len(self._grown) == 1:
            try:
                self._soon(self._settle)
            except RuntimeError:  # the loop is gone: there is no turn of it to come, nor anybody to be told
                self._grown.clear()
                self._scribe.settle()

    def say(self, app_id: str, source: str, ps: str, text: str) -> None:
        """One message. Newlines in it become spaces: it stays one line, whoever chose its words."""
        flat = " ".join(text.splitlines())
        self.append(app_id, source, ps, flat.encode("utf-8", "surrogateescape") + b"\n")

    def remove(self, app_id: str) -> None:
        """Forget an app, and all that was kept of it."""
        path = self.path(app_id)
        self._missed.pop(app_id, None)
        self._scribe.do(lambda: self._stores.remove(app_id, path))
        self._scribe.settle()

    def close(self) -> None:
        """Give the descriptors back; a later ``append`` opens them anew."""
        self._grown.clear()  # the loop may end before it settles these; the next line asks anew
        self._scribe.do(self._stores.close)
        self._scribe.close()

    def _hand_over(self, app_id: str, source: Source, lines: bytes, wall: float) -> None:
        stores, missed = self._stores, self._missed.get(app_id, {})
        if self._scribe.do(lambda: stores.append(app_id, source, lines, wall, missed), len(lines)):
            self._missed.pop(app_id, None)
        else:
            count, size = missed.get(source, (0, 0))
            self._missed[app_id] = {**missed, source: (count + lines.count(b"\n"), size + len(lines))}

    def _settle(self) -> None:
        """Wait until it is written, unless the disk stalls."""
        grown, self._grown = self._grown, []
        self._scribe.settle()
        if self._scribe.stalls and not self._stalls:
            log.warning("the logs of apps under %s wait: %s", self._directory, SLOW)
        self._stalls = self._scribe.stalls
        for app_id in dict.fromkeys(grown):
            if self._tell:
                self._tell(app_id)


class Stores:
    """Those that are open. All of it is done by the scribe's thread."""

    def __init__(self, path: Callable[[str], str], most: int) -> None:
        self._path = path
        self._most = most
        self._open: OrderedDict[str, LogStore] = OrderedDict()
        self._lacking: set[str] = set()  # apps of which it has been said

    def append(
        self, app_id: str, source: Source, lines: bytes, wall: float, missed: dict[Source, tuple[int, int]]
    ) -> None:
        """``missed``: what was lost before these lines."""
        store = self._store(app_id)
        for each, (count, size) in missed.items():
            store.lose(each, count, size, SLOW)
        store.append(source, lines, wall)
        if not store.lost_lines:
            self._lacking.discard(app_id)
        elif app_id not in self._lacking:
            self._lacking.add(app_id)
            log.warning("app=%s its log lacks lines: %s", app_id, store.trouble)

    def remove(self, app_id: str, path: str) -> None:
        """Close it, and remove its files."""
        store = self._open.pop(app_id, None)
        if store:
            store.close()
        shutil.rmtree(path, ignore_errors=True)

    def close(self) -> None:
        """All of them."""
        while self._open:
            self._open.popitem()[1].close()

    def _store(self, app_id: str) -> LogStore:
        store = self._open.get(app_id)
        if store is None:
            store = self._open[app_id] = LogStore(self._path(app_id))
            if len(self._open) > self._most:
                self._open.popitem(last=False)[1].close()
        else:
            self._open.move_to_end(app_id)
        return store
