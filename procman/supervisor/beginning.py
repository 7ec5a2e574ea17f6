"""What a served app's supervisor finds before it runs anything: a plan, and what lives on of one before it."""

import os
from time import time

from procman.errors import ProcmanError
from procman.logs.output import Output
from procman.supervisor import ports
from procman.supervisor.adoption import find
from procman.supervisor.baggage import Baggage, lives_in, pipes_in
from procman.supervisor.home import Home
from procman.supervisor.ledger import Ledger
from procman.supervisor.quarters import Quarters
from procman.supervisor.served_app import ServedApp, formation_of, read_plan
from procman.supervisor.starter_isolation import Isolation
from procman.supervisor.starter_probe import capabilities
from procman.supervisor.sweep import identity
from procman.typed import Mapping, NamedTuple, Sequence


class Beginning(NamedTuple):
    """``found``: what a killed supervisor left. ``pipes``: log pipes that are in use."""

    app: ServedApp
    quarters: Quarters
    found: Ledger
    pipes: Sequence[str]

    def formations(self) -> dict[int, Mapping[str, int]]:
        """By generation, the newest last: what lives on as it was, or else what the plan says.

        The newest is as the plan has it, but for one in the middle of its rollout: what waits for the old still waits.
        """
        plan = self.app.read()
        told = {int(number): formation for number, formation in self.found.facts.get("formations", {}).items()}
        alive = {entry.dyno.generation for entry in self.found.dynos if entry.dyno not in self.app.one_offs}
        formations = {number: told[number] for number in sorted(alive & told.keys())}
        if not formations:
            return {plan.generation: formation_of(plan)}
        newest = max(formations)
        if newest == plan.generation and (newest == self.app.settled() or len(formations) == 1):
            formations[newest] = formation_of(plan)
        return formations


def look_around(home: Home, last: Mapping[str, str], baggage: Baggage | None, output: Output) -> Beginning:
    """Read the plan, find what lives on, and clear up what does not."""
    plan = read_plan(f"{home.path}/plan.json")
    isolation = try_isolation(f"{home.path}/dynos", plan.mount)
    quarters = Quarters(f"{home.path}/dynos", isolation, hidden(home.path), lambda words: output.say(None, words))
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


def try_isolation(dynos: str, mount: str | None) -> Isolation:
    """How dynos can be kept apart on this host. Raises ProcmanError when that cannot be tried."""
    try:
        return capabilities(dynos, mount)
    except OSError as error:
        raise ProcmanError(f"cannot try in {dynos} how dynos can be kept apart: {error.strerror}") from None


def hidden(home: str) -> tuple[str, ...]:
    """What of ours an isolated dyno shall not see: the server's data, in which the home lies."""
    apps = os.path.dirname(home)
    return (os.path.dirname(apps),) if os.path.basename(apps) == "apps" else (home,)
