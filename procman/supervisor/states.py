"""The verb ``states``: how every dyno stands, told again whenever one has changed."""

import time
from collections.abc import Callable
from typing import Any

from procman import __version__
from procman.control.connection import Connection
from procman.control.protocol import Message
from procman.core.dyno import Dyno, State
from procman.core.model import UNKNOWN, DynoName
from procman.supervisor.child import Child
from procman.supervisor.rollouts import Rollouts
from procman.supervisor.served_app import ServedApp
from procman.supervisor.supervisor import Supervisor

Row = dict[str, Any]


class Follower:
    """A client that wants to hear. ``ended``: last rows of one-off dynos that it has not heard yet."""

    def __init__(self) -> None:
        self.told: Message = {}
        self.ended: list[Row] = []


class States:
    """Tells followers. One that does not read hears later, and then how things stand by then."""

    def __init__(self, supervisor: Supervisor, app: ServedApp, rollouts: Rollouts) -> None:
        self._supervisor = supervisor
        self._app = app
        self._rollouts = rollouts
        self._followers: dict[Connection, Follower] = {}
        self._ended: list[tuple[Dyno, Row]] = []  # one-off dynos, and what was known of them while they were there
        self._seen = -1
        self._trouble = ""
        self._epoch = epoch(supervisor.now)  # a clock that jumps shall not make every dyno seem another
        supervisor.on_emptied.append(self._note)
        supervisor.after_turn.append(self._turn)

    def follow(self, request: Message, connection: Connection) -> None:
        """At once, and whenever something has changed."""
        self._followers[connection] = Follower()
        connection.on_close = lambda: self._forget(connection)
        self._tell(connection, self._message())

    def rows(self) -> list[Row]:
        """Every dyno there is."""
        return [{**self._lasting(name), **self._passing(dyno)} for name, dyno in self._supervisor.engine.dynos.items()]

    def _forget(self, connection: Connection) -> None:
        self._followers.pop(connection, None)

    def _turn(self) -> None:
        behind = any(follower.ended for follower in self._followers.values())
        trouble = self._log_trouble()
        if self._seen == self._supervisor.events and self._trouble == trouble and not behind:
            return
        self._seen, self._trouble = self._supervisor.events, trouble
        ended = [{**row, **self._passing(dyno), "pid": None} for dyno, row in self._ended]
        self._ended = []
        if not self._followers:
            return
        message = self._message()
        for connection, follower in list(self._followers.items()):
            follower.ended += ended
            self._tell(connection, message)

    def _tell(self, connection: Connection, message: Message) -> None:
        follower = self._followers[connection]
        if connection.behind:
            self._seen = -1  # look again
            return
        if follower.ended:
            connection.send({**message, "dynos": [*message["dynos"], *follower.ended]})
            follower.ended, follower.told = [], {}
            self._seen = -1  # and then without them
        elif message != follower.told:
            follower.told = message
            connection.send(message)

    def _message(self) -> Message:
        settled = self._rollouts.settled
        known = settled is not None and settled in self._supervisor.engine.formations
        generation = settled if known else self._app.newest.generation
        return {
            "version": __version__,
            "generation": generation,
            "log": self._log_trouble(),
            "dynos": self.rows(),
        }

    def _log_trouble(self) -> str:
        """Why the log lacks lines, or waits; "" if it does not."""
        return str(self._app.log().get("trouble", ""))

    def _note(self, child: Child) -> None:
        """The last that is known of a one-off dyno."""
        dyno = self._supervisor.engine.dynos.get(child.dyno)
        if dyno and dyno.profile.one_off:
            self._ended.append((dyno, self._lasting(child.dyno)))

    def _lasting(self, name: DynoName) -> Row:
        limits = self._app.limits(name)
        plan = self._app.plan_of(name)
        return {
            "dyno": str(name),
            "type": name.process_type,
            "generation": name.generation,
            "release": plan.version,
            "port": self._app.ports.port_of(name),
            "size": limits.size if limits else None,
            "command": self._app.command(name).text,
            "one_off": name in self._app.one_offs,
        }

    def _passing(self, dyno: Dyno) -> Row:
        return {
            "state": public(dyno),
            "since": round(self._epoch + dyno.since, 3),
            "pid": dyno.pid,
            "run": dyno.run,
            "exit": dyno.last_exit.words() if dyno.last_exit else None,
            "status": dyno.last_exit.status if dyno.last_exit and dyno.last_exit.status != UNKNOWN else None,
        }


def epoch(now: Callable[[], float]) -> float:
    """Seconds since the epoch when the monotonic clock was 0: the best of a few looks, as any may be interrupted."""
    looks = []
    for _ in range(5):
        before, wall, after = now(), time.time(), now()
        looks.append((after - before, wall - (before + after) / 2))
    return min(looks)[1]


def public(dyno: Dyno) -> str:
    """Heroku's word. Of a dyno that was told to end, never ``up``: no request shall go there."""
    word = dyno.public()
    return "down" if word == "up" and dyno.state is State.STOPPING else word
