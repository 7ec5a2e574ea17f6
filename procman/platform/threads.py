"""Threads of one kind of work: who floods it waits in its own queue, and files and git go on."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import ParamSpec, TypeVar
from weakref import WeakValueDictionary

P = ParamSpec("P")
T = TypeVar("T")


class Threads:
    """At most ``most`` at a time; they begin with the first piece of work. ``share``: the most that a customer has."""

    def __init__(self, name: str, most: int, share: int | None = None) -> None:
        self._pool = ThreadPoolExecutor(most, name)
        self._share = share or most
        self._shares: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()  # while somebody is in it

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Do it in a thread of these, when one is free."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, lambda: work(*args, **kwargs))

    async def run_for(self, customer: str, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The same, in the customer's share: whoever has filled his own waits for himself, and nobody else for him."""
        loop, share = asyncio.get_running_loop(), self._shares.get(customer)
        if share is None:
            share = self._shares[customer] = asyncio.Semaphore(self._share)
        await share.acquire()

        def leave(_: Future[T]) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(share.release)

        future = self._pool.submit(work, *args, **kwargs)
        future.add_done_callback(leave)  # not before the thread is free, also when nobody waits for it any more
        return await asyncio.wrap_future(future)
