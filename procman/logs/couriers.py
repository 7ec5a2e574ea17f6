"""How batches get to a receiver that may fail: attempts, and the rests between them."""

import asyncio
import ssl
from collections.abc import Callable

from procman.logs.drain_http import HttpReceiver, Post
from procman.logs.drain_tcp import TcpReceiver
from procman.logs.shipper import Batch, Pace
from procman.reach import AddressRefused

Report = Callable[[str], None]  # takes what the app's log should say


class HttpCourier:
    """Some attempts a batch; what the receiver refuses (4xx) is not tried again (logplex)."""

    def __init__(self, receiver: HttpReceiver, pace: Pace, trouble: "Trouble") -> None:
        self.resting = False
        self._receiver = receiver
        self._pace = pace
        self._trouble = trouble
        self._failures = 0  # in a row

    async def carry(self, batch: Batch) -> bool:
        """See ``Courier``."""
        for _ in range(self._pace.attempts):
            if self._failures:
                await self._rest()
            try:
                status = await self._receiver.post(Post(batch.frames, batch.word))
            except OSError as error:
                self._trouble.tell(error)
            else:
                self._trouble.over()
                if status // 100 in (2, 4):
                    self._failures = 0
                    return status // 100 == 2
            self._failures += 1
        return False

    async def tidy(self) -> None:
        """See ``Courier``: every batch had its answer."""

    async def close(self) -> None:
        """See ``Courier``."""
        self._receiver.close()

    async def _rest(self) -> None:
        self.resting = True
        await asyncio.sleep(min(self._pace.retry_s * 2 ** min(self._failures - 1, 20), self._pace.retry_max_s))
        self.resting = False


class TcpCourier:
    """Every batch until the kernel has it, on a new connection if need be."""

    def __init__(self, receiver: TcpReceiver, trouble: "Trouble") -> None:
        self.resting = False
        self._receiver = receiver
        self._trouble = trouble

    async def carry(self, batch: Batch) -> bool:
        """See ``Courier``."""
        self._receiver.put(batch.frames)
        await self._push()
        return True

    async def tidy(self) -> None:
        """See ``Courier``."""
        if self._receiver.owes():
            await self._push()

    async def _push(self) -> None:
        while True:
            if wait := self._receiver.wait():
                self.resting = True
                await asyncio.sleep(wait)
                self.resting = False
            try:
                await self._receiver.push()
            except OSError as error:
                self._trouble.tell(error)
            else:
                self._trouble.over()
                return

    async def close(self) -> None:
        """See ``Courier``."""
        await self._receiver.close()


class Trouble:
    """Tells the app's log, once until it is over, what its owner can mend.

    A certificate that is not good (Heroku: L14), a URL that leads where drains may not.
    """

    def __init__(self, shown: str, report: Report | None) -> None:
        self._shown = shown
        self._report = report
        self._told = False

    def tell(self, error: OSError) -> None:
        """What went wrong."""
        if self._report is None or self._told:
            return
        if isinstance(error, ssl.SSLCertVerificationError):
            self._told = True
            self._report(f'Error L14 (certificate validation): error="{error.verify_message}" uri="{self._shown}"')
        elif isinstance(error, AddressRefused):
            self._told = True
            self._report(f"cannot send logs to {self._shown}: {error}")

    def over(self) -> None:
        """It works."""
        self._told = False
