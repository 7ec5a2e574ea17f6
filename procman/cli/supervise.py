"""`procman supervise HOME`: what a server starts for each app. It wires rooms, decides nothing, and is in no help."""

import os
import signal
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from time import time
from typing import NamedTuple

from procman.cli.process import guard_descriptors, remember
from procman.core.engine import Engine
from procman.core.formation import list_words
from procman.errors import ProcmanError, UsageError
from procman.logs.formats import NoFormat
from procman.logs.output import Output
from procman.logs.scribe import Scribe
from procman.logs.sink import Sink
from procman.logs.store import LogStore
from procman.supervisor import ports
from procman.supervisor.adoption import Succession, find, holder_of, make_pipes
from procman.supervisor.baggage import CAN, Baggage, arrived, is_check, lives_in, pipes_in
from procman.supervisor.checkups import Checkups
from procman.supervisor.commands import Serve, open_commands
from procman.supervisor.home import Home
from procman.supervisor.ledger import Ledger
from procman.supervisor.loop import Loop
from procman.supervisor.memory import MemoryWatch
from procman.supervisor.one_offs import OneOffs
from procman.supervisor.owed import Witness, cut_torn
from procman.supervisor.processes import LocalProcesses
from procman.supervisor.quarters import Quarters
from procman.supervisor.resumption import go_on, listener_of, serve_again
from procman.supervisor.rollouts import Rollouts
from procman.supervisor.served_app import ServedApp, formation_of, read_plan
from procman.supervisor.starter_probe import capabilities
from procman.supervisor.states import States
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
            status = keep(home, last, baggage)
        except ProcmanError:
            home.fail(heirs=bool(last))
            raise
        home.leave()
        return status
    except ProcmanError as error:
        say(f"error: {error.what}")
        return 1


class Beginning(NamedTuple):
    """What is there before anything runs. ``found``: what a killed supervisor left; ``pipes``: that are in use."""

    app: ServedApp
    quarters: Quarters
    found: Ledger
    pipes: Sequence[str]


def look_around(home: Home, last: Mapping[str, str], baggage: Baggage | None, output: Output) -> Beginning:
    """Read the plan, find what lives on, and clear up what does not."""
    plan = read_plan(f"{home.path}/plan.json")
    dynos = f"{home.path}/dynos"
    try:
        isolation = capabilities(dynos, plan.mount)
    except OSError as error:
        raise ProcmanError(f"cannot try in {dynos} how dynos can be kept apart: {error.strerror}") from None
    quarters = Quarters(dynos, isolation, hidden(home.path), lambda words: output.say(None, words))
    app = ServedApp(home.path, plan, quarters, lambda: ports.listeners().keys())
    told = {"name": home.name, "root": plan.directory, "socket": home.socket, "since": f"{time():.3f}"}
    app.said = {**identity(), **told}
    found, swept = find(home, last, app.can_restore)
    lives, pipes = [(entry.dyno, entry.run) for entry in found.dynos], found.pipes()
    if baggage:
        app.unpack(baggage["app"]["app"])
        lives, pipes = lives_in(baggage), pipes_in(baggage)
    quarters.sweep(lives, plan.cgroup)
    for dyno, run in lives:
        quarters.take_over(dyno, run, app.plan_of(dyno), app.limits(dyno))
    for line in (swept, isolation.words()):
        if line:
            output.say(None, line)
    return Beginning(app, quarters, found, pipes)


def keep(home: Home, last: Mapping[str, str], baggage: Baggage | None) -> int:
    """Wire the supervisor and let it run. ``last``: what was killed here; ``baggage``: what made way for us."""
    cut_torn(home.log)
    store, token, loop = LogStore(home.log), token_of(identity()), Loop()
    scribe = Scribe(store)
    loop.watch(scribe.fileno(), scribe.heed)
    output = Output(NoFormat(), Sink(os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)), store=scribe)
    app, quarters, found, pipes = look_around(home, last, baggage, output)
    app.store, app.log = store, lambda: log_facts(scribe, store)
    guard = baggage["guard"] if baggage else None
    arrived = baggage["app"].get("notices", ()) if baggage else ()
    checkups = Checkups(app.checks, quarters.notices, quarters.beside, arrived)
    prepare = lambda dyno, run: checkups.equip(dyno, run, app.prepare(dyno, run))  # noqa: E731
    processes = LocalProcesses(app.command, token, prepare=prepare, pipes=make_pipes(home, pipes), guard=guard)
    home.write({**app.said, **holder_of(found, processes)})
    supervisor = Supervisor(
        Engine(app.profile, "none"),
        processes,
        output,
        loop,
        is_bound=lambda port, child: ports.is_bound(port, child.pid),
        on_end=remember(home, scribe),
        log=Witness(home.log, store.place, lambda: scribe.waiting > 0),
    )
    look_after(quarters, supervisor, processes)
    checkups.join(supervisor, processes)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    succession = Succession(home, token, supervisor, processes)
    upgrade = Upgrade(home, supervisor, processes, os.getcwd(), scribe.close)
    upgrade.untold = lambda: scribe.waiting > 0 or store.lost_lines > 0
    serve_all = serve(app, supervisor, succession, upgrade, found, baggage, home)
    packed = upgrade.more
    upgrade.more = lambda: {**packed(), "notices": checkups.pack()}
    trouble: list[ProcmanError] = []

    def open_control() -> None:
        succession.keep_books(scribe.do)
        try:
            serve_all()
        except ProcmanError as error:  # what runs already is not left to itself
            trouble.append(error)
            supervisor.shut_down(1, error.what)
            return
        if not baggage:
            say("ready")

    try:
        if baggage:
            adopt = partial(go_on, baggage, supervisor, processes, app.ports.port_of)
            status = supervisor.run(None, open_control, adopt=adopt)
        else:
            formations = formations_of(app, found)
            newest, formation = formations.popitem()
            adopt = partial(take_over, app, supervisor, succession, found, formations, newest)
            status = supervisor.run(formation, open_control, newest, adopt)
        succession.close()
    finally:
        scribe.close()
    if trouble:
        raise trouble[0]
    return status


