"""Replaces the supervisor's program in place: the same process goes on with its dynos, pipes, sockets and clients."""

import os
import signal
import sys

from procman.control.connection import Connection
from procman.control.protocol import Message, refusal
from procman.control.server import ControlServer
from procman.core.snapshot import dump
from procman.errors import ProcmanError
from procman.supervisor.baggage import CAN, CHECK, RESUME, Baggage, descriptors, keep_from_dynos, pack_child, write
from procman.supervisor.home import Home
from procman.supervisor.loop import FOREVER
from procman.supervisor.processes import LocalProcesses
from procman.supervisor.supervisor import Supervisor
from procman.typed import Any, Callable, Mapping

CHECK_S = 20.0  # for the new program to say that it can go on
LASTING = ("upgrade", "follow", "states", "attach", "run")  # requests that the new program goes on to serve


class Check:
    """The new program, asked whether it could go on. ``until``: when it has to have answered."""

    def __init__(self, pid: int, reader: int, until: float) -> None:
        self.pid = pid
        self.reader = reader
        self.until = until
        self.words = b""


class Upgrade:
    """``origin``: the directory in which the program was started. ``hindrance``: why it cannot be now, if so.

    ``more``: what the app packs for itself. ``settle``: has everything written that waits to be. ``untold``: whether
    lines are kept by nobody but us all the same, or were lost and no line of the log tells of it.
    """

    def __init__(
        self,
        home: Home,
        supervisor: Supervisor,
        processes: LocalProcesses,
        origin: str,
        settle: Callable[[], object],
        more: Callable[[], Mapping[str, Any]] = dict,
        hindrance: Callable[[], str] = str,
    ) -> None:
        self.server: ControlServer | None = None
        self.more = more
        self.hindrance = hindrance
        self.untold: Callable[[], bool] = lambda: False
        self._home = home
        self._supervisor = supervisor
        self._processes = processes
        self._origin = origin
        self._settle = settle
        self._wanted: list[Connection | None] = []  # by a client, or by a signal (None)
        self._check: Check | None = None
        self._answer: str | None = None  # of the new program: why it cannot go on; "" if it can
        supervisor.loop.on_deadline(lambda: self._check.until if self._check else FOREVER, self._give_up)
        supervisor.after_turn.append(self._turn)

    def listen(self, server: ControlServer) -> None:
        """From now on it can be asked for: by SIGUSR2 too."""
        self.server = server
        self._supervisor.loop.on_signals([signal.SIGUSR2], lambda signum: self._want(None))

    def upgrade(self, request: Message, connection: Connection) -> None:
        """The verb. Answered by the new program; a refusal changes nothing."""
        if connection.resumed:
            connection.finish({"ok": True, "pid": os.getpid()})
            return
        if why := self._why_not():
            raise ProcmanError(f"cannot upgrade: {why}")
        self._want(connection)

    def _want(self, connection: Connection | None) -> None:
        self._wanted.append(connection)

    def _turn(self) -> None:
        """Not in the middle of something: a turn of the loop is over."""
        if self._answer is None and self._wanted:
            self._begin_check()
        if self._answer is None or not self._wanted:
            return
        answer, self._answer = self._answer, None
        asked, self._wanted = self._wanted, []
        if not (why := answer or self._why_not()):
            self._wanted = asked  # the new program answers
            why = self._exec()
            self._wanted = []
        for connection in asked:
            if connection:
                connection.finish({"ok": False, "error": f"cannot upgrade: {why}", "hint": "nothing has changed"})
            else:
                self._supervisor.output.say(None, f"Cannot upgrade: {why}")

    def _why_not(self) -> str:
        return self._end() or self.hindrance()

    def _end(self) -> str:
        """What the supervisor is ending of, if it is."""
        end = self._supervisor.engine.closing or self._supervisor.engine.quit
        return f"it is ending: {end.why}" if end else ""

    def _begin_check(self) -> None:
        """Let the new program say whether it could go on, while everything else does."""
        if self._check:
            return
        if end := self._end():
            self._answer = end
            return
        try:
            reader, writer = os.pipe()
        except OSError as error:
            self._answer = f"the new program cannot be asked: {error.strerror}"
            return
        place = os.getcwd()
        try:
            os.chdir(self._origin)
            null = (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDWR, 0)
            actions = [null, (os.POSIX_SPAWN_DUP2, writer, 1), (os.POSIX_SPAWN_DUP2, writer, 2)]
            env = {**os.environ, RESUME: CHECK}
            pid = os.posix_spawn(sys.executable, command(), env, file_actions=actions, setsid=True, setsigmask=())
        except OSError as error:
            os.close(reader)
            self._answer = f"the new program cannot be started: {error.strerror}"
            return
        finally:
            os.close(writer)
            os.chdir(place)
        self._check = Check(pid, reader, self._supervisor.now() + CHECK_S)
        self._processes.aides.add(pid)
        self._supervisor.loop.watch(reader, self._hear)

    def _hear(self) -> None:
        """What it says; when it says nothing more, that was its answer."""
        assert self._check
        if chunk := os.read(self._check.reader, 4096):
            self._check.words += chunk
            return
        check, self._check = self._check, None
        self._supervisor.loop.unwatch(check.reader)
        os.close(check.reader)
        self._processes.aides.discard(check.pid)
        lines = check.words.decode("utf-8", "replace").strip().split("\n")
        if lines[-1] == CAN:
            self._answer = ""
            return
        refusals = (line.partition(": ")[2] for line in lines if line.startswith(("procman: ", "error: ")))
        self._answer = f"the new program cannot go on: {next(refusals, lines[-1]) or 'it says nothing'}"

    def _give_up(self, now: float) -> None:
        """It has had its time."""
        if self._check:
            self._check.until = FOREVER
            os.kill(self._check.pid, signal.SIGKILL)

    def _exec(self) -> str:
        """Become the new program. Returns only if that cannot be, with the reason."""
        assert self.server
        place = os.getcwd()
        self._supervisor.output.say(None, "Replacing the program of this supervisor")
        self._settle()
        self._supervisor.flush()
        if self._supervisor.owes() or self.untold():
            return "its log cannot be written now"
        baggage = self._pack(self.server)
        try:
            fds = {write(baggage), *descriptors(baggage)}
        except OSError as error:
            return f"there is no room for what it knows: {error.strerror}"
        try:
            os.chdir(self._origin)
            keep_from_dynos(fds, kept=False)
            signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
            os.execve(sys.executable, command(), {**os.environ, RESUME: str(min(fds - descriptors(baggage)))})
        except OSError as error:
            signal.pthread_sigmask(signal.SIG_SETMASK, ())
            keep_from_dynos(fds)
            for fd in fds - descriptors(baggage):
                os.close(fd)
            os.chdir(place)
            return f"the new program cannot be started: {error.strerror}"

    def _pack(self, server: ControlServer) -> Baggage:
        supervisor = self._supervisor
        clients = [one for one in server.connections if one.request is None or one.request["verb"] in LASTING]
        for one in server.connections:
            if one not in clients:
                one.finish(refusal("the supervisor's program was replaced meanwhile; the order stands", "procman ps"))
        return {
            "lock": self._home.fileno(),
            "listener": server.fileno(),
            "guard": self._processes.guard.pack(),
            "engine": dump(supervisor.engine),
            "lives": [pack_child(*life) for life in supervisor.lives()],
            "connections": [one.pack() for one in clients],
            "unsent": supervisor.output.sink.unsent().hex(),
            "app": dict(self.more()),
        }


def command() -> list[str]:
    """The command line that we were started with."""
    return [sys.executable, *sys.orig_argv[1:]]
