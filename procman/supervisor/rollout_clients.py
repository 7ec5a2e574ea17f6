"""Clients that wait for a rollout, or until something else has come true."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from procman.control.connection import Connection
from procman.control.protocol import Message, refusal
from procman.core.model import DynoName
from procman.core.plan import Plan


class Waiting(NamedTuple):
    """A client whose answer is not true yet."""

    connection: Connection
    check: Callable[[], Message | None]


class RolloutClients:
    """Those who have joined the rollout that is going on, or wait for the next, or for a check of their own.

    ``next``: the plan to be rolled out when what was abandoned for it has gone.
    """

    def __init__(self) -> None:
        self._joined: list[Connection] = []
        self._told: dict[Connection, int] = {}  # how many dynos each has heard of
        self._waiting: list[Waiting] = []
        self.next: Plan | None = None
        self._queued: list[Connection] = []  # for it

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

    def queue(self, plan: Plan, connection: Connection) -> None:
        """This plan is the next; who waited for another hears that it never will be."""
        if self.next and self.next.generation != plan.generation:
            self.refuse_next(f"generation {plan.generation} was applied")
        self.next = plan
        self._queued.append(connection)

    def take_next(self) -> list[Connection]:
        """It is the next no more: who has waited for it."""
        self.next, queued, self._queued = None, self._queued, []
        return queued

    def refuse_next(self, why: str) -> None:
        """It will not be rolled out."""
        if plan := self.next:
            for connection in self.take_next():
                connection.finish(refusal(f"cannot apply generation {plan.generation}: {why}"))

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
