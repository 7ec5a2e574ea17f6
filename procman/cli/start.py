"""`procman start`: composes a supervisor, for this terminal or detached. It wires rooms and decides nothing."""

import os
from time import time

from procman.cli.chain import end_with_npm
from procman.cli.environment import callers
from procman.cli.local_app import LocalApp
from procman.cli.options import OPTIONS, Given
from procman.cli.process import guard_descriptors, remember
from procman.cli.reception import postpone
from procman.cli.settings import Settings, resolve
from procman.control.sockets import bind
from procman.core.engine import Engine
from procman.core.formation import wanted_dynos
from procman.errors import ProcmanError, UsageError
from procman.lean import partial
from procman.logs.formats import HerokuFormat, JsonFormat, LogFormat, NoFormat, TextFormat
from procman.logs.output import Output
from procman.logs.scribe import Scribe
from procman.logs.sink import Sink
from procman.logs.store import LogStore
from procman.supervisor import ports
from procman.supervisor.bounds import Confinement, place_of
from procman.supervisor.home import AlreadyRunning, Home, apps_dir, default_name
from procman.supervisor.loop import Loop
from procman.supervisor.processes import LocalProcesses
from procman.supervisor.supervisor import Supervisor
from procman.supervisor.sweep import identity, sweep, token_of
from procman.supervisor.terminal import get_size
from procman.typed import TYPE_CHECKING, Callable, Mapping

if TYPE_CHECKING:
    from procman.cli.outliving import Outliving
    from procman.cli.upgrading import Resumption

STDOUT = 1


def start(given: Given) -> int:
    """Run the app's formation until it ends or is told to; returns the exit status."""
    if any("." in word for word in given.arguments):
        from procman.cli.operate import start_in
        from procman.cli.request import home_of

        return start_in(home_of(given), given)  # a dyno by its name: of one that runs
    resumes = os.environ.pop("PROCMAN_RESUME", "")
    environ = callers(os.environ)
    given = anchored(given)
    app = LocalApp(resolve(given, environ), environ, lambda: resolve(given, environ))
    settings = app.settings
    home = Home(apps_dir(environ), settings.name or default_name(app.app.root, settings.procfile))
    guard_descriptors()
    if settings.watch:
        from procman.supervisor.watch import check_installed

        check_installed()
    if resumes:
        from procman.cli.upgrading import resume

        return resume(resumes, app, home)
    try:
        last = home.take()
    except AlreadyRunning as error:
        return hand_over(home, given, error)
    swept, heirs = clear_up(app, home, last)
    try:
        app.check_ports(app.app.formation)
        os.chdir(app.app.root)
        if not settings.detach:
            refuse_waiting(given)
            return supervise(app, home, swept)
        from procman.cli.detach import detach

        detach(home, lambda ready: supervise(app, home, swept, ready, heirs))
    except ProcmanError:
        home.fail(bool(heirs and heirs.has_any()))
        raise
    return tell_detached(home, given)


def anchored(given: Given) -> Given:
    """The app root made absolute: it is looked up again at a reload, from inside of it."""
    root = given.fields.get("app_root")
    if not isinstance(root, str) or root.startswith("~"):
        return given
    return given._replace(fields={**given.fields, "app_root": os.path.abspath(root)})


def clear_up(app: LocalApp, home: Home, last: dict[str, str]) -> tuple[str, "Outliving | None"]:
    """End what a killed supervisor left, and say how much that was; or go on with it, if we are detached as it was."""
    if not app.settings.detach and "holder" not in last and not os.path.exists(home.ledger):
        return sweep(last), None
    from procman.cli import outliving  # and JSON with it: not for a formation in a terminal

    return outliving.clear_up(app, home, last)


def supervise(
    app: LocalApp,
    home: Home,
    swept: str,
    ready: Callable[[], None] | None = None,
    heirs: "Outliving | None" = None,
    resumed: "Resumption | None" = None,
) -> int:
    """Wire the supervisor and let it run. ``ready``, if somebody waits for that, is called once it can be reached.

    ``heirs``: its dynos shall outlive it if it is killed, and it may have some of another's to go on with.
    ``resumed``: it is the new program of one that has run till now.
    """
    me, since = identity(), app.said.get("since") or f"{time():.3f}"
    app.said = {**me, "name": home.name, "root": app.app.root, "socket": home.socket, "since": since}
    home.write({**app.said, **(heirs.held() if heirs else {})})
    settings = app.settings
    terminal = os.isatty(STDOUT)
    tty = settings.tty if settings.tty is not None else terminal and settings.log_format == "text"
    log_format = make_format(settings, app, terminal)
    window = partial(window_beside, log_format.prefix_width() if isinstance(log_format, TextFormat) else 0)
    split, pipes = settings.log_format == "json", heirs.pipes() if heirs else None
    bounds = Confinement(place_of(home), app.command, app.bounds)
    equip, guard = app.look_after(bounds, home), resumed.guard if resumed else None
    processes = LocalProcesses(app.command, token_of(me), tty, split, window, equip, pipes, guard)
    app.store = LogStore(home.log)
    app.scribe = scribe = Scribe(app.store)
    output = Output(log_format, Sink(STDOUT), settings.quiet, store=scribe)
    if swept:
        output.say(None, swept)
    loop = Loop()
    loop.watch(scribe.fileno(), scribe.heed)
    supervisor = Supervisor(
        Engine(app.profile, settings.exit_with),
        processes,
        output,
        loop,
        is_bound=lambda port, child: ports.is_bound(port, child.pid),
        window=window if terminal and tty else None,
        on_end=remember(home, scribe),
        log=heirs.witness() if heirs else None,
    )
    app.join(supervisor, processes)
    adopt = heirs.join(supervisor, processes, token_of(me)) if heirs else lambda: None
    adopt = partial(resumed.adopt, app, supervisor, processes) if resumed else adopt

    trouble: list[ProcmanError] = []

    def open_control() -> None:
        if heirs:
            heirs.begin(supervisor, scribe.do)  # before all else: killed without books, it would have left them nothing
        try:
            listener = resumed.listener if resumed else bind(home.socket)
        except ProcmanError as error:  # what runs already is not left to itself
            trouble.append(error)
            supervisor.shut_down(1, error.what)
            return
        if not settings.detach:
            end_with_npm(supervisor, os.environ)
        serve = partial(receive, app, home, supervisor, processes, scribe, listener, resumed, ready)
        postpone(loop, listener, serve, at_once=bool(ready or resumed))

    try:
        status = supervisor.run(None if resumed else app.app.formation, open_control, adopt=adopt)
        if heirs:
            heirs.close()
        bounds.close()
    finally:
        scribe.close()
    home.leave()  # not if we broke down: then there are dynos that the next one has to know of
    if trouble:
        raise trouble[0]
    return status


