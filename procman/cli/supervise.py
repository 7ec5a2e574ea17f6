"""`procman supervise HOME`: what a server starts for each app. It wires rooms, decides nothing, and is in no help."""

import os
import signal
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from procman.cli.process import guard_descriptors, remember
from procman.control.sockets import listen
from procman.core.engine import Engine
from procman.core.formation import list_words
from procman.core.model import DynoName
from procman.errors import ProcmanError, UsageError
from procman.logs.formats import NoFormat
from procman.logs.output import Output
from procman.logs.scribe import Scribe
from procman.logs.sink import Sink
from procman.logs.store import LogStore
from procman.supervisor import ports
from procman.supervisor.adoption import Succession, holder_of, make_pipes
from procman.supervisor.baggage import CAN, Baggage, arrived, is_check
from procman.supervisor.beginning import look_around
from procman.supervisor.checkups import Checkups
from procman.supervisor.child import Command
from procman.supervisor.commands import open_commands
from procman.supervisor.home import Home
from procman.supervisor.loop import Loop
from procman.supervisor.memory import MemoryWatch
from procman.supervisor.orders import Orders
from procman.supervisor.owed import Witness, cut_torn
from procman.supervisor.processes import LocalProcesses
from procman.supervisor.quarters import Quarters
from procman.supervisor.resumption import go_on, listener_of, serve_again
from procman.supervisor.served_app import read_plan
from procman.supervisor.status import log_facts
from procman.supervisor.supervisor import Supervisor
from procman.supervisor.sweep import identity, token_of
from procman.supervisor.upgrade import Upgrade

STDOUT = 1


def supervise(words: Sequence[str]) -> int:
    """Run the app of this home until told to end. Says ``ready`` on stdout, or ``error: WHY``."""
    if len(words) != 1:
        raise UsageError("cannot supervise: the home of one app is wanted")
    path = os.path.abspath(words[0])
    home = Home(os.path.dirname(path), os.path.basename(path), served=True)
    guard_descriptors()
    try:
        if is_check():
            read_plan(f"{path}/plan.json")
            say(CAN)
            return 0
        baggage = arrived()
        if baggage:
            home.resume(baggage["lock"])
        last = {} if baggage else home.take()
        try:
            status = Supervision(home, last, baggage).run()
        except ProcmanError:
            home.fail(heirs=bool(last))
            raise
        home.leave()
        return status
    except ProcmanError as error:
        say(f"error: {error.what}")
        return 1


