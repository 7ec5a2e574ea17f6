"""What each verb of the control socket does. An answer is given only when what it says has become true."""

import os
from functools import partial
from socket import socket

from procman.control.connection import Connection
from procman.control.protocol import Message, refusal
from procman.control.requests import quantity, signal_number, window, wishes, words
from procman.control.server import ControlServer
from procman.core.dyno import RUNNING, Dyno, State
from procman.core.events import FormationChanged, RestartRequested, StartRequested, StopRequested
from procman.core.formation import list_words
from procman.core.model import DynoName
from procman.errors import ProcmanError
from procman.supervisor.outcomes import Wish, next_run, wish_of
from procman.supervisor.reload import Reload
from procman.supervisor.roster import Roster
from procman.supervisor.status import rows
from procman.supervisor.supervisor import Supervisor
from procman.supervisor.terminal import set_size
from procman.supervisor.waiters import Waiters
from procman.typed import Any, Callable, Mapping, Protocol, Sequence

Verb = Callable[["Commands", Message, Connection], None]
Serve = Callable[[Message, Connection], None]
NO_MORE: Mapping[str, Serve] = {}


class App(Protocol):
    """What the commands need to know of the app, which the composition root knows."""

    def types(self) -> Sequence[str]:
        """Process types in the Procfile's order."""

    def facts(self) -> Mapping[str, Any]:
        """What `ps` says of the formation as a whole."""

    def check_ports(self, formation: Mapping[str, int]) -> None:
        """Raises ProcmanError when a dyno that is still to start could not have its port."""

    def reload(self, formation: Mapping[str, int]) -> Reload:
        """Read Procfile, env files and settings again and put them in force; ProcmanError changes nothing."""

    def log_position(self) -> Sequence[int]:
        """Where the log's next line will stand."""


