"""Keeps one program alive: composes a supervisor for it, here or detached. It wires rooms and decides nothing."""

import os
import signal
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from shlex import join
from socket import socket
from time import time
from typing import Any, NoReturn

from procman.cli.chain import end_with, end_with_npm
from procman.cli.environment import shell
from procman.cli.forever.program import Program
from procman.cli.process import guard_descriptors, remember
from procman.control.sockets import listen
from procman.core.engine import Engine
from procman.core.model import DynoName, Exit, Profile
from procman.errors import ProcmanError
from procman.logs.file import LogFiles
from procman.logs.formats import NoFormat
from procman.logs.output import Output
from procman.logs.plain import Keepers, PlainFormat
from procman.logs.scribe import Scribe
from procman.logs.sink import Sink
from procman.logs.store import LogStore
from procman.supervisor.child import Child, Command
from procman.supervisor.home import Home
from procman.supervisor.loop import Loop
from procman.supervisor.processes import LocalProcesses
from procman.supervisor.status import log_facts
from procman.supervisor.supervisor import Supervisor
from procman.supervisor.sweep import identity, token_of

STDOUT, STDERR = 1, 2
TYPE = "app"
DYNO = DynoName(TYPE, 1)
UP = "up"
PASSED_ON = (signal.SIGUSR1, signal.SIGUSR2)


class ForeverApp:
    """The app of one program: what the supervisor's commands need to know of it."""

    def __init__(self, program: Program, environ: Mapping[str, str], facts: Mapping[str, Any]) -> None:
        self._command = Command(f"exec {join(program.words)}", {**environ, **program.env}, shell())
        self._profile = program.profile
        self._facts = facts
        self.store: LogStore | None = None
        self.scribe: Scribe | None = None

    def command(self, dyno: DynoName) -> Command:
        """The program, in the environment that we were given ourselves."""
        return self._command

    def profile(self, dyno: DynoName) -> Profile:
        """By the flags."""
        return self._profile

    def types(self) -> Sequence[str]:
        """One."""
        return [TYPE]

    def facts(self) -> Mapping[str, Any]:
        """What is said of the formation as a whole."""
        return {**self._facts, "log": log_facts(self.scribe, self.store)}

    def log_position(self) -> Sequence[int]:
        """Where the log's next line will stand."""
        return tuple(self.store.place()) if self.store else ()

    def check_ports(self, formation: Mapping[str, int]) -> None:
        """A port is the program's own affair. One is enough of it."""
        if sum(formation.values()) > 1:
            raise ProcmanError("cannot scale: forever keeps one", "a Procfile, or another one with --uid NAME")

    def reload(self, formation: Mapping[str, int]) -> NoReturn:
        """There is nothing to read again."""
        raise ProcmanError("cannot reload: there is no Procfile", "procman restart")


def keep(
    program: Program, home: Home, swept: str, say: Callable[[str], None] | None = None, parent: int = 0
) -> int:
    """Run it until it is stopped or used up; returns the exit status. ``home`` is held.

    ``parent``: who has forked us, and shall not leave us behind. ``say``: for one that is detached: hears once whether
    it has come up: "" or how its first life ended.
    """
    guard_descriptors()
    os.chdir(program.cwd)
    me = identity()
    facts = {**me, "name": home.name, "root": program.cwd, "socket": home.socket, "since": f"{time():.3f}"}
    home.write(facts)
    app = ForeverApp(program, os.environ, facts)
    output, files, scribe = make_output(program, app, home, detached=say is not None)
    split = len(output.sinks) > 1 or bool(program.out_file or program.err_file)
    processes = LocalProcesses(app.command, token_of(me), split_streams=split)
    first = FirstLife(program.min_uptime, say or (lambda words: None))
    loop, on_end = Loop(), remembering(home, scribe, first)
    loop.watch(scribe.fileno(), scribe.heed)
    supervisor = Supervisor(Engine(app.profile), processes, output, loop, lambda port, child: True, on_end=on_end)
    for words in (swept, files.trouble if files else ""):
        if words:
            output.say(None, words)
    first.watch(supervisor)
    supervisor.after_turn.append(pid_file(program.pid_file, supervisor))

    def open_control(listener: socket) -> None:
        from procman.supervisor.commands import open_commands

        open_commands(supervisor, app, listener)
        heed_others(supervisor, processes, program, home)
        if say is None:
            end_with_npm(supervisor, os.environ)
        if parent:
            end_with_parent(supervisor, parent)

    try:
        return supervisor.run({TYPE: 1}, partial(open_control, listen(home.socket)))
    finally:
        scribe.close()
        home.leave()
        if program.pid_file:
            remove(program.pid_file)
        first.over()