def receive(
    app: LocalApp,
    home: Home,
    supervisor: Supervisor,
    processes: LocalProcesses,
    scribe: Scribe,
    listener: int,
    resumed: "Resumption | None",
    ready: Callable[[], None] | None,
) -> None:
    """Serve whoever knocks, and do what else could wait until now."""
    from procman.cli import upgrading  # and with it sockets and JSON, which cost 10 ms

    upgrading.serve(app, home, supervisor, processes, scribe, listener, resumed)
    if app.bounded:
        app.bounded.sweep()
    heed_others(supervisor, processes, app)
    if ready:
        ready()


def heed_others(supervisor: Supervisor, processes: LocalProcesses, app: LocalApp) -> None:
    """From now on, who else has a say: files that change, systemd."""
    if app.settings.watch:
        from procman.cli.watching import watch

        watch(supervisor, processes, app)
    if "NOTIFY_SOCKET" in os.environ:
        from procman.supervisor.notify import notify

        notify(supervisor, os.environ)


def window_beside(margin: int) -> tuple[int, int]:
    """Rows and columns that a dyno has of our terminal: what the prefix leaves."""
    rows, columns = get_size(STDOUT)
    return rows, max(columns - margin, 20)


def hand_over(home: Home, given: Given, error: ProcmanError) -> int:
    """The app runs already. Types that were named are started in it; otherwise that is a refusal."""
    if not given.arguments:
        raise error
    from procman.cli.operate import start_in
    from procman.cli.target import NO_SUPERVISOR

    try:
        return start_in(home, given)
    except ProcmanError as refusal:
        raise error if refusal.exit_code == NO_SUPERVISOR else refusal from None  # it is only just starting


def refuse_waiting(given: Given) -> None:
    """A start that stays in this terminal never returns while its dynos are up."""
    for option in OPTIONS["start"]:
        if option.name in ("wait", "wait_timeout", "json") and given.fields.get(option.name):
            raise UsageError(
                f"cannot use {option.label} in the foreground: it answers when dynos have been started",
                f"procman start --detach {option.label}",
            )


def tell_detached(home: Home, given: Given) -> int:
    """Say that the formation runs, once that or, if it was asked for, once its dynos are up."""
    from procman.cli.listing import emit, emit_json
    from procman.cli.request import ask_at, waiting

    wish, as_json = waiting(given), bool(given.fields.get("json"))
    if not as_json:
        emit(f"{home.name} runs; its socket is {home.socket}")
    facts = {"name": home.name, "socket": home.socket, "pid": int(home.facts().get("pid", 0))}
    answer = ask_at(home, "wait", **wish) if wish["wait"] else {"ok": True}
    if as_json:
        emit_json({**answer, **facts})
    return 0


def make_format(settings: Settings, app: LocalApp, terminal: bool) -> LogFormat:
    """The log format asked for; text in colour where that is wanted and can be seen."""
    if settings.detach:
        return NoFormat()
    if settings.log_format == "json":
        return JsonFormat()
    if settings.log_format == "heroku":
        return HerokuFormat()
    width = max(len(label) for label in ("procman", *map(str, wanted_dynos(app.app.formation))))
    if not wants_color(settings.color, app.app.env, terminal):
        return TextFormat(width, settings.timestamps, settings.prefix)
    from procman.logs.palette import palette

    return TextFormat(width, settings.timestamps, settings.prefix, palette(app.types()))


def wants_color(asked: bool | None, environ: Mapping[str, str], terminal: bool) -> bool:
    """Flag, then NO_COLOR (no-color.org), then FORCE_COLOR, then whether a capable terminal looks on."""
    if asked is not None:
        return asked
    if environ.get("NO_COLOR"):
        return False
    if environ.get("FORCE_COLOR", "0") not in ("", "0"):
        return True
    return terminal and environ.get("TERM") != "dumb"
