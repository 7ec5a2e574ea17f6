"""The verb ``run``: one-off dynos, attached to a client or detached, and what happens when the client goes."""

import re
import signal
import time
from collections.abc import Iterable, Mapping
from typing import Any

from procman.control.connection import Connection
from procman.control.protocol import Message, refusal
from procman.control.requests import malformed, window
from procman.core.events import OneOffRequested, StopRequested
from procman.core.model import DynoName
from procman.errors import ProcmanError
from procman.supervisor.child import Child
from procman.supervisor.ends import Io
from procman.supervisor.loop import FOREVER
from procman.supervisor.served_app import OneOff, ServedApp
from procman.supervisor.supervisor import Supervisor
from procman.supervisor.typist import Typist

NAME = re.compile(r"([A-Za-z0-9_-]+)\.([1-9][0-9]{0,8})")
HANGUPS, HANGUP_S = 3, 5.0  # Heroku: one-off-dynos
GONE = "Client connection closed. Sending SIGHUP to all processes"
R16 = (
    "Error R16 (Detached) -> "
    "An attached process is not responding to SIGHUP after its external connection was closed."
)


class Session:
    """One running one-off dyno. ``hang_up_at``: when to send the next SIGHUP; ``stop_at``: when its time is over."""

    def __init__(self, child: Child, connection: Connection | None, stop_at: float) -> None:
        self.child = child
        self.connection = connection
        self.typist: Typist | None = None
        self.hangups = 0
        self.hang_up_at = FOREVER
        self.stop_at = stop_at

    def due(self) -> float:
        """When something of it is to be done."""
        return min(self.hang_up_at, self.stop_at, self.typist.end_at if self.typist else FOREVER)


