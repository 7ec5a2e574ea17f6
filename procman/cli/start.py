"""`procman start`: composes a supervisor for this terminal. It wires rooms together and decides nothing."""

import os
import sys
from collections.abc import Mapping

from procman.cli.app import App, load
from procman.cli.environment import dyno_env, shell
from procman.cli.options import Given
from procman.cli.settings import Settings, resolve
from procman.core.engine import Engine
from procman.core.formation import port_of, wanted_dynos
from procman.core.model import RELEASE, WEB, DynoName, Profile, profile_of
from procman.errors import ProcmanError
from procman.logs.formats import HerokuFormat, JsonFormat, LogFormat, TextFormat
from procman.logs.output import Output
from procman.logs.palette import palette
from procman.logs.sink import Sink
from procman.supervisor import ports
from procman.supervisor.loop import Loop
from procman.supervisor.processes import Command, LocalProcesses
from procman.supervisor.supervisor import Supervisor
from procman.supervisor.sweep import Mark, identity, state_dir, token_of
from procman.supervisor.terminal import get_size

STDOUT = 1
LAST_PORT = 65_535


def start(given: Given) -> int:
    """Run the app's formation in the foreground until it ends or is told to; returns the exit status."""
    environ = dict(os.environ)
    settings = resolve(given, environ)
    app = load(settings, environ)
    guard_descriptors()
    mark = Mark(state_dir(environ))
    swept = mark.sweep()
    order = port_order(app)
    check_ports(app, order)
    os.chdir(app.root)
    mark.set()
    try:
        return supervise(settings, app, order, swept)
    finally:
        mark.remove()


def supervise(settings: Settings, app: App, order: list[str], swept: list[tuple[str, int]]) -> int:
    """Wire the supervisor and let it run."""
    terminal = os.isatty(STDOUT)
    tty = settings.tty if settings.tty is not None else terminal and settings.log_format == "text"
    log_format = make_format(settings, app, terminal)
    margin = log_format.prefix_width() if isinstance(log_format, TextFormat) else 0

    def window() -> tuple[int, int]:
        rows, columns = get_size(STDOUT)
        return rows, max(columns - margin, 20)

    commands = dict(app.processes)
    program = shell()
    base = {**app.env, "NO_COLOR": app.env.get("NO_COLOR", "1")} if settings.color is False else app.env

    def command(dyno: DynoName) -> Command:
        return Command(commands[dyno.process_type], dyno_env(base, dyno, order, app.base_port), program)

    processes = LocalProcesses(
        command, token_of(identity()), tty, split_streams=settings.log_format == "json", window=window
    )
    output = Output(log_format, Sink(STDOUT), settings.quiet)
    for pid, count in swept:
        what = "process" if count == 1 else "processes"
        output.say(None, f"Ended {count} {what} that an earlier procman (pid {pid}) left behind")


    def profile(process_type: str) -> Profile:
        policy = settings.restart.get(process_type, settings.restart["*"])
        return profile_of(process_type, policy, settings.grace.get(process_type, settings.grace.get("*")))

    supervisor = Supervisor(
        Engine(profile, settings.exit_with),
        processes,
        output,
        Loop(),
        is_bound=lambda port, child: ports.is_bound(port, child.pid),
        window=window if tty else None,
    )
    return supervisor.run(app.formation)


def make_format(settings: Settings, app: App, terminal: bool) -> LogFormat:
    """The log format asked for; text in colour where that is wanted and can be seen."""
    if settings.log_format == "json":
        return JsonFormat()
    if settings.log_format == "heroku":
        return HerokuFormat()
    width = max(len(label) for label in ("procman", *map(str, wanted_dynos(app.formation))))
    types = [name for name, _ in app.processes]
    colour = palette(types) if wants_color(settings.color, app.env, terminal) else None
    return TextFormat(width, settings.timestamps, settings.prefix, colour)


def wants_color(asked: bool | None, environ: Mapping[str, str], terminal: bool) -> bool:
    """Flag, then NO_COLOR (no-color.org), then FORCE_COLOR, then whether a capable terminal looks on."""
    if asked is not None:
        return asked
    if environ.get("NO_COLOR"):
        return False
    if environ.get("FORCE_COLOR", "0") not in ("", "0"):
        return True
    return terminal and environ.get("TERM") != "dumb"


def port_order(app: App) -> list[str]:
    """Process types in the order of their hundreds of ports: the Procfile's, but release last, which binds none."""
    types = [name for name, _ in app.processes]
    return [name for name in types if name != RELEASE] + [name for name in types if name == RELEASE]


def check_ports(app: App, order: list[str]) -> None:
    """Refuse to start when a dyno that will use its port cannot have it; names who holds it."""
    commands = dict(app.processes)
    needed = {
        port_of(dyno, order, app.base_port): dyno
        for dyno in wanted_dynos(app.formation)
        if dyno.process_type == WEB or "PORT" in commands[dyno.process_type]
    }
    if not needed:
        return
    if max(needed) > LAST_PORT:
        raise ProcmanError(
            f"cannot give {needed[max(needed)]} a port: {max(needed)} is over {LAST_PORT}", "choose a lower --port"
        )
    taken = ports.listeners()
    for port, dyno in needed.items():
        if port in taken:
            raise ProcmanError(
                f"cannot start {dyno}: port {port} is taken by {ports.holder(taken[port])}",
                f"procman start --port {app.base_port + 1000 if app.base_port < 60_000 else 5000}",
            )


def guard_descriptors() -> None:
    """Descriptors 0 to 2 exist, and dynos inherit no other that our own caller left open."""
    while (fd := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(fd, True)
    os.close(fd)
    try:
        inherited = [int(name) for name in os.listdir("/dev/fd")]
    except OSError:
        inherited = list(range(3, 256))
    for fd in inherited:
        if fd > 2:
            try:
                os.set_inheritable(fd, False)
            except OSError:
                continue
    sys.stdout.flush()


def plural(count: int, noun: str, ending: str = "s") -> str:
    """A count with its noun: "1 process", "2 processes"."""
    return f"{count} {noun}{'' if count == 1 else ending}"