class Commands:
    """Serves requests about one supervisor and its app."""

    def __init__(self, supervisor: Supervisor, app: App, more: Mapping[str, Serve]) -> None:
        self.supervisor = supervisor
        self._verbs: dict[str, Serve] = {name: partial(verb, self) for name, verb in VERBS.items()}
        self._verbs.update(more)
        self.app = app
        self.waiters = Waiters(supervisor)
        self._outcomes = self.waiters.outcomes
        self._roster = Roster(supervisor, app.types)
        self._followers: dict[Connection, list[int]] = {}  # and what each was last told

    def handle(self, request: Message, connection: Connection) -> None:
        """Serve one request. What a client can get wrong is answered, never raised."""
        verb = self._verbs.get(request["verb"])
        if verb is None:
            known = ", ".join(self._verbs)
            connection.finish(refusal(f"cannot {request['verb']}: no such verb", f"there are {known}"))
            return
        try:
            verb(request, connection)
        except ProcmanError as error:
            connection.finish(refusal(error.what, error.hint))
        except Exception as error:  # our own mistake: it must not cost anybody a dyno
            connection.finish(refusal(f"cannot {request['verb']}: {error!r}", "this is a bug in procman"))

    def notify(self) -> None:
        """Wake whoever follows the log, if it has grown; who is behind hears when it has caught up."""
        if not self._followers:
            return
        position = list(self.app.log_position())
        for connection, told in list(self._followers.items()):
            if told != position and not connection.behind:
                self._followers[connection] = position
                connection.send({"position": position})

    def _forget(self, connection: Connection) -> None:
        del self._followers[connection]

    # -- verbs ----------------------------------------------------------------------------------------------

    def ps(self, request: Message, connection: Connection) -> None:
        """The formation, a row a dyno; of the named ones, or of all."""
        names = self._roster.named(request, self._roster.present())
        engine = self.supervisor.engine
        children = {child.dyno: child for child in self.supervisor.children()}
        dynos = {name: engine.dynos[name] for name in names}
        commands = {name: self.supervisor.processes.command(name) for name in names}
        found = rows(dynos, commands, children, self.supervisor.now())
        for dyno, row in zip(dynos.values(), found, strict=True):
            row["waits_for"] = engine.lacks(dyno) if dyno.state is State.QUEUED else ""
            row["note"] = self.supervisor.notes.get(dyno.name, "")
        connection.finish({"ok": True, "dynos": found, **self.app.facts()})

    def scale(self, request: Message, connection: Connection) -> None:
        """Set quantities: ``{"formation": {"web": "3", "worker": "+1"}}``."""
        wish, formation = wish_of(request), dict(self.supervisor.formation)
        for process_type, text in wishes(request).items():
            if process_type not in self.app.types():
                raise ProcmanError(
                    f"cannot scale {process_type}: no such process type", f"there are {', '.join(self.app.types())}"
                )
            formation[process_type] = quantity(text, formation.get(process_type, 0), process_type)
        gone, targets = self._change(lambda: self._post_formation(formation))
        self.waiters.wait(connection, wish, lambda late: self._outcomes.formed(gone, targets, wish, late))

    def restart(self, request: Message, connection: Connection) -> None:
        """Replace the named dynos, or all but those that were stopped by hand."""
        wish, kept, held = wish_of(request), self._roster.kept(), self.supervisor.engine.held
        names = self._roster.named(request, kept, every=[name for name in kept if name not in held])
        if kept and not names:
            down = f"{list_words(kept)} {'are' if len(kept) > 1 else 'is'} stopped"
            raise ProcmanError(f"cannot restart: {down}", "procman start all")
        targets = {name: self._dyno(name).run + 1 for name in names}
        self.supervisor.post(RestartRequested(tuple(targets)))
        self.waiters.wait(connection, wish, lambda late: self._outcomes.started(targets, wish, late))

    def start(self, request: Message, connection: Connection) -> None:
        """Start dynos that were stopped or have ended; a type with none is scaled to one."""
        wish, formation = wish_of(request), dict(self.supervisor.formation)
        ran = {name for name, dyno in self.supervisor.engine.dynos.items() if dyno.state in RUNNING}
        fresh = [word for word in words(request) if word in self.app.types() and not formation.get(word)]
        formation.update(dict.fromkeys(fresh, 1))
        coming = [DynoName(word, 1, self.supervisor.engine.generation) for word in fresh]
        self._roster.named(request, [*self._roster.kept(), *coming])  # who is nobody is refused before all else
        if formation != self.supervisor.formation:
            self._post_formation(formation)
        targets = {name: next_run(self._dyno(name)) for name in self._roster.named(request, self._roster.kept())}
        began = [str(name) for name in targets if name not in ran]
        self.supervisor.post(StartRequested(tuple(targets)))
        self.waiters.wait(connection, wish, lambda late: self._outcomes.started(targets, wish, late, started=began))

    def wait(self, request: Message, connection: Connection) -> None:
        """Change nothing; the answer comes when the named dynos, or all, are up."""
        wish = wish_of(request)._replace(up=True)
        targets = {name: self._dyno(name).run for name in self._roster.named(request, self._roster.kept())}
        self.waiters.wait(connection, wish, lambda late: self._outcomes.started(targets, wish, late))

    def stop(self, request: Message, connection: Connection) -> None:
        """Stop the named dynos and keep them down while the rest goes on."""
        names = self._roster.named(request, self._roster.present() if words(request) else self._roster.kept())
        self.supervisor.post(StopRequested(tuple(names)))
        self.waiters.wait(connection, Wish(), lambda late: self._outcomes.stopped(names))

    def kill(self, request: Message, connection: Connection) -> None:
        """Signal the root process of the named dynos."""
        signum = signal_number(request)
        found = [self.supervisor.child_of(name) for name in self._roster.named(request, self._roster.present())]
        children = [child for child in found if child and not child.ended]
        if not children:
            raise ProcmanError("cannot signal: none of these dynos runs", "procman ps")
        for child in children:
            try:
                os.kill(child.pid, signum)  # not reaped yet, so nobody else's number
            except OSError as error:
                raise ProcmanError(f"cannot signal {child.dyno}: {error.strerror}") from None
        connection.finish({"ok": True, "signalled": [str(child.dyno) for child in children]})

    def reload_files(self, request: Message, connection: Connection) -> None:
        """Read Procfile and env again; change what changed. What was stopped by hand stays down."""
        wish, reload = wish_of(request), self.app.reload(self.supervisor.formation)
        replaced: dict[DynoName, int] = {}
        gone, targets = self._change(lambda: replaced.update(reload.put_in_force(self.supervisor)))
        targets |= replaced
        removed, formed = [str(name) for name in gone], self._outcomes.formed
        self.waiters.wait(connection, wish, lambda late: formed(gone, targets, wish, late, removed=removed))

    def shutdown(self, request: Message, connection: Connection) -> None:
        """End everything; the connection closes when the supervisor does. ``now``: nobody waits for a graceful end."""
        self.supervisor.shut_down(0, "shutdown was asked for")
        if request.get("now"):
            self.supervisor.hurry()

    def follow(self, request: Message, connection: Connection) -> None:
        """Say where the log stands, then a line whenever it has grown."""
        self._followers[connection] = []
        connection.on_close = lambda: self._forget(connection)
        self.notify()

    def attach(self, request: Message, connection: Connection) -> None:
        """Join the client to the dyno's terminal."""
        size = window(request)
        name = self._roster.single(request)
        child = self.supervisor.child_of(name)
        if child is None or child.ended:
            raise ProcmanError(f"cannot attach to {name}: it is not running", f"procman explain {name}")
        if child.pty is None:
            raise ProcmanError(
                f"cannot attach to {name}: it runs without a terminal", "start the formation with procman start --tty"
            )
        pty = child.pty
        if size:
            set_size(pty, *size)
        if not connection.resumed:
            connection.send({"ok": True, "pid": child.pid})
        if not connection.closed:
            connection.on_bytes = lambda data: write_input(pty, data)
            tap = self.supervisor.tap
            connection.on_close = tap(child, connection.write, connection.finish, recent=not connection.resumed)

    def resize(self, request: Message, connection: Connection) -> None:
        """The terminal of whoever is attached has another size now."""
        size = window(request)
        child = self.supervisor.child_of(self._roster.single(request))
        if size and child is not None and child.pty is not None and not child.ended:
            set_size(child.pty, *size)
        connection.finish({"ok": True})

    # -- another formation ----------------------------------------------------------------------------------

    def _post_formation(self, formation: Mapping[str, int]) -> None:
        """Wish for other quantities, in the Procfile's order, unless a port they need is taken."""
        ordered = {name: formation[name] for name in self.app.types() if name in formation}
        self.app.check_ports(ordered)
        self.supervisor.post(FormationChanged(ordered, self.supervisor.engine.generation))

    def _change(self, change: Callable[[], None]) -> tuple[list[DynoName], dict[DynoName, int]]:
        """Wish for another formation. The dynos that are to go, and the runs that are to come."""
        engine = self.supervisor.engine
        present = list(engine.dynos)
        settled = {name for name, dyno in engine.dynos.items() if dyno.wanted} | engine.held
        change()
        kept = self._roster.kept()
        gone = [name for name in present if name not in kept]
        return gone, {name: next_run(self._dyno(name)) for name in kept if name not in settled}

    def _dyno(self, name: DynoName) -> Dyno:
        return self.supervisor.engine.dynos[name]


VERBS: dict[str, Verb] = {
    "ps": Commands.ps,
    "scale": Commands.scale,
    "restart": Commands.restart,
    "start": Commands.start,
    "wait": Commands.wait,
    "stop": Commands.stop,
    "kill": Commands.kill,
    "reload": Commands.reload_files,
    "shutdown": Commands.shutdown,
    "follow": Commands.follow,
    "attach": Commands.attach,
    "resize": Commands.resize,
}


def write_input(pty: int, data: bytes) -> None:
    """Typed bytes to a dyno; what its terminal cannot take now is lost, as at a real keyboard."""
    try:
        os.write(pty, data)
    except OSError:
        return


def open_commands(
    supervisor: Supervisor, app: App, listener: socket, more: Mapping[str, Serve] = NO_MORE
) -> ControlServer:
    """Serve the control socket from the supervisor's loop. ``more``: verbs beside those that every app has."""
    commands = Commands(supervisor, app, more)
    server = ControlServer(supervisor.loop, listener, commands.handle)
    supervisor.after_turn += [commands.waiters.settle, commands.notify]
    return server