class Supervision:
    """One app's supervisor, and its parts. ``last``: what was killed here; ``baggage``: what made way for us."""

    def __init__(self, home: Home, last: Mapping[str, str], baggage: Baggage | None) -> None:
        self._home, self._baggage = home, baggage
        self._listener = listener_of(baggage) if baggage else listen(home.socket)
        cut_torn(home.log)
        self._store, token, loop = LogStore(home.log), token_of(identity()), Loop()
        self._scribe = Scribe(self._store)
        loop.watch(self._scribe.fileno(), self._scribe.heed)
        output = Output(NoFormat(), Sink(os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)), store=self._scribe)
        beginning = look_around(home, last, baggage, output)
        self._beginning, self._app, self._found = beginning, beginning.app, beginning.found
        self._app.store, self._app.log = self._store, lambda: log_facts(self._scribe, self._store)
        notices = baggage["app"].get("notices", ()) if baggage else ()
        self._checkups = Checkups(self._app.checks, beginning.quarters.notices, beginning.quarters.beside, notices)
        self._processes = LocalProcesses(
            self._app.command,
            token,
            prepare=self._prepare,
            pipes=make_pipes(home, beginning.pipes),
            guard=baggage["guard"] if baggage else None,
        )
        home.write({**self._app.said, **holder_of(self._found, self._processes)})
        self._supervisor = self._make_supervisor(output, loop)
        look_after(beginning.quarters, self._supervisor, self._processes)
        self._checkups.join(self._supervisor, self._processes)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        self._succession = Succession(home, token, self._supervisor, self._processes)
        self._upgrade = self._make_upgrade()
        self._orders = Orders(self._supervisor, self._app)
        self._orders.tell(self._succession)
        self._upgrade.hindrance = self._orders.hindrance

    def _prepare(self, dyno: DynoName, run: int) -> Command:
        return self._checkups.equip(dyno, run, self._app.prepare(dyno, run))

    def _make_supervisor(self, output: Output, loop: Loop) -> Supervisor:
        return Supervisor(
            Engine(self._app.profile, "none"),
            self._processes,
            output,
            loop,
            is_bound=lambda port, child: ports.is_bound(port, child.pid),
            on_end=remember(self._home, self._scribe),
            log=Witness(self._home.log, self._store.place, lambda: self._scribe.waiting > 0),
        )

    def _make_upgrade(self) -> Upgrade:
        place = os.getcwd()
        upgrade = Upgrade(self._home, self._supervisor, self._processes, place, self._scribe.close, self._pack)
        upgrade.untold = lambda: self._scribe.waiting > 0 or self._store.lost_lines > 0
        return upgrade

    def _pack(self) -> Mapping[str, Any]:
        return {**self._orders.pack(), "notices": self._checkups.pack()}

    def run(self) -> int:
        """Until told to end; returns the exit status."""
        try:
            status = self._go_on(self._baggage) if self._baggage else self._begin()
            self._succession.close()
        finally:
            self._scribe.close()
        return status

    def _begin(self) -> int:
        """With the plan, and with what a killed supervisor left."""
        formations = self._beginning.formations()
        newest, formation = formations.popitem()
        adopt = partial(self._take_over, formations, newest)
        return self._supervisor.run(formation, self._open_control, newest, adopt)

    def _go_on(self, baggage: Baggage) -> int:
        """As what we were before our program was replaced."""
        adopt = partial(go_on, baggage, self._supervisor, self._processes, self._app.ports.port_of)
        return self._supervisor.run(None, self._open_control, adopt=adopt)

    def _take_over(self, older: Mapping[int, Mapping[str, int]], newest: int) -> None:
        """Go on with what lives on: its dynos, and the formations that older generations had."""
        if self._found.dynos:
            taken = list_words(entry.dyno for entry in self._found.dynos)
            self._supervisor.output.say(None, f"Took over {taken}")
        self._succession.adopt(self._found, self._app.ports.port_of)
        self._succession.restore(older, newest)

    def _open_control(self) -> None:
        """Every dyno has been asked for."""
        self._succession.keep_books(self._scribe.do)
        self._serve()
        if not self._baggage:
            say("ready")

    def _serve(self) -> None:
        """Go on with what was ordered before, and take orders."""
        if self._baggage:
            self._orders.unpack(self._baggage)
        elif self._found.dynos:
            self._orders.adopt(self._found)
        verbs = {**self._orders.verbs(), "upgrade": self._upgrade.upgrade}
        server = open_commands(self._supervisor, self._app, self._listener, verbs)
        self._upgrade.listen(server)
        if self._baggage:
            serve_again(self._baggage, server, self._orders.rejoin)


def look_after(quarters: Quarters, supervisor: Supervisor, processes: LocalProcesses) -> None:
    """Join the quarters to the lives in them."""
    memory = MemoryWatch(
        supervisor.loop, supervisor.output.say, lambda child: processes.kill([child]), processes.members
    )
    quarters.watch(memory)
    processes.group_of = quarters.group_of
    supervisor.on_birth.append(quarters.move_in)
    supervisor.on_death.append(quarters.die)
    supervisor.on_emptied.append(quarters.move_out)


def say(words: str) -> None:
    """One line to whoever started us, and no more after it."""
    try:
        os.write(STDOUT, words.encode("utf-8", "replace") + b"\n")
    except OSError:
        pass  # it has gone
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, STDOUT)
    os.close(null)
