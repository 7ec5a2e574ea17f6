"""Which dyno listens where: ports out of a block that belongs to the app."""

import errno
from collections.abc import Callable, Container

from procman.core.model import DynoName


class PortBook:
    """Lends ports out of a block: to a dyno its own, kept over crashes and restarts until it is forgotten.

    ``taken``: asks the kernel for the ports of this host that are listened on; one that a stranger has is passed over.
    The next port to lend is always the one behind the last, so that one just given back rests for as long as it can.
    """

    def __init__(self, first: int, count: int, taken: Callable[[], Container[int]]) -> None:
        self._taken = taken
        self._lent: dict[DynoName, int] = {}
        self._next = 0
        self.block = range(first, first + count)

    def port_of(self, dyno: DynoName) -> int | None:
        """The port that a dyno has, if any."""
        return self._lent.get(dyno)

    def dynos(self) -> list[DynoName]:
        """All that have one."""
        return list(self._lent)

    def lend(self, dyno: DynoName) -> int:
        """The port for a dyno that is to start, of which nothing runs. Raises OSError when there is none left."""
        taken = self._taken()
        port = self._lent.pop(dyno, None)
        if port is None or port in taken or port not in self.block:
            port = self._find(taken)
        self._lent[dyno] = port
        return port

    def keep(self, dyno: DynoName, port: int) -> None:
        """A dyno has this port already."""
        self._lent[dyno] = port

    def forget(self, dyno: DynoName) -> None:
        """There is no such dyno any more."""
        self._lent.pop(dyno, None)

    def forget_others(self, present: Container[DynoName]) -> None:
        """There are only these dynos."""
        for dyno in [dyno for dyno in self._lent if dyno not in present]:
            del self._lent[dyno]

    def move(self, first: int, count: int) -> None:
        """The app has another block now. Who has a port of the old one keeps it until it starts anew."""
        if range(first, first + count) != self.block:
            self.block, self._next = range(first, first + count), 0

    def _find(self, taken: Container[int]) -> int:
        lent = set(self._lent.values())
        for _ in self.block:
            port = self.block[self._next % len(self.block)]
            self._next += 1
            if port not in lent and port not in taken:
                return port
        where = f"{self.block.start} to {self.block.stop - 1}"
        raise OSError(errno.EADDRNOTAVAIL, f"no port is free from {where}", "a dyno")
