"""The flags of `start`, `run`, `check` and `env` as one table, and the two readers of it.

``click_params`` makes click's options of it: click reports errors and prints help. ``read_fast`` reads a
plain command line without click, whose import would cost 30 ms before the first dyno; it answers None for
whatever it does not fully understand, and then click reads the same words. `tests/test_options.py` holds the
two to the same answers.
"""

from procman.typed import TYPE_CHECKING, Mapping, NamedTuple, Sequence

if TYPE_CHECKING:
    import click

Value = str | bool | list[str]


class Option(NamedTuple):
    """One field of ``Given``. ``metavar`` None: a switch, which ``off`` turns false. ``repeat``: a list."""

    name: str
    flags: tuple[str, ...]
    metavar: str | None
    help: str
    repeat: bool = False
    off: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """How messages call it: the long flag."""
        return next((flag for flag in (*self.flags, *self.off) if flag.startswith("--")), self.flags[0])


class Given(NamedTuple):
    """What the command line says, unchecked: field → text, texts or bool; and the words that are no flags."""

    fields: Mapping[str, Value]
    arguments: Sequence[str] = ()


_APP = (
    Option("app_root", ("-d", "--app-root"), "DIR", "Run the app in DIR (default: here)."),
    Option("procfile", ("-f", "--procfile"), "FILE", "Read this Procfile, relative to the app root."),
    Option(
        "env_files", ("-e", "--env"), "FILE[,FILE]", "Read these env files instead of .env; later wins.", True
    ),
    Option(
        "interpolate",
        ("--interpolate",),
        None,
        "Fill in ${VAR} in env files, or leave it as it is (default: fill in).",
        off=("--no-interpolate",),
    ),
    Option(
        "port",
        ("-p", "--port"),
        "PORT",
        "First port (default: PORT of the env file, of the environment, 5000).",
    ),
)
_FORMATION = (
    Option(
        "formation",
        ("-m", "--formation", "-c", "--concurrency"),
        "TYPE=N[,…]",
        "How many dynos of each type; all=N for the rest.",
        True,
    ),
    Option("quiet", ("-q", "--quiet"), "TYPE[,TYPE]", "Run these without showing their output.", True),
    Option("excluded", ("-x", "--except"), "TYPE[,TYPE]", "Run all but these.", True),
    Option(
        "grace", ("-t", "--timeout"), "[TYPE=]TIME", "From SIGTERM to SIGKILL: 30, 500ms, worker=5m.", True
    ),
    Option(
        "restart",
        ("--restart",),
        "[TYPE=]POLICY",
        "When a dyno ends: dev (default), heroku, always, on-failure, max=N, never, foreman.",
        True,
    ),
    Option(
        "exit_with", ("--exit-with",), "TYPE|any|none", "Whose end ends everything, with its exit status."
    ),
    Option("timestamps", ("--timestamps",), None, "Begin lines with the time.", off=("--no-timestamps",)),
    Option("prefix", ("--prefix",), None, "Begin lines with the dyno's name.", off=("--no-prefix",)),
    Option("color", ("--color",), None, "Colour the names (default: on a terminal).", off=("--no-color",)),
    Option("tty", ("--tty",), None, "Give dynos a terminal (default: when on one).", off=("--no-tty",)),
    Option("log_format", ("--log-format",), "text|json|heroku", "How lines are written."),
    Option("needs", ("--needs",), "TYPE=TYPE[,…]", "Start the first once the second is up, and stop it before.", True),
    Option("watch", ("--watch",), "[TYPE=]GLOB[,…]", "Restart types when their files change; alone: any file.", True),
    Option("stop_signal", ("--stop-signal",), "[TYPE=]SIGNAL", "Stops begin with it: web=INT (default: TERM).", True),
    Option("memory", ("--memory",), "[TYPE=]SIZE", "Quota, such as web=512M: over it R14, over twice it R15.", True),
    Option("limit", ("--limit",), "[TYPE=]NAME:N", "Limits of processes, as of prlimit: web=nofile:1024.", True),
    Option("name", ("--name",), "NAME", "What this formation is called (default: by its directory)."),
    Option("detach", ("--detach",), None, "Run in the background; prints name and socket."),
)
_JSON = Option("json", ("--json",), None, "Print one JSON object.")

