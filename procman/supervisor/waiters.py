"""Clients whose answers are not true yet."""

from procman.control.connection import Connection
from procman.control.protocol import Message
from procman.supervisor.loop import FOREVER
from procman.supervisor.outcomes import Outcomes, Wish
from procman.supervisor.supervisor import Supervisor
from procman.typed import Callable, NamedTuple


class Waiter(NamedTuple):
    """``check`` gives the answer once it is true, and some answer once it is late."""

    check: Callable[[bool], Message | None]
    connection: Connection
    due: float


class Waiters:
    """All of them. They are asked again after every turn of the loop, and when time alone may change an answer."""

    def __init__(self, supervisor: Supervisor) -> None:
        self.outcomes = Outcomes(supervisor)
        self._supervisor = supervisor
        self._waiters: list[Waiter] = []
        supervisor.loop.on_deadline(lambda: self.outcomes.look_at, self._look)

    def wait(self, connection: Connection, wish: Wish, check: Callable[[bool], Message | None]) -> None:
        """Answer when it has come true, or when the client would wait no longer."""
        due = FOREVER if wish.limit is None else self._supervisor.now() + wish.limit
        waiter = Waiter(check, connection, due)
        if not self._answer(waiter):
            self._waiters.append(waiter)

    def settle(self) -> None:
        """Answer those whose wish has come true, or cannot any more. Called after every turn of the loop."""
        if self._waiters:
            self._waiters = [one for one in self._waiters if not one.connection.closed and not self._answer(one)]

    def _look(self, now: float) -> None:
        self.outcomes.look_at = FOREVER
        self.settle()

    def _answer(self, waiter: Waiter) -> bool:
        answer = waiter.check(self._supervisor.now() >= waiter.due)
        if answer is not None:
            waiter.connection.finish(answer)
        else:
            self.outcomes.look_at = min(self.outcomes.look_at, waiter.due)
        return answer is not None
