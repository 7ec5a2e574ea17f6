"""How readers of an app's log hear that there may be more, and where that log is."""

import asyncio
from typing import NamedTuple


class News:
    """One app's bell. It counts, so that what rings while a reader is busy is not missed. For one event loop."""

    def __init__(self) -> None:
        self.count = 0
        self._waiting: set[asyncio.Future[None]] = set()

    def tell(self) -> None:
        """Either store of the app may have grown. Costs next to nothing while nobody waits."""
        self.count += 1
        if self._waiting:
            waiting, self._waiting = self._waiting, set()
            for future in waiting:
                if not future.done():
                    future.set_result(None)

    async def after(self, seen: int) -> None:
        """Returns once ``count`` is not ``seen`` any more: take it before you look for news, and wait for it after."""
        if self.count == seen:
            future = asyncio.get_running_loop().create_future()
            self._waiting.add(future)
            try:
                await future
            finally:
                self._waiting.discard(future)


class AppLog(NamedTuple):
    """An app's stores, always in the same order, and its bell."""

    stores: tuple[str, ...]
    news: News