_NAME = next(option for option in _FORMATION if option.name == "name")
_SOCKET = Option("socket", ("--socket",), "PATH", "Reach the supervisor at this socket.")
_TARGET = (*_APP[:2], _NAME, _SOCKET, _JSON)
_WAIT = (
    Option("wait", ("--wait",), None, "Return when the new dynos are up, with status 1 if they crash."),
    Option("wait_timeout", ("--wait-timeout",), "TIME", "The same, for at most so long: 60, 5m."),
)

_SERVER = (
    Option("app", ("-a", "--app"), "APP", "The app of that name on a server, instead of this directory's."),
    Option("remote", ("-r", "--remote"), "REMOTE", "The app that a git remote leads to."),
)

_DATA = Option("data", ("--data",), "DIR", "Where the server keeps its data (default: below ~/.local/state).")

PASSED_ON = frozenset(  # to a unit
    {"app_root", "procfile", "env_files", "interpolate", "port", "formation", "excluded", "grace", "restart", "needs"}
    | {"exit_with", "watch", "stop_signal", "memory", "limit"}
)

OPTIONS: dict[str, tuple[Option, ...]] = {
    "start": (*_APP, *_FORMATION, *_WAIT, _JSON),
    "run": (
        *_APP,
        _NAME,
        _SOCKET,
        *_SERVER,
        Option("size", ("-s", "--size"), "SIZE", "On a server: the dyno's size."),
        Option("exit_code", ("-x", "--exit-code"), None, "On a server: end with the command's status."),
        Option("no_tty", ("--no-tty",), None, "On a server: without a terminal."),
    ),
    "check": (*_APP, *_FORMATION, *_WAIT, _JSON),
    "env": (
        *_APP,
        Option("explain", ("--explain",), None, "Say where each value comes from."),
        Option("reveal", ("--reveal",), None, "Show secrets."),
        _JSON,
    ),
    "ps": (*_TARGET, *_SERVER, Option("watch", ("--watch",), None, "Show it anew every second.")),
    "scale": (*_TARGET, *_SERVER, *_WAIT),
    "restart": (*_TARGET, *_SERVER, *_WAIT),
    "stop": (*_TARGET, *_SERVER),
    "kill": (*_TARGET, Option("signal", ("-s", "--signal"), "SIG", "The signal (default: TERM).")),
    "reload": (*_TARGET, *_WAIT),
    "upgrade": _TARGET,
    "shutdown": (*_TARGET, Option("now", ("--now",), None, "Kill at once, whatever is still stopping.")),
    "logs": (
        *_TARGET,
        *_SERVER,
        Option("num", ("-n", "--num"), "N", "The last N lines (default: 100)."),
        Option("tail", ("-t", "--tail", "--follow"), None, "Go on with what is written from now on."),
        Option("dyno", ("--dyno", "--dyno-name"), "DYNO", "Only this dyno's lines."),
        Option("process_type", ("-p", "--process-type"), "TYPE", "Only this process type's lines."),
        Option("source", ("-s", "--source"), "app|heroku", "Only what dynos wrote, or what was said about them."),
        Option("since", ("--since",), "TIME", "Only lines of the last 5m, 2h, 30s."),
        Option("grep", ("--grep",), "RE", "Only lines in which this regular expression is found."),
    ),
    "attach": (
        *_TARGET,
        Option("detach_key", ("--detach-key",), "KEY", "The key that detaches (default: ctrl-])."),
    ),
    "explain": _TARGET,
    "list": (_JSON,),
    "install": (
        *(option for option in (*_APP, *_FORMATION) if option.name in PASSED_ON),
        _NAME,
        Option("system", ("--system",), None, "For this host."),
        Option("user", ("--user",), None, "For this user (default)."),
        Option("run_as", ("--run-as",), "USER", "Whose processes they are (default: who typed sudo)."),
        Option("print", ("--print",), None, "Only show the unit."),
    ),
    "export": (
        *_APP,
        *(option for option in _FORMATION if option.name == "formation"),
        Option("app", ("-a", "--app"), "APP", "What the app is called there (default: the app root's name)."),
        Option("log", ("-l", "--log"), "DIR", "Where output goes, in formats with log files (default: /var/log/APP)."),
        Option("user", ("-u", "--user"), "USER", "Whose processes they are (default: the app's name)."),
        Option("shell", ("-s", "--shell"), "PATH", "Which shell reads commands (default: start's; in images /bin/sh)."),
        Option("template_dir", ("-t", "--template-dir"), "DIR", "Jinja2 templates to use before the format's own."),
        Option("image", ("--image",), "IMAGE", "For compose and kubernetes: what to run (default: the app's name)."),
    ),
    "server": (
        _DATA,
        Option("port", ("-p", "--port"), "PORT", "The API's port (default: 5000); the next two are git's and run's."),
        Option("router_port", ("--router-port",), "PORT", "The router's port (default: 5080)."),
        Option("router_https_port", ("--router-https-port",), "PORT", "Also https, for names with a certificate."),
        Option("router_host", ("--router-host",), "ADDRESS", "Where it listens (default: 127.0.0.1); * is everywhere."),
        Option("router_timeouts", ("--router-timeouts",), "NAME=SECONDS,...", "Other time limits than Heroku's."),
        Option("first_port", ("--first-port",), "PORT", "Dynos of new apps have ports from here up (default: 20000)."),
        Option("domain", ("--domain",), "DOMAIN", "Apps are reached at NAME.DOMAIN (default: localhost)."),
        Option("router", ("--router",), None, "Route requests to web dynos by HAProxy, or not.", off=("--no-router",)),
        Option("push_creates", ("--push-creates-apps",), None, "The first push to a name that is free makes the app."),
        Option("allow_local", ("--allow-local-addresses",), None, "URLs of users may lead to this host itself."),
        Option("build_timeout", ("--build-timeout",), "SECONDS", "How long a build may take (default: 900)."),
        Option("slug_limit", ("--slug-limit",), "MB", "How large a packed slug may be (default: 500)."),
        Option("owner", ("--owner",), "EMAIL", "Whose account the first start makes (default: your name @localhost)."),
        Option("system", ("--system",), None, "With install: for this host, or for this user.", off=("--user",)),
        Option("print", ("--print",), None, "With install: only show the unit."),
    ),
    "connect": (
        _DATA._replace(help="Where the server there keeps its data."),
        Option("close", ("--close",), None, "Close the tunnel."),
        Option("command", ("--command",), "CMD", "How procman is called there (default: procman)."),
    ),
    "backup": (_DATA,),
    "restore": (_DATA,),
    "doctor": (_DATA, _JSON),
    "completion": (),
    "help": (
        Option("man", ("--man",), None, "Print the manual page."),
        Option("markdown", ("--markdown",), None, "Print every verb's help as Markdown."),
    ),
}
GLOBAL = OPTIONS["start"]  # may also stand before the verb, where users of honcho and foreman put them
OWN_FLAGS = frozenset({"forever"})  # in which `-p` is no port
STOPS_AT_WORD = frozenset({"run"})  # `procman run ls -l`: the -l belongs to ls


