"""Clients that wait for a rollout, or until something else has come true."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from procman.control.connection import Connection
from procman.control.protocol import Message
from procman.core.model import DynoName


class Waiting(NamedTuple):
    """A client whose answer is not true yet."""

    connection: Connection
    check: Callable[[], Message | None]


class RolloutClients:
    """Those who have joined the rollout that is going on, and those who wait for a check of their own."""

    def __init__(self) -> None:
        self._joined: list[Connection] = []
        self._told: dict[Connection, int] = {}  # how many dynos each has heard of
        self._waiting: list[Waiting] = []

    def join(self, *connections: Connection) -> None:
        """They wait for the rollout."""
        self._joined += connections

    def tell(self, healthy: Sequence[DynoName]) -> None:
        """Whoever has joined hears of each dyno that is healthy."""
        for connection in [one for one in self._joined if not one.closed]:
            for name in healthy[self._told.get(connection, 0) :]:
                connection.send({"event": "up", "dyno": str(name)})
            self._told[connection] = len(healthy)

    def answer(self, answer: Message) -> None:
        """The rollout is over."""
        joined, self._joined, self._told = self._joined, [], {}
        for connection in joined:
            connection.finish(answer)

    def wait(self, connection: Connection, check: Callable[[], Message | None]) -> None:
        """It is answered when ``check`` has something to answer: now, or when ``look_again`` finds it so."""
        waiting = Waiting(connection, check)
        if not answered(waiting):
            self._waiting.append(waiting)

    def look_again(self) -> None:
        """Something may have come true."""
        if self._waiting:
            self._waiting = [one for one in self._waiting if not one.connection.closed and not answered(one)]

    def end(self, answer: Message) -> None:
        """Nothing is waited for any more."""
        self.answer(answer)
        for one in self._waiting:
            one.connection.finish(answer)
        self._waiting = []


def answered(waiting: Waiting) -> bool:
    """Whether the answer is true now; then it has been given."""
    answer = waiting.check()
    if answer is not None:
        waiting.connection.finish(answer)
    return answer is not None
