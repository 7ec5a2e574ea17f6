"""Logins in a browser, while the client waits."""

import asyncio
import hmac
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable

WAIT_S = 600.0  # the client gives up after ten minutes
MOST_PENDING = 200


class Pending:
    """A client that waits for somebody to log in in a browser. ``form``: proves that the page was ours."""

    def __init__(self, description: str, until: float) -> None:
        self.id = secrets.token_urlsafe(18)
        self.token = secrets.token_urlsafe(32)  # the client's
        self.form = secrets.token_urlsafe(24)  # the browser's
        self.description = description
        self.until = until
        self.done = False
        self.news = asyncio.Event()  # for whoever waits: it is done, or somebody else waits in his place
        self.key: str | None = None

    def end(self, key: str | None = None) -> None:
        """There is a key, or there will be none."""
        self.key, self.done = key, True
        self.news.set()


class Logins:
    """Those in progress, ``most`` at a time: one more ends the oldest. Forgotten with the server."""

    def __init__(self, most: int = MOST_PENDING, now: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._now = now
        self._pending: OrderedDict[str, Pending] = OrderedDict()

    def begin(self, description: str) -> Pending:
        """A client wants to log in."""
        now = self._now()
        for old in [each for each in self._pending.values() if each.until < now]:
            del self._pending[old.id]
        if len(self._pending) >= self._most:
            self._pending.popitem(last=False)[1].end()
        pending = Pending(description, now + WAIT_S)
        self._pending[pending.id] = pending
        return pending

    def find(self, login_id: str) -> Pending | None:
        """A login that is still waited for."""
        pending = self._pending.get(login_id)
        return pending if pending and pending.until > self._now() and not pending.done else None

    def finish(self, pending: Pending, key: str) -> None:
        """Somebody has logged in."""
        pending.end(key)

    async def wait(self, login_id: str, token: str) -> str | None:
        """The key, once somebody has logged in; None if nobody does. Raises KeyError for a wrong token. Told once.

        Who asks again has lost his connection: the one before is answered None. Anybody may begin a login, and a crowd
        that waits for one would take all the places that the API has.
        """
        pending = self._pending.get(login_id)
        if pending is None or not hmac.compare_digest(pending.token.encode(), token.encode()):
            raise KeyError(login_id)
        pending.news.set()
        mine = pending.news = asyncio.Event()
        try:
            async with asyncio.timeout(max(0.0, pending.until - self._now())):
                if not pending.done:
                    await mine.wait()
        except TimeoutError:
            pass
        if pending.news is not mine:
            return None
        self._pending.pop(login_id, None)
        key, pending.key = pending.key, None
        return key