def flags_of(options: Sequence[Option]) -> dict[str, tuple[Option, bool]]:
    """Flag → its option, and for a switch the value that it gives."""
    table = {flag: (option, True) for option in options for flag in option.flags}
    table |= {flag: (option, False) for option in options for flag in option.off}
    return table


def read_fast(verb: str, argv: Sequence[str]) -> Given | None:
    """Read the words after ``verb`` as click would; None when click should do it: errors, help, rarities."""
    table = flags_of(OPTIONS[verb])
    fields: dict[str, Value] = {}
    arguments: list[str] = []
    words = list(argv)
    while words:
        word = words.pop(0)
        if word == "--":
            arguments += words
            break
        if not word.startswith("-"):
            arguments.append(word)
            if verb in STOPS_AT_WORD:
                arguments += words
                break
            continue
        flag, value = _split(word)
        if flag not in table:
            return None
        option, on = table[flag]
        if option.metavar is None:
            if value is not None:
                return None
            fields[option.name] = on
            continue
        if value is None:
            if not words or words[0].startswith("-"):
                return None
            value = words.pop(0)
        if option.repeat:
            collected = fields.setdefault(option.name, [])
            assert isinstance(collected, list)  # a repeated option collects nothing else
            collected.append(value)
        else:
            fields[option.name] = value
    return Given(fields, arguments)


