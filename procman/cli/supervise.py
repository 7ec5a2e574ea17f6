"""`procman supervise HOME`: what a server starts for each app. It wires rooms, decides nothing, and is in no help."""

import os
import signal
from collections.abc import Sequence
from time import time

from procman.cli.start import guard_descriptors, remember
from procman.core.engine import Engine
from procman.errors import ProcmanError, UsageError
from procman.logs.formats import NoFormat
from procman.logs.output import Output
from procman.logs.scribe import Scribe
from procman.logs.sink import Sink
from procman.logs.store import LogStore
from procman.supervisor import ports
from procman.supervisor.commands import open_commands
from procman.supervisor.home import Home
from procman.supervisor.loop import Loop
from procman.supervisor.memory import MemoryWatch
from procman.supervisor.one_offs import OneOffs
from procman.supervisor.processes import LocalProcesses
from procman.supervisor.quarters import Quarters
from procman.supervisor.rollouts import Rollouts
from procman.supervisor.served_app import ServedApp, formation_of, read_plan
from procman.supervisor.starter_probe import capabilities
from procman.supervisor.states import States
from procman.supervisor.supervisor import Supervisor
from procman.supervisor.sweep import identity, sweep, token_of

STDOUT = 1


def supervise(words: Sequence[str]) -> int:
    """Run the app of this home until told to end. Says ``ready`` on stdout, or ``error: WHY``."""
    if len(words) != 1:
        raise UsageError("cannot supervise: the home of one app is wanted")
    path = os.path.abspath(words[0])
    home = Home(os.path.dirname(path), os.path.basename(path), served=True)
    guard_descriptors()
    try:
        left = home.take()
        try:
            return keep(home, sweep(left))
        finally:
            home.leave()
    except ProcmanError as error:
        say(f"error: {error.what}")
        return 1


def keep(home: Home, swept: str) -> int:
    """Wire the supervisor and let it run."""
    plan = read_plan(f"{home.path}/plan.json")
    me = identity()
    store = LogStore(home.log)
    scribe = Scribe(store)
    output = Output(NoFormat(), Sink(os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)), store=scribe)
    dynos = f"{home.path}/dynos"
    isolation = capabilities(dynos, plan.mount)
    quarters = Quarters(dynos, isolation, hidden(home.path), lambda words: output.say(None, words))
    app = ServedApp(home.path, plan, quarters, lambda: ports.listeners().keys())
    app.store = store
    app.said = {**me, "name": home.name, "root": plan.directory, "socket": home.socket, "since": f"{time():.3f}"}
    home.write(app.said)
    processes = LocalProcesses(app.command, token_of(me), prepare=app.prepare)
    loop = Loop()
    loop.watch(scribe.fileno(), scribe.heed)
    supervisor = Supervisor(
        Engine(app.profile, "none"),
        processes,
        output,
        loop,
        is_bound=lambda port, child: ports.is_bound(port, child.pid),
        on_end=remember(home, scribe),
    )
    quarters.sweep()
    quarters.watch(MemoryWatch(loop, output.say, lambda child: processes.kill([child]), processes.members))
    supervisor.on_birth.append(quarters.move_in)
    supervisor.on_death.append(quarters.die)
    supervisor.on_emptied.append(quarters.move_out)
    for line in (swept, isolation.words()):
        if line:
            output.say(None, line)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)

    def open_control() -> None:
        rollouts = Rollouts(supervisor, app, None)
        states = States(supervisor, app, rollouts)
        verbs = {
            "apply": rollouts.apply,
            "switch": rollouts.switch,
            "abandon": rollouts.abandon,
            "states": states.follow,
            "run": OneOffs(supervisor, app).run,
        }
        open_commands(supervisor, app, home.socket, verbs)
        say("ready")

    try:
        return supervisor.run(formation_of(plan), open_control, plan.generation)
    finally:
        scribe.close()


def hidden(home: str) -> tuple[str, ...]:
    """What of ours an isolated dyno shall not see: the server's data, in which the home lies."""
    apps = os.path.dirname(home)
    return (os.path.dirname(apps),) if os.path.basename(apps) == "apps" else (home,)


def say(words: str) -> None:
    """One line to whoever started us, and no more after it."""
    try:
        os.write(STDOUT, words.encode("utf-8", "replace") + b"\n")
    except OSError:
        pass  # it has gone
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, STDOUT)
    os.close(null)
