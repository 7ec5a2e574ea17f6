"""`procman start`: composes a supervisor, for this terminal or detached. It wires rooms and decides nothing."""

import os
from time import time

from procman.cli.environment import NPM, callers
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
from procman.typed import TYPE_CHECKING, Callable, Mapping, NamedTuple

if TYPE_CHECKING:
    from procman.cli.outliving import Outliving
    from procman.cli.upgrading import Resumption

STDOUT = 1


def start(given: Given) -> int:
    """Run the app's formation until it ends or is told to; returns the exit status."""
    if any("." in word.partition("=")[0] for word in given.arguments):
        from procman.cli.operate import start_in
        from procman.cli.request import home_of

        return start_in(home_of(given), given)  # a dyno by its name: of one that runs
    resumes = os.environ.pop("PROCMAN_RESUME", "")
    environ = callers(os.environ)
    given = anchored(given)
    app = LocalApp(resolve(given, environ), environ, lambda: resolve(given, environ))
    settings = app.settings
    home = Home(apps_dir(environ), settings.name or default_name(app.app.root, settings.procfile))
    if settings.detach:
        from procman.cli.request import waiting

        waiting(given)  # what cannot be meant is refused before anything is started
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
    return begin(app, home, last, given)


def begin(app: LocalApp, home: Home, last: dict[str, str], given: Given) -> int:
    """The home is ours: clear up after the ``last`` one, and run, in this terminal or detached."""
    swept, heirs = clear_up(app, home, last)
    try:
        app.check_ports(app.app.formation)
        os.chdir(app.app.root)
        if not app.settings.detach:
            refuse_waiting(given)
            return supervise(app, home, swept)
        from procman.cli.detach import detach, tell_detached

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
    listener = resumed.listener if resumed else bind(home.socket)  # whoever reads a line may ask about it at once
    status = Running(app, home, swept, heirs, resumed).run(listener, ready)
    home.leave()  # not if we broke down: then there are dynos that the next one has to know of
    return status


class Running:
    """A formation that runs here, and its parts. See ``supervise``."""

    def __init__(
        self, app: LocalApp, home: Home, swept: str, heirs: "Outliving | None", resumed: "Resumption | None"
    ) -> None:
        self.app, self.home, self.heirs, self.resumed = app, home, heirs, resumed
        token = introduce(app, home, heirs)
        display = display_of(app)
        self._bounds = Confinement(place_of(home), app.command, app.bounds)
        self.processes = LocalProcesses(
            app.command,
            token,
            display.tty,
            split_streams=app.settings.log_format == "json",
            window=display.window,
            prepare=app.look_after(self._bounds, home),
            pipes=heirs.pipes() if heirs else None,
            guard=resumed.guard if resumed else None,
        )
        app.store = LogStore(home.log)
        app.scribe = self.scribe = Scribe(app.store)
        output = Output(display.log_format, Sink(STDOUT), app.settings.quiet, store=self.scribe)
        if swept:
            output.say(None, swept)
        self.supervisor = self._make_supervisor(output, display)
        app.join(self.supervisor, self.processes)
        self._succeed = heirs.join(self.supervisor, self.processes, token) if heirs else None

    def _make_supervisor(self, output: Output, display: "Display") -> Supervisor:
        loop = Loop()
        loop.watch(self.scribe.fileno(), self.scribe.heed)
        return Supervisor(
            Engine(self.app.profile, self.app.settings.exit_with),
            self.processes,
            output,
            loop,
            is_bound=lambda port, child: ports.is_bound(port, child.pid),
            window=display.window if display.is_terminal and display.tty else None,
            on_end=remember(self.home, self.scribe),
            log=self.heirs.witness() if self.heirs else None,
        )

    def run(self, listener: int, ready: Callable[[], None] | None) -> int:
        """Until it ends, or is told to; returns the exit status. ``listener``: the control socket."""
        formation = None if self.resumed else self.app.app.formation
        if NPM in os.environ and not self.app.settings.detach:
            from procman.cli.chain import end_with_npm  # now: dynos may take the last descriptor

            end_with_npm(self.supervisor, os.environ)
        try:
            status = self.supervisor.run(formation, partial(self._open_control, listener, ready), adopt=self._adopt)
            if self.heirs:
                self.heirs.close()
            self._bounds.close()
        finally:
            self.scribe.close()
        return status

    def _adopt(self) -> None:
        if self.resumed:
            self.resumed.adopt(self.app, self.supervisor, self.processes)
        elif self._succeed:
            self._succeed()

    def _open_control(self, listener: int, ready: Callable[[], None] | None) -> None:
        """Every dyno has been asked for."""
        if self.heirs:
            # Before all else: killed without books, it would have left them nothing.
            self.heirs.begin(self.supervisor, self.scribe.do)
        serve = partial(self._serve, listener, ready)
        postpone(self.supervisor.loop, listener, serve, at_once=bool(ready or self.resumed))

    def _serve(self, listener: int, ready: Callable[[], None] | None) -> None:
        """Serve whoever knocks, and do what else could wait until now."""
        from procman.cli import upgrading  # and with it sockets and JSON, which cost 10 ms

        upgrading.serve(self, listener)
        if self.app.bounded:
            self.app.bounded.sweep()
        self._heed_others()
        if ready:
            ready()

    def _heed_others(self) -> None:
        """From now on, who else has a say: files that change, systemd."""
        if self.app.settings.watch:
            from procman.cli.watching import watch

            watch(self.supervisor, self.processes, self.app)
        if "NOTIFY_SOCKET" in os.environ:
            from procman.supervisor.notify import notify

            notify(self.supervisor, os.environ)


def introduce(app: LocalApp, home: Home, heirs: "Outliving | None") -> str:
    """Write in the home who we are; returns the mark of our dynos."""
    me, since = identity(), app.said.get("since") or f"{time():.3f}"
    app.said = {**me, "name": home.name, "root": app.app.root, "socket": home.socket, "since": since}
    home.write({**app.said, **(heirs.held() if heirs else {})})
    return token_of(me)


class Display(NamedTuple):
    """How the formation is shown. ``is_terminal``: on a terminal; ``tty``: its dynos have terminals too."""

    log_format: LogFormat
    is_terminal: bool
    tty: bool

    def window(self) -> tuple[int, int]:
        """Rows and columns that a dyno has of our terminal: what the prefix leaves."""
        margin = self.log_format.prefix_width() if isinstance(self.log_format, TextFormat) else 0
        rows, columns = get_size(STDOUT)
        return rows, max(columns - margin, 20)


def display_of(app: LocalApp) -> Display:
    """What the settings ask for, and otherwise what fits where our output goes."""
    settings, is_terminal = app.settings, os.isatty(STDOUT)
    tty = settings.tty if settings.tty is not None else is_terminal and settings.log_format == "text"
    return Display(make_format(settings, app, is_terminal), is_terminal, tty)


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