def _split(word: str) -> tuple[str, str | None]:
    """``--flag=value``, ``-p5000`` and plain flags; a bundle of short switches becomes an unknown flag."""
    if word.startswith("--"):
        flag, equals, value = word.partition("=")
        return flag, value if equals else None
    return word[:2], word[2:] or None


def verb_first(argv: Sequence[str]) -> list[str]:
    """Move flags that stand before the verb behind it: ``-d app start web`` becomes ``start -d app web``.

    Words that are not understood, or would mean something else behind the verb, stay where they are, for click to
    complain about.
    """
    table = flags_of(GLOBAL)
    said: list[str] = []  # the flags so far
    at = 0
    while at < len(argv):
        word = argv[at]
        if not word.startswith("-") or word == "-":
            takes = word in VERBS and word not in OWN_FLAGS and keeps_meaning(word, said)
            return [word, *argv[:at], *argv[at + 1 :]] if takes else list(argv)
        flag, value = _split(word)
        if flag not in table:
            break
        said.append(flag)
        takes_next = table[flag][0].metavar is not None and value is None
        at += 2 if takes_next else 1
    return list(argv)


def keeps_meaning(verb: str, flags: Sequence[str]) -> bool:
    """Whether none of these is another option of the verb: the ``-p`` of `logs` is no port."""
    own, everywhere = flags_of(OPTIONS.get(verb, ())), flags_of(GLOBAL)
    return all(flag not in own or own[flag][0].name == everywhere[flag][0].name for flag in flags)


VERBS = (*OPTIONS, "forever", "version")


def click_params(options: Sequence[Option]) -> "list[click.Parameter]":
    """The same options for click; ``given`` turns what click made of them into a ``Given``."""
    import click

    made: list[click.Parameter] = []
    for option in options:
        if option.metavar is None:
            # To click, what stands behind a slash turns the switch off.
            both = map("/".join, zip(option.flags, option.off, strict=False))
            names = [*both, *option.flags[len(option.off) :], option.name]
            made.append(click.Option(names, is_flag=True, default=None, help=option.help))
        else:
            made.append(
                click.Option(
                    [*option.flags, option.name],
                    metavar=option.metavar,
                    multiple=option.repeat,
                    help=option.help,
                    shell_complete=complete,
                )
            )
    return made


def complete(
    ctx: "click.Context", param: "click.Parameter", incomplete: str
) -> "list[click.shell_completion.CompletionItem]":
    """What may stand where the cursor is; read only when somebody has pressed Tab."""
    from procman.cli.complete import candidates

    return candidates(ctx, param, incomplete)


def given(params: Mapping[str, object], arguments: Sequence[str]) -> Given:
    """``Given`` from click's parameters: what was not said is left out."""
    fields: dict[str, Value] = {}
    for name, value in params.items():
        if isinstance(value, tuple):
            if value:
                fields[name] = [str(part) for part in value]
        elif isinstance(value, (str, bool)):
            fields[name] = value
    return Given(fields, list(arguments))
