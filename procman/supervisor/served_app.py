"""An app as a server has it run: what its dynos are, by generation, out of plans."""

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple, NoReturn

from procman.core.health import Checks, held_to
from procman.core.model import WEB, DynoName, Profile
from procman.core.plan import Limits, Plan
from procman.core.restart import NAMED
from procman.errors import ProcmanError
from procman.formats.plan import decode, encode
from procman.logs.store import LogStore
from procman.supervisor.child import Command
from procman.supervisor.ends import Io
from procman.supervisor.ledger import Entry, remove, write
from procman.supervisor.port_book import PortBook
from procman.supervisor.quarters import Quarters

MOST_BYTES = 16 << 20  # of a plan
PS1 = r"\[\033[01;34m\]\w\[\033[00m\] \[\033[01;32m\]$ \[\033[00m\]"  # Heroku: on attached one-off dynos


class OneOff(NamedTuple):
    """A one-off dyno. ``plan``: what it is made of. ``env``: on top of that. ``ttl``: seconds it may live."""

    plan: Plan
    command: str
    env: Mapping[str, str]
    io: Io = Io.LOG
    window: tuple[int, int] | None = None
    ttl: float | None = None


class ServedApp:
    """One app. ``plans``: those of the generations that there are. ``trial``: the generation that has to prove itself,
    so that a dyno of it is not tried again. ``log``: how the writing of its log goes.
    """

    def __init__(self, folder: str, plan: Plan, quarters: Quarters, taken: Callable[[], Collection[int]]) -> None:
        self.folder = folder
        self.plans: dict[int, Plan] = {}
        self.one_offs: dict[DynoName, OneOff] = {}
        self.trial: int | None = None
        self.ports = PortBook(*plan.ports, taken)
        self.said: dict[str, Any] = {}
        self.store: LogStore | None = None
        self.log: Callable[[], Mapping[str, Any]] = dict
        self._quarters = quarters
        self.admit(plan)

    @property
    def newest(self) -> Plan:
        """The plan of the newest generation."""
        return self.plans[max(self.plans)]

    def read(self, name: str = "plan.json") -> Plan:
        """A plan out of the app's home. Raises ProcmanError for what is none."""
        return read_plan(f"{self.folder}/{name}")

    def admit(self, plan: Plan) -> None:
        """From now on its generation is what this plan says."""
        self.plans[plan.generation] = plan
        self.ports.move(*plan.ports)
        self._file(plan)

    def add_one_off(self, dyno: DynoName, one_off: OneOff) -> None:
        """There is this one too."""
        self.one_offs[dyno] = one_off
        if dyno.generation not in self.plans:
            self._file(one_off.plan)

    def entry(self, dyno: DynoName) -> dict[str, Any]:
        """What the next supervisor has to know of a dyno."""
        one_off = self.one_offs.get(dyno)
        return {"port": self.ports.port_of(dyno), "one_off": one_off.command if one_off else None}

    def can_restore(self, entry: Entry) -> bool:
        """Whether what the last supervisor wrote of a dyno is all it takes to go on with it; then it is taken in."""
        dyno, port, command = entry.dyno, entry.more.get("port"), entry.more.get("one_off")
        plan = self.plans.get(dyno.generation)
        try:
            plan = plan or read_plan(self._filed(dyno.generation))
        except ProcmanError:
            return False
        if command is not None:
            self.one_offs[dyno] = OneOff(plan, command, {})
        else:
            self.plans[dyno.generation] = plan
        if port is not None:
            self.ports.keep(dyno, port)
        return True

    def pack(self) -> dict[str, Any]:
        """All of it that no file tells, for another program to go on with."""
        one_offs = [
            [dyno, encode(one_off.plan).decode(), one_off.command, one_off.io.value]
            for dyno, one_off in self.one_offs.items()
        ]
        ports = [[dyno, self.ports.port_of(dyno)] for dyno in self.ports.dynos()]
        return {"plans": [encode(plan).decode() for plan in self.plans.values()], "one_offs": one_offs, "ports": ports}

    def unpack(self, row: Mapping[str, Any]) -> None:
        """Go on with that."""
        self.plans = {plan.generation: plan for plan in map(decode_text, row["plans"])}
        self.ports.move(*self.newest.ports)
        for dyno, plan, command, io in row["one_offs"]:
            self.one_offs[DynoName(*dyno)] = OneOff(decode_text(plan), command, {}, Io(io))
        for dyno, port in row["ports"]:
            self.ports.keep(DynoName(*dyno), port)

    def settled(self) -> int | None:
        """The generation that was last in use, of this app's whole life here."""
        try:
            with open(f"{self.folder}/settled", encoding="ascii") as file:
                return int(file.read())
        except (OSError, ValueError):
            return None

    def settle(self, generation: int) -> None:
        """That one is in use now."""
        write(f"{self.folder}/settled", f"{generation}\n".encode())

    def _file(self, plan: Plan) -> None:
        """Keep a plan for the next supervisor: the server's file may tell of another generation by then."""
        os.makedirs(f"{self.folder}/plans", mode=0o700, exist_ok=True)
        write(self._filed(plan.generation), encode(plan))

    def _filed(self, generation: int) -> str:
        return f"{self.folder}/plans/{generation}.json"

    def withdraw(self, generation: int) -> None:
        """That one came to nothing, unless it is all there is."""
        if len(self.plans) > 1:
            self.plans.pop(generation, None)

    def forget_others(self, generations: Collection[int], dynos: Collection[DynoName]) -> None:
        """There are only these generations and dynos."""
        kept = {*generations, *(dyno.generation for dyno in dynos), max(self.plans)}
        for number in self.plans.keys() - kept:
            remove(self._filed(number))
        self.plans = {number: plan for number, plan in self.plans.items() if number in kept}
        self.one_offs = {dyno: one_off for dyno, one_off in self.one_offs.items() if dyno in dynos}
        self.ports.forget_others(dynos)

    def plan_of(self, dyno: DynoName) -> Plan:
        """What a dyno is made of."""
        one_off = self.one_offs.get(dyno)
        return one_off.plan if one_off else self.plans[dyno.generation]

    def limits(self, dyno: DynoName) -> Limits | None:
        """What it may use. A one-off dyno may as much as the type it is called after, or else as any other."""
        types = self.plan_of(dyno).types
        kind = types.get(dyno.process_type) or next(iter(types.values()), None)
        return kind.limits if kind else None

    def profile(self, dyno: DynoName) -> Profile:
        """What a dyno is held to."""
        plan = self.plan_of(dyno)
        policy = NAMED[plan.policy]
        if dyno.generation == self.trial:
            policy = policy._replace(name="rollout", limit=0)
        one_off = dyno in self.one_offs
        kind = plan.types.get(dyno.process_type)
        profile = Profile(
            policy,
            plan.grace,
            plan.boot_timeout if dyno.process_type == WEB and not one_off else None,
            one_off=one_off,
            cycle=plan.app_id if plan.cycle else None,
            needs=kind.needs if kind and not one_off else (),
        )
        return held_to(profile, self.checks(dyno))

    def checks(self, dyno: DynoName) -> Checks | None:
        """How the health of a dyno is found out."""
        kind = None if dyno in self.one_offs else self.plan_of(dyno).types.get(dyno.process_type)
        return kind.checks if kind else None

    def command(self, dyno: DynoName) -> Command:
        """What the dyno runs, for whoever wants to know. A type that has left the plan keeps no command."""
        port = self.ports.port_of(dyno)
        return Command(self._text(dyno), {"PORT": str(port)} if port else {}, "/bin/bash")

    def prepare(self, dyno: DynoName, run: int) -> Command:
        """Make ready what a run needs. Raises OSError."""
        plan, one_off = self.plan_of(dyno), self.one_offs.get(dyno)
        port, text = self.ports.lend(dyno), self._text(dyno)
        env = dict(plan.env)
        if one_off:
            env |= {"PS1": PS1} if one_off.io is Io.TERMINAL else {}
            env |= one_off.env
        argv, env = self._quarters.furnish(dyno, run, plan, self.limits(dyno), text, env, port)
        io, window = (one_off.io, one_off.window) if one_off else (None, None)
        return Command(text, env, "/bin/bash", argv, io, window)

    def types(self) -> Sequence[str]:
        """Process types in the plan's order."""
        return list(self.newest.types)

    def facts(self) -> Mapping[str, Any]:
        """What is said of the formation as a whole."""
        return {**self.said, "generation": self.newest.generation, "log": self.log()}

    def log_position(self) -> Sequence[int]:
        """Where the log's next line will stand."""
        return tuple(self.store.place()) if self.store else ()

    def check_ports(self, formation: Mapping[str, int]) -> None:
        """Every dyno finds a port, or says so."""

    def reload(self, formation: Mapping[str, int]) -> NoReturn:
        """The server says what runs."""
        raise ProcmanError("cannot reload: this app's plan is its server's", "a deploy, or procman scale")

    def _text(self, dyno: DynoName) -> str:
        if one_off := self.one_offs.get(dyno):
            return one_off.command
        kind = self.plans[dyno.generation].types.get(dyno.process_type)
        return kind.command if kind else ""


def decode_text(text: str) -> Plan:
    """A plan that was encoded here."""
    return decode(text.encode())


def formation_of(plan: Plan) -> dict[str, int]:
    """Quantities by type: never none at all, which would mean that the generation is given up."""
    return {name: kind.quantity for name, kind in plan.types.items()} or {WEB: 0}


def read_plan(path: str) -> Plan:
    """A plan out of a file. Raises ProcmanError for what is none."""
    name = os.path.basename(path)
    try:
        with open(path, "rb") as file:
            text = file.read(MOST_BYTES + 1)
        if len(text) > MOST_BYTES:
            raise ValueError(f"over {MOST_BYTES >> 20} MiB")
        return decode(text)
    except OSError as error:
        raise ProcmanError(f"cannot read {name}: {error.strerror}") from None
    except ValueError as error:
        raise ProcmanError(f"cannot use {name}: {error}") from None
