"""What each verb of the control socket does. An answer is given only when what it says has become true."""

import os
import signal
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from procman.control.protocol import Message, refusal
from procman.control.server import Connection, ControlServer, listen
from procman.core.dyno import AT_REST, Dyno, State
from procman.core.events import FormationChanged, RestartRequested, StartRequested, StopRequested
from procman.core.model import DynoName
from procman.errors import ProcmanError
from procman.supervisor.status import rows
from procman.supervisor.supervisor import Plan, Supervisor
from procman.supervisor.terminal import set_size

Verb = Callable[["Commands", Message, Connection], None]


class App(Protocol):
    """What the commands need to know of the app, which the composition root knows."""

    def types(self) -> Sequence[str]:
        """Process types in the Procfile's order."""

    def facts(self) -> Mapping[str, Any]:
        """What `ps` says of the formation as a whole."""

    def check_ports(self, formation: Mapping[str, int]) -> None:
        """Raises ProcmanError when a dyno that is still to start could not have its port."""

    def reload(self, formation: Mapping[str, int]) -> Plan:
        """Read Procfile, env files and settings again and put them in force; ProcmanError changes nothing."""

    def log_position(self) -> Sequence[int]:
        """Where the log's next line will stand."""


class Waiting(NamedTuple):
    """A client whose answer is not true yet. ``check`` gives the answer once it is."""

    check: Callable[[], Message | None]
    connection: Connection


