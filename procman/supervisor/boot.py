"""Watches starting web dynos for the moment they bind their port.

The kernel tells nobody when a socket begins to listen, so its table is read again and again, but only while some
dyno boots, and ever more slowly: a tenth of the time it has already taken, at least 10 ms, at most 5 s.
"""

from procman.supervisor.child import Child
from procman.supervisor.loop import FOREVER, Loop
from procman.typed import Callable

SHORTEST_S, LONGEST_S, SHARE = 0.01, 5.0, 0.1


class Boot:
    """One dyno on its way up."""

    __slots__ = ("child", "look_at", "port", "since")

    def __init__(self, child: Child, port: int, now: float) -> None:
        self.child = child
        self.port = port
        self.since = now
        self.look_at = now + SHORTEST_S


class BootWatch:
    """Calls ``on_bound`` once for every added child whose port is bound by one of its processes."""

    def __init__(
        self, loop: Loop, is_bound: Callable[[int, Child], bool], on_bound: Callable[[Child], None]
    ) -> None:
        self._loop = loop
        self._is_bound = is_bound
        self._on_bound = on_bound
        self._boots: dict[Child, Boot] = {}
        loop.on_deadline(self._deadline, self._look)

    def add(self, child: Child, port: int) -> None:
        """Begin to watch."""
        self._boots[child] = Boot(child, port, self._loop.now())

    def drop(self, child: Child) -> None:
        """It ended, or nobody wants to know any more."""
        self._boots.pop(child, None)

    def _deadline(self) -> float:
        return min((boot.look_at for boot in self._boots.values()), default=FOREVER)

    def _look(self, now: float) -> None:
        for boot in [boot for boot in self._boots.values() if boot.look_at <= now]:
            if self._is_bound(boot.port, boot.child):
                self.drop(boot.child)
                self._on_bound(boot.child)
            else:
                boot.look_at = now + min(max((now - boot.since) * SHARE, SHORTEST_S), LONGEST_S)