class OneOffs:
    """Starts them and looks after them. They are of no formation: nothing restarts them, and no rollout ends them."""

    def __init__(self, supervisor: Supervisor, app: ServedApp) -> None:
        self._supervisor = supervisor
        self._app = app
        self._sessions: dict[Child, Session] = {}
        self._expected: dict[int, tuple[Session | None, Any]] = {}  # by the descriptor of the client
        supervisor.on_emptied.append(self._end)
        supervisor.loop.on_deadline(self._deadline, self._look)

    def run(self, request: Message, connection: Connection) -> None:
        """Start one."""
        engine = self._supervisor.engine
        wanted, plan_file, ttl = read(request)
        plan = self._app.read(plan_file)
        name = wanted._replace(generation=plan.generation)
        if any(str(other) == str(name) for other in engine.dynos):
            raise ProcmanError(f"cannot run {name}: there is one")
        if engine.closing:
            raise ProcmanError(f"cannot run {name}: the app is being shut down")
        attached = request.get("attach") is True
        io = (Io.TERMINAL if request.get("tty") is True else Io.PIPES) if attached else Io.LOG
        one_off = OneOff(plan, request["command"], request.get("env") or {}, io, window(request))
        self._app.add_one_off(name, one_off)
        self._supervisor.post(OneOffRequested(name))
        child = self._supervisor.child_of(name)
        if child is None:
            self._app.one_offs.pop(name, None)
            connection.finish(refusal(f"cannot run {name}: it could not be started", "its log says why"))
            return
        stop_at = FOREVER if ttl is None else self._supervisor.now() + ttl
        session = self._sessions[child] = Session(child, connection if attached else None, stop_at)
        if attached:
            self._join(session, connection)
        else:
            connection.finish({"ok": True, "pid": child.pid})

    def adopt(self, child: Child, more: Mapping[str, Any]) -> None:
        """One that an earlier supervisor started, detached; ``more`` is what ``entry`` told then."""
        if child.dyno in self._app.one_offs:
            end = more.get("ends")
            left = FOREVER if end is None else max(end - time.time(), 0.0)
            self._sessions[child] = Session(child, None, self._supervisor.now() + left)

    def entry(self, child: Child) -> dict[str, Any]:
        """What the next supervisor has to know: when its time is over, in seconds since the epoch."""
        session = self._sessions.get(child)
        if session is None or session.stop_at == FOREVER:
            return {}
        return {"ends": round(time.time() + session.stop_at - self._supervisor.now())}

    def pack(self) -> list[dict[str, Any]]:
        """All of them, for another program to go on with; clients by their descriptors."""
        return [
            {
                "dyno": session.child.dyno,
                "client": session.connection.pack()["fd"] if session.connection else None,
                "typed": session.typist.pack() if session.typist else None,
                "hangups": session.hangups,
                "hang_up_at": None if session.hang_up_at == FOREVER else session.hang_up_at,
                "stop_at": None if session.stop_at == FOREVER else session.stop_at,
            }
            for session in self._sessions.values()
        ]

    def unpack(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Go on with them; attached clients come later, by ``rejoin``."""
        for row in rows:
            child = self._supervisor.child_of(DynoName(*row["dyno"]))
            if child is None:
                continue
            stop_at = FOREVER if row["stop_at"] is None else row["stop_at"]
            session = self._sessions[child] = Session(child, None, stop_at)
            session.hangups = row["hangups"]
            session.hang_up_at = FOREVER if row["hang_up_at"] is None else row["hang_up_at"]
            if row["client"] is not None:
                self._expected[row["client"]] = session, row["typed"]

    def rejoin(self, connection: Connection) -> bool:
        """Whether a client is one of ours; then it is joined to its dyno again."""
        session, typed = self._expected.pop(connection.pack()["fd"], (None, None))
        if session is None:
            return False
        session.connection = connection
        self._join(session, connection)
        if session.typist and typed:
            session.typist.unpack(typed)
        return True

    def _join(self, session: Session, connection: Connection) -> None:
        child = session.child
        fd = child.stdin if child.pty is None else child.pty
        if fd is not None:
            session.typist = Typist(
                self._supervisor.loop, fd, connection.hold, child.pty is None, lambda: no_input(child)
            )
            connection.on_bytes = session.typist.take
        if not connection.resumed:
            connection.send({"ok": True, "pid": child.pid})
        if connection.closed:
            self._leave(session)
            return
        connection.on_close = lambda: self._leave(session)
        connection.on_taken = lambda: self._supervisor.hold(child, held=False)

        def write(data: bytes) -> None:
            connection.write(data)
            if connection.behind and not connection.closed:
                self._supervisor.hold(child, held=True)

        self._supervisor.tap(child, write, lambda: None, recent=not connection.resumed)

    def _leave(self, session: Session) -> None:
        """The client has gone, and the dyno has not."""
        if session.child not in self._sessions:
            return
        session.connection = None
        self._supervisor.hold(session.child, held=False)
        if session.child.ended:
            return
        self._supervisor.output.say(session.child.dyno, GONE)
        session.hang_up_at = self._supervisor.now()
        self._look(session.hang_up_at)

    def _end(self, child: Child) -> None:
        """Nothing is left of a dyno: so ends the connection, with all that was written."""
        session = self._sessions.pop(child, None)
        if session is None:
            return
        if session.typist:
            session.typist.close()
        if session.connection:
            session.connection.on_close = session.connection.on_bytes = None
            session.connection.hold(held=False)
            session.connection.finish()

    def _deadline(self) -> float:
        return min((session.due() for session in self._sessions.values()), default=FOREVER)

    def _look(self, now: float) -> None:
        for session in list(self._sessions.values()):
            if session.typist and session.typist.end_at <= now:
                session.typist.end()
            if session.stop_at <= now:
                session.stop_at = FOREVER
                self._supervisor.post(StopRequested((session.child.dyno,)))
            if session.hang_up_at <= now:
                self._hang_up(session, now)

    def _hang_up(self, session: Session, now: float) -> None:
        if session.child.ended:
            session.hang_up_at = FOREVER
        elif session.hangups < HANGUPS:
            session.hangups += 1
            session.hang_up_at = now + HANGUP_S
            self._supervisor.processes.terminate([session.child], signal.SIGHUP)
        else:
            session.hang_up_at = FOREVER
            self._supervisor.output.say(session.child.dyno, R16)
            self._supervisor.post(StopRequested((session.child.dyno,)))


def no_input(child: Child) -> None:
    """Its pipe is closed."""
    child.stdin = None


def read(request: Message) -> tuple[DynoName, str, float | None]:
    """The name, the plan's file and the seconds it may live; all other arguments are checked. Raises ProcmanError."""
    found = NAME.fullmatch(text(request, "dyno"))
    if found is None:
        raise malformed(request, "dyno", "a name such as run.1234")
    plan_file = text(request, "plan") if "plan" in request else "plan.json"
    if "/" in plan_file or not plan_file.endswith(".json"):
        raise malformed(request, "plan", "the name of a plan's file")
    if not text(request, "command"):
        raise malformed(request, "command", "what it shall run")
    env: Any = request.get("env") or {}
    if not isinstance(env, dict) or not all(is_variable(name, value) for name, value in env.items()):
        raise malformed(request, "env", "names with a text each")
    ttl = request.get("ttl")
    if ttl is not None and (type(ttl) not in (int, float) or not 0 < ttl < FOREVER):
        raise malformed(request, "ttl", "a number of seconds")
    return DynoName(found[1], int(found[2])), plan_file, ttl


def text(request: Message, key: str) -> str:
    """An argument that must be a text. Raises ProcmanError."""
    found = request.get(key)
    if not isinstance(found, str) or "\0" in found:
        raise malformed(request, key, "a text")
    return found


def is_variable(name: str, value: object) -> bool:
    """Whether an environment can hold it."""
    return bool(name) and "=" not in name and "\0" not in name and isinstance(value, str) and "\0" not in value