def look_after(quarters: Quarters, supervisor: Supervisor, processes: LocalProcesses) -> None:
    """Join the quarters to the lives in them."""
    memory = MemoryWatch(
        supervisor.loop, supervisor.output.say, lambda child: processes.kill([child]), processes.members
    )
    quarters.watch(memory)
    processes.grouped = quarters.members
    supervisor.on_birth.append(quarters.move_in)
    supervisor.on_death.append(quarters.die)
    supervisor.on_emptied.append(quarters.move_out)


def serve(
    app: ServedApp,
    supervisor: Supervisor,
    succession: Succession,
    upgrade: Upgrade,
    found: Ledger,
    baggage: Baggage | None,
    home: Home,
) -> Callable[[], None]:
    """The verbs that a server needs; what is returned opens the control socket, once the dynos have been started."""
    rollouts = Rollouts(supervisor, app, app.settled(), app.settle)
    states, one_offs = States(supervisor, app, rollouts), OneOffs(supervisor, app)
    succession.more = lambda child: {**app.entry(child.dyno), **one_offs.entry(child)}
    succession.facts = lambda: {"formations": supervisor.engine.formations, "ready": rollouts.ready()}
    upgrade.hindrance = rollouts.hindrance
    upgrade.more = lambda: {"app": app.pack(), "one_offs": one_offs.pack(), "ready": rollouts.ready()}
    verbs: dict[str, Serve] = {
        "apply": rollouts.apply,
        "switch": rollouts.switch,
        "abandon": rollouts.abandon,
        "states": states.follow,
        "run": one_offs.run,
        "upgrade": upgrade.upgrade,
    }

    def begin() -> None:
        if baggage:
            one_offs.unpack(baggage["app"]["one_offs"])
            rollouts.resume(app.newest, baggage["app"]["ready"])
        elif found.dynos:
            more = {(entry.dyno, entry.run): entry.more for entry in found.dynos}
            for child in supervisor.children():
                if child.inherited:
                    one_offs.adopt(child, more[child.dyno, child.run])
            rollouts.resume(app.read(), found.facts.get("ready"))
        listener = listener_of(baggage) if baggage else None
        server = open_commands(supervisor, app, home.socket, verbs, listener)
        upgrade.listen(server)
        if baggage:
            serve_again(baggage, server, one_offs.rejoin)

    return begin


def formations_of(app: ServedApp, found: Ledger) -> dict[int, Mapping[str, int]]:
    """By generation, the newest last: what lives on as it was, or else what the plan says.

    The newest is as the plan has it, but for one in the middle of its rollout: what waits for the old still waits.
    """
    plan = app.read()
    told = {int(number): formation for number, formation in found.facts.get("formations", {}).items()}
    alive = {entry.dyno.generation for entry in found.dynos if entry.dyno not in app.one_offs}
    formations = {number: told[number] for number in sorted(alive & told.keys())}
    if not formations:
        return {plan.generation: formation_of(plan)}
    newest = max(formations)
    if newest == plan.generation and (newest == app.settled() or len(formations) == 1):
        formations[newest] = formation_of(plan)
    return formations


def take_over(
    app: ServedApp,
    supervisor: Supervisor,
    succession: Succession,
    found: Ledger,
    older: Mapping[int, Mapping[str, int]],
    newest: int,
) -> None:
    """Go on with what lives on: its dynos, and the formations that older generations had."""
    if found.dynos:
        supervisor.output.say(None, f"Took over {list_words(entry.dyno for entry in found.dynos)}")
    succession.adopt(found, app.ports.port_of)
    succession.restore(older, newest)


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