class Commands:
    """Serves requests about one supervisor and its app."""

    def __init__(self, supervisor: Supervisor, app: App) -> None:
        self.supervisor = supervisor
        self.app = app
        self._waiting: list[Waiting] = []
        self._position: list[int] = []
        self.followers: set[Connection] = set()

    def handle(self, request: Message, connection: Connection) -> None:
        """Serve one request. What a client can get wrong is answered, never raised."""
        verb = VERBS.get(request["verb"])
        if verb is None:
            connection.finish(refusal(f"cannot {request['verb']}: no such verb"))
            return
        try:
            verb(self, request, connection)
        except ProcmanError as error:
            connection.finish(refusal(error.what, error.hint))
        except (KeyError, TypeError, ValueError) as error:
            connection.finish(refusal(f"cannot {request['verb']}: malformed request ({error})"))

    def settle(self) -> None:
        """Answer those whose wish has come true, or cannot any more. Called after every turn of the loop."""
        for waiting in [one for one in self._waiting if one.connection.closed or self._answer(one)]:
            self._waiting.remove(waiting)

    def notify(self) -> None:
        """Wake whoever follows the log, if it has grown."""
        if self.followers and (position := list(self.app.log_position())) != self._position:
            self._position = position
            for connection in list(self.followers):
                connection.send({"position": position})

    def _answer(self, waiting: Waiting) -> bool:
        answer = waiting.check()
        if answer is not None:
            waiting.connection.finish(answer)
        return answer is not None

    def _wait(self, connection: Connection, check: Callable[[], Message | None]) -> None:
        waiting = Waiting(check, connection)
        if not self._answer(waiting):
            self._waiting.append(waiting)

    # -- verbs ----------------------------------------------------------------------------------------------

    def ps(self, request: Message, connection: Connection) -> None:
        """The formation, a row a dyno; of the named ones, or of all."""
        names = {str(name) for name in self._named(request)}
        found = rows(self.supervisor.engine.dynos, self._commands(), self._children(), self.supervisor.now())
        dynos = [row for row in found if row["dyno"] in names]
        connection.finish({"ok": True, "dynos": dynos, **self.app.facts()})

    def scale(self, request: Message, connection: Connection) -> None:
        """Set quantities: ``{"formation": {"web": "3", "worker": "+1"}}``."""
        formation = dict(self.supervisor.formation)
        for process_type, text in request["formation"].items():
            if process_type not in self.app.types():
                raise ProcmanError(
                    f"cannot scale {process_type}: no such process type", f"there are {', '.join(self.app.types())}"
                )
            formation[process_type] = quantity(text, formation.get(process_type, 0), process_type)
        present = set(self.supervisor.engine.dynos)
        self._post_formation(formation)
        engine = self.supervisor.engine
        fresh = {name: dyno.run for name, dyno in engine.dynos.items() if name not in present}
        surplus = [name for name in present if name.number > formation.get(name.process_type, 0)]

        def check() -> Message | None:
            if any(name in engine.dynos for name in surplus):
                return None
            answer = self._started(fresh, bool(request.get("wait")))
            return answer and {**answer, "formation": formation}

        self._wait(connection, check)

    def restart(self, request: Message, connection: Connection) -> None:
        """Replace the named dynos, or all."""
        targets = {name: self._dyno(name).run + 1 for name in self._named(request)}
        self.supervisor.post(RestartRequested(tuple(targets)))
        self._wait(connection, lambda: self._started(targets, bool(request.get("wait"))))

    def start(self, request: Message, connection: Connection) -> None:
        """Start dynos that were stopped or have ended; a type with none is scaled to one."""
        formation = dict(self.supervisor.formation)
        for word in request.get("dynos", ()):
            if word in self.app.types() and not formation.get(word):
                formation[word] = 1
        if formation != self.supervisor.formation:
            self._post_formation(formation)
        names = self._named(request)
        targets = {name: dyno.run + (dyno.pid is None or dyno.asked) for name in names if (dyno := self._dyno(name))}
        self.supervisor.post(StartRequested(tuple(names)))
        self._wait(connection, lambda: self._started(targets, bool(request.get("wait"))))

    def stop(self, request: Message, connection: Connection) -> None:
        """Stop the named dynos and keep them down while the rest goes on."""
        names = self._named(request)
        before = {name: self._dyno(name).run for name in names}
        self.supervisor.post(StopRequested(tuple(names)))
        self._wait(connection, lambda: self._stopped(before))

    def kill(self, request: Message, connection: Connection) -> None:
        """Signal the root process of the named dynos."""
        signum = request["signal"]
        children = [child for name in self._named(request) if (child := self.supervisor.child_of(name))]
        if not children:
            raise ProcmanError("cannot signal: none of these dynos runs", "procman ps")
        for child in children:
            if not child.ended:
                os.kill(child.pid, signal.Signals(signum))
        connection.finish({"ok": True, "signalled": [str(child.dyno) for child in children]})

    def reload_files(self, request: Message, connection: Connection) -> None:
        """Read Procfile and env again; change what changed."""
        plan = self.app.reload(self.supervisor.formation)
        engine = self.supervisor.engine
        before = {name: dyno.run for name, dyno in engine.dynos.items()}
        self._post_formation(plan.formation)
        removed = [name for name in before if name.number > plan.formation.get(name.process_type, 0)]
        stale = [name for name in before if name.process_type in plan.changed and name not in removed]
        self.supervisor.post(RestartRequested(tuple(stale)))
        targets = {name: before[name] + 1 for name in stale}
        targets |= {name: dyno.run for name, dyno in engine.dynos.items() if name not in before}

        def check() -> Message | None:
            if any(name in engine.dynos for name in removed):
                return None
            answer = self._started(targets, bool(request.get("wait")))
            return answer and {**answer, "removed": [str(name) for name in removed]}

        self._wait(connection, check)

    def shutdown(self, request: Message, connection: Connection) -> None:
        """End everything; the connection closes when the supervisor does."""
        self.supervisor.shut_down(0, "shutdown was asked for")

    def follow(self, request: Message, connection: Connection) -> None:
        """Say where the log stands, then a line whenever it has grown."""
        connection.send({"position": list(self.app.log_position())})
        self.followers.add(connection)
        connection.on_close = lambda: self.followers.discard(connection)

    def attach(self, request: Message, connection: Connection) -> None:
        """Join the client to the dyno's terminal."""
        (name,) = self._named(request)
        child = self.supervisor.child_of(name)
        if child is None or child.ended:
            raise ProcmanError(f"cannot attach to {name}: it is not running", f"procman explain {name}")
        if child.pty is None:
            raise ProcmanError(
                f"cannot attach to {name}: it runs without a terminal", "start the formation with procman start --tty"
            )
        pty = child.pty
        if size := request.get("size"):
            set_size(pty, *size)
        connection.send({"ok": True, "pid": child.pid})
        connection.on_bytes = lambda data: write_input(pty, data)
        connection.on_close = self.supervisor.tap(child, connection.write, connection.close)

    def resize(self, request: Message, connection: Connection) -> None:
        """The terminal of whoever is attached has another size now."""
        (name,) = self._named(request)
        child = self.supervisor.child_of(name)
        if child is not None and child.pty is not None and not child.ended:
            set_size(child.pty, *request["size"])
        connection.finish({"ok": True})

    # -- what has come true ---------------------------------------------------------------------------------

    def _post_formation(self, formation: Mapping[str, int]) -> None:
        """Wish for other quantities, in the Procfile's order, unless a port they need is taken."""
        ordered = {name: formation[name] for name in self.app.types() if name in formation}
        self.app.check_ports(ordered)
        self.supervisor.post(FormationChanged(ordered))

    def _started(self, targets: Mapping[DynoName, int], wait: bool) -> Message | None:
        """Whether every dyno has come to its run: spawned, or with ``wait`` up."""
        engine = self.supervisor.engine
        if engine.closing:
            return refusal("the formation was shut down meanwhile")
        for name, run in targets.items():
            dyno = engine.dynos.get(name)
            if dyno is None or not dyno.wanted:
                return refusal(f"{name} was stopped meanwhile")
            if dyno.run < run or dyno.state is State.WAITING:
                return None
            if dyno.state in AT_REST or dyno.run > run:
                why = dyno.last_exit.words() if dyno.last_exit else "it is down"
                return refusal(f"{name} did not stay up: {why}", f"procman explain {name}")
            if wait and dyno.state is not State.UP:
                return None
        return {"ok": True, "dynos": [str(name) for name in targets]}

    def _stopped(self, before: Mapping[DynoName, int]) -> Message | None:
        engine = self.supervisor.engine
        for name, run in before.items():
            dyno = engine.dynos.get(name)
            if dyno is not None and dyno.run == run and dyno.state not in AT_REST:
                return None
        return {"ok": True, "dynos": [str(name) for name in before]}

    # -- who is meant ---------------------------------------------------------------------------------------

    def _named(self, request: Message) -> list[DynoName]:
        """The dynos that the words mean: types, dynos, or without words all."""
        words = request.get("dynos") or []
        present = list(self.supervisor.engine.dynos)
        if not words:
            return present
        found: list[DynoName] = []
        for word in words:
            meant = [name for name in present if word in (str(name), name.process_type)]
            if not meant:
                listed = ", ".join(str(name) for name in present) or "none"
                raise ProcmanError(f"cannot find {word}: no such dyno or process type", f"there are {listed}")
            found += [name for name in meant if name not in found]
        return found

    def _dyno(self, name: DynoName) -> Dyno:
        return self.supervisor.engine.dynos[name]

    def _commands(self) -> dict[DynoName, Any]:
        return {name: self.supervisor.processes.command(name) for name in self.supervisor.engine.dynos}

    def _children(self) -> dict[DynoName, Any]:
        return {child.dyno: child for child in self.supervisor.children()}


