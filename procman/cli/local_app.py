"""The app as `procman start` runs it: its commands by dyno, and what changes in them when its files are read again."""

import os

from procman.cli.app import App, load
from procman.cli.environment import dyno_env, lasting, shell
from procman.cli.settings import Settings
from procman.core.formation import port_of, wanted_dynos
from procman.core.health import Checks, held_to
from procman.core.model import RELEASE, WEB, DynoName, Profile, profile_of
from procman.errors import ProcmanError
from procman.logs.scribe import Scribe
from procman.logs.store import LogStore
from procman.supervisor import ports
from procman.supervisor.bounds import Bounds, Confinement
from procman.supervisor.checkups import Checkups, notices_of
from procman.supervisor.child import Command
from procman.supervisor.home import Home
from procman.supervisor.processes import LocalProcesses
from procman.supervisor.supervisor import Supervisor
from procman.typed import TYPE_CHECKING, Any, Callable, Collection, Mapping, Sequence

if TYPE_CHECKING:
    from procman.supervisor.reload import Reload

LAST_PORT = 65_535


class LocalApp:
    """One app of this host: settings and files as they were last read. ``again`` reads the settings anew."""

    def __init__(self, settings: Settings, environ: Mapping[str, str], again: Callable[[], Settings]) -> None:
        self._environ = environ
        self._again = again
        self._program = shell()
        self._ports: list[str] = []
        self.store: LogStore | None = None
        self.scribe: Scribe | None = None
        self.present: Callable[[], Collection[DynoName]] = tuple
        self.said: dict[str, Any] = {}
        self.bounded: Confinement | None = None
        self.checkups: Checkups | None = None
        self.arrived: Sequence[Any] = ()  # sockets for dynos' notices, of an earlier program
        self.origin = working_directory() or "/"
        self._set(settings, load(settings, environ))

    def _set(self, settings: Settings, app: App) -> None:
        self.settings = settings
        self.app = app
        self._texts = dict(app.processes)
        # A type keeps its hundred of ports when others come and go; release, which binds none, comes last.
        names = sorted(self._texts, key=lambda name: name == RELEASE)
        self._ports += [name for name in names if name not in self._ports]
        self._base = {**app.env, "NO_COLOR": "1"} if settings.color is False else app.env

    def command(self, dyno: DynoName) -> Command:
        """What the dyno runs. A type that has left the Procfile keeps no command."""
        env = dyno_env(self._base, dyno, self._ports, self.app.base_port)
        return Command(self._texts.get(dyno.process_type, ""), env, self._program)

    def one_off(self) -> dict[str, Any]:
        """What a command has to know that runs beside the dynos, in the same environment."""
        app = self.app
        return {
            "root": app.root,
            "processes": self._texts,
            "env": dict(app.env),
            "types": self._ports,
            "base_port": app.base_port,
        }

    def port(self, dyno: DynoName) -> int:
        """Where the dyno is to listen."""
        return port_of(dyno, self._ports, self.app.base_port)

    def profile(self, dyno: DynoName) -> Profile:
        """What the settings hold its type to."""
        restart, grace, process_type = self.settings.restart, self.settings.grace, dyno.process_type
        policy = restart.get(process_type, restart["*"])
        profile = profile_of(process_type, policy, grace.get(process_type, grace.get("*")))
        signals = self.settings.stop_signal
        profile = profile._replace(
            stop_signal=signals.get(process_type, signals.get("*", profile.stop_signal)),
            needs=self.settings.needs.get(process_type, ()),
        )
        return held_to(profile, self.checks(dyno))

    def checks(self, dyno: DynoName) -> Checks | None:
        """How the health of a dyno of its type is found out."""
        return self.settings.health.get(dyno.process_type)

    def bounds(self, dyno: DynoName) -> Bounds:
        """What the settings allow a dyno of its type."""
        memory, limit, process_type = self.settings.memory, self.settings.limit, dyno.process_type
        limits = {**limit.get("*", {}), **limit.get(process_type, {})}
        return Bounds(memory.get(process_type, memory.get("*")), limits)

    def look_after(self, bounds: Confinement, home: Home) -> Callable[[DynoName, int], Command]:
        """Hold dynos to their bounds and have them checked; returns what makes a run ready."""
        self.bounded = bounds
        self.checkups = checkups = Checkups(self.checks, notices_of(home.path), arrived=self.arrived)
        return lambda dyno, run: checkups.equip(dyno, run, bounds.prepare(dyno, run))

    def join(self, supervisor: Supervisor, processes: LocalProcesses) -> None:
        """Whose dynos they are."""
        self.present = lambda: supervisor.engine.dynos
        for caretaker in (self.bounded, self.checkups):
            if caretaker:
                caretaker.join(supervisor, processes)

    def types(self) -> Sequence[str]:
        """Process types in the Procfile's order."""
        return list(self._texts)

    def facts(self) -> Mapping[str, Any]:
        """What is said of the formation as a whole."""
        from procman.supervisor.status import log_facts  # no start needs it

        return {**self.said, "log": log_facts(self.scribe, self.store)}

    def log_position(self) -> Sequence[int]:
        """Where the log's next line will stand."""
        return tuple(self.store.place()) if self.store else ()

    def files(self) -> Collection[str]:
        """The files that say what the app is, relative to its root."""
        named = self.settings.env_files if self.settings.env_files is not None else (".env",)
        return {self.settings.procfile, ".procman.toml", *named}

    def pack(self) -> dict[str, Any]:
        """What no file tells, for another program to go on with."""
        notices = self.checkups.pack() if self.checkups else []
        return {"ports": self._ports, "since": self.said.get("since"), "notices": notices}

    def unpack(self, row: Mapping[str, Any]) -> None:
        """Go on with that: every type keeps its ports."""
        self._ports = [*row["ports"], *(name for name in self._ports if name not in row["ports"])]
        self.said["since"] = row["since"]
        self.arrived = row.get("notices", ())

    def check_ports(self, formation: Mapping[str, int], before: Mapping[DynoName, int] | None = None) -> None:
        """Refuse when a dyno that will use its port cannot have it; names who holds it.

        ``before``: the ports of the dynos that there are, where a reload gives them others: those come free.
        """
        present = self.present()
        ports_before = before or {}
        needed = {
            port: dyno
            for dyno in wanted_dynos(formation)
            if (dyno.process_type == WEB or "PORT" in self._texts[dyno.process_type])
            and (port := self.port(dyno)) != ports_before.get(dyno, port if dyno in present else None)
        }
        if not needed:
            return
        if max(needed) > LAST_PORT:
            raise ProcmanError(
                f"cannot give {needed[max(needed)]} a port: {max(needed)} is over {LAST_PORT}", "choose a lower --port"
            )
        taken = ports.listeners()
        own = set(ports_before.values())
        for port, dyno in needed.items():
            if port in taken and port not in own:
                base = self.app.base_port
                hint = f"procman start --port {base + 1000 if base < 60_000 else 5000}"
                taker = ports.holder(taken[port])
                what = f"cannot start {dyno}: port {port} is taken by {taker}"
                raise ProcmanError(what, None if self.store else hint)  # one that runs has a log, and its ports

    def reload(self, formation: Mapping[str, int]) -> "Reload":
        """Read everything again and put it in force; a ProcmanError has changed nothing."""
        from procman.supervisor.reload import Reload  # no start needs it

        settings = self._again()
        app = load(settings, self._environ)
        if os.path.realpath(app.root) != os.path.realpath(self.app.root):
            raise ProcmanError(f"cannot reload: the app root is now {app.root}", "procman shutdown, then procman start")
        before = {name: self.essence(name) for name in self._texts}
        was, used = (self.settings, self.app), list(self._ports)
        held = {dyno: self.port(dyno) for dyno in self.present() if dyno.process_type in self._texts}
        self._set(settings, app)
        changed = frozenset(name for name in self._texts if name in before and before[name] != self.essence(name))
        quantities = {
            # What was scaled by hand stays so, unless the files ask for something else than they did.
            name: formation[name]
            if name in formation and app.formation.get(name, 0) == was[1].formation.get(name, 0)
            else app.formation.get(name, 0)
            for name in self._texts
        }
        try:
            self.check_ports(quantities, held)
        except ProcmanError:
            self._ports = used
            self._set(*was)
            raise
        return Reload(quantities, changed)

    def essence(self, process_type: str) -> tuple[object, ...]:
        """What makes a dyno of this type what it is: neighbours' ports do not."""
        dyno = DynoName(process_type, 1)
        bounds = self.bounds(dyno)
        # What has none is the same as to programs that knew of none.
        held = [found for found in (bounds if any(bounds) else None, self.checks(dyno)) if found]
        return self._texts[process_type], lasting(self._base, self.app.env_origins), self.port(dyno), *held


def working_directory() -> str:
    """Where we are; nothing when that has been removed."""
    try:
        return os.getcwd()
    except OSError:
        return ""