def remembering(home: Home, scribe: Scribe, first: "FirstLife") -> Callable[[Child, Exit, bool], None]:
    """What hears of every life that has ended: the app's history, and who waits for the first."""
    lived = remember(home, scribe)

    def on_end(child: Child, ended: Exit, asked: bool) -> None:
        lived(child, ended, asked)
        first.end(ended, time() - child.began)

    return on_end


def end_with_parent(supervisor: Supervisor, parent: int) -> None:
    """Stop when it goes, or if it has gone already."""
    end_with(supervisor, {parent}, "procman forever has gone")
    if os.getppid() != parent:
        supervisor.shut_down(128 + signal.SIGTERM, "procman forever has gone")


def heed_others(supervisor: Supervisor, processes: LocalProcesses, program: Program, home: Home) -> None:
    """From now on, who else has a say: whoever sends signals, and files that change."""
    supervisor.loop.on_signals(PASSED_ON, lambda signum: pass_on(supervisor, signum))
    if program.watched is not None:
        from procman.cli.forever.watching import watch

        watch(supervisor, processes, program, os.path.dirname(home.path))


def make_output(
    program: Program, app: ForeverApp, home: Home, detached: bool
) -> tuple[Output, LogFiles | None, Scribe]:
    """Where lines go: stdout and stderr as they are ours, or the store; and the files that were asked for."""
    named = program.log_file, program.out_file, program.err_file
    files = LogFiles(*named, program.append) if any(named) else None
    if detached:
        app.store = LogStore(home.log)
    app.scribe = scribe = Scribe(Keepers(app.store, files) if detached or files else None)
    if detached:
        return Output(NoFormat(), Sink(STDOUT), store=scribe), files, scribe
    apart = not same_place(STDOUT, STDERR)
    return Output(
        PlainFormat(apart),
        Sink(STDOUT),
        frozenset({TYPE} if program.silent else ()),
        store=scribe if files else None,
        errors=Sink(STDERR) if apart else None,
    ), files, scribe


def same_place(one: int, other: int) -> bool:
    """Whether two descriptors lead to the same file, pipe or terminal: then the order of what is written counts."""
    first, second = os.fstat(one), os.fstat(other)
    return (first.st_dev, first.st_ino) == (second.st_dev, second.st_ino)


class FirstLife:
    """Tells once how the first life goes: it has lasted ``enough`` seconds, or how it ended before."""

    LONGEST_S = 1.0  # whoever waits for `start` is not kept for longer

    def __init__(self, enough: float, tell: Callable[[str], None]) -> None:
        self._enough = min(enough, self.LONGEST_S)
        self._tell = tell
        self._told = False

    def watch(self, supervisor: Supervisor) -> None:
        """Look whenever there may be news, and when it is time."""
        dynos = supervisor.engine.dynos

        def due() -> float:
            dyno = dynos.get(DYNO)
            return dyno.started_at + self._enough if dyno and dyno.pid and not self._told else float("inf")

        def look() -> None:
            dyno = dynos.get(DYNO)
            if dyno and dyno.unborn and dyno.last_exit:
                self.end(dyno.last_exit, 0.0)

        supervisor.loop.on_deadline(due, lambda now: self._say(UP))
        supervisor.after_turn.append(look)

    def end(self, ended: Exit, seconds: float) -> None:
        """A life is over that lasted so long."""
        self._say(UP if seconds >= self._enough else ended.words())

    def over(self) -> None:
        """There was none that could be told of."""
        self._say("it ended")

    def _say(self, words: str) -> None:
        if not self._told:
            self._told = True
            self._tell(words)


def pid_file(path: str, supervisor: Supervisor) -> Callable[[], None]:
    """Keeps the program's process id in a file, a new one for each life."""
    written = 0

    def look() -> None:
        nonlocal written
        child = supervisor.child_of(DYNO)
        if not path or child is None or child.pid == written:
            return
        from procman.cli.forever.roll import write

        written = child.pid
        try:
            write(path, f"{written}\n", 0o644)
        except OSError as error:
            supervisor.output.say(None, f"cannot write {path}: {error.strerror}")

    return look


def pass_on(supervisor: Supervisor, signum: int) -> None:
    """Signals that mean nothing to us are meant for the program."""
    child = supervisor.child_of(DYNO)
    if child is not None and not child.ended:
        os.kill(child.pid, signum)


def remove(path: str) -> None:
    """Delete a file, if it is there."""
    try:
        os.unlink(path)
    except OSError:
        return