VERBS: dict[str, Verb] = {
    "ps": Commands.ps,
    "scale": Commands.scale,
    "restart": Commands.restart,
    "start": Commands.start,
    "stop": Commands.stop,
    "kill": Commands.kill,
    "reload": Commands.reload_files,
    "shutdown": Commands.shutdown,
    "follow": Commands.follow,
    "attach": Commands.attach,
    "resize": Commands.resize,
}


def quantity(text: str, present: int, process_type: str) -> int:
    """``3``, ``+1`` or ``-1`` (Heroku: ps:scale). Raises ProcmanError."""
    digits = text.lstrip("+-")
    if not digits.isascii() or not digits.isdigit() or len(text) - len(digits) > 1:
        raise ProcmanError(f"cannot scale {process_type} to {text!r}: not a number", f"procman scale {process_type}=2")
    number = int(digits)
    if text[0] in "+-":
        number = max(present + (number if text[0] == "+" else -number), 0)
    if number > 1000:
        raise ProcmanError(f"cannot scale {process_type} to {number}: over 1000 dynos")
    return number


def write_input(pty: int, data: bytes) -> None:
    """Typed bytes to a dyno; what its terminal cannot take now is lost, as at a real keyboard."""
    try:
        os.write(pty, data)
    except OSError:
        return


def open_commands(supervisor: Supervisor, app: App, path: str) -> None:
    """Serve the control socket at ``path`` from the supervisor's loop."""
    commands = Commands(supervisor, app)
    ControlServer(supervisor.loop, listen(path), commands.handle)
    supervisor.after_turn += [commands.settle, commands.notify]
