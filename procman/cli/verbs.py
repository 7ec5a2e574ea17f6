"""Every verb of this host, with its help and what it calls: for the quick reader of words, and for click."""

from procman import __version__
from procman.cli import operate_verbs, server_verbs
from procman.cli.listing import emit
from procman.cli.options import Given
from procman.cli.verb import Verb


def _start(told: Given, own: dict[str, bool]) -> int:
    from procman.cli.start import start

    return start(told._replace(fields={**told.fields, "json": True}) if own["json"] else told)


def _run(told: Given, _own: dict[str, bool]) -> int:
    from procman.cli.run import run as run_command

    return run_command(Given(told.fields), list(told.arguments))


def _check(told: Given, own: dict[str, bool]) -> int:
    from procman.cli.check import check

    return check(told, own["json"])


def _env(told: Given, own: dict[str, bool]) -> int:
    from procman.cli.env import show

    return show(told, explain=own["explain"], reveal=own["reveal"], as_json=own["json"])


def _forever(told: Given, _own: dict[str, bool]) -> int:
    from procman.cli.forever.actions import forever

    return forever(list(told.arguments))


def _version(_told: Given, _own: dict[str, bool]) -> int:
    emit(f"procman {__version__}")
    return 0


def _help(told: Given, own: dict[str, bool]) -> int:
    if told.fields.get("man") or told.fields.get("markdown"):
        from procman.cli.manual import show

        return show(told, own)
    if told.arguments[:1] == ["forever"]:  # whose flags click does not know
        return _forever(Given({}, ["--help"]), own)
    from procman.cli.group import run

    return run([*told.arguments[:1], "--help"])


VERBS: dict[str, Verb] = {
    "start": Verb(
        "Run the Procfile and keep it running.",
        "Without arguments, every process type runs once, except release, which only runs when named. "
        "TYPE restricts, TYPE=N also says how many. Ctrl-C stops everything, gracefully; twice, at once.",
        (
            "procman start",
            "procman start web=2 worker",
            "procman start -x clock -q worker --timeout 30",
            "procman start -f Procfile.dev -e .env,.env.local -p 8000",
            "procman start --restart heroku --restart worker=max=3",
            "procman start --exit-with web",
        ),
        "[TYPE[=N]]...",
        _start,
    ),
    "run": Verb(
        "Run one command in the environment of the app.",
        "CMD may also be a process type of the Procfile, with further arguments. The exit status is that of "
        "the command.",
        (
            "procman run python manage.py migrate",
            "procman run release",
            "procman run -e .env.test -- pytest -x",
        ),
        "CMD...",
        _run,
    ),
    "check": Verb(
        "Report mistakes in Procfile and env files, and what Heroku would do otherwise.",
        "All at once, with file and line; then every effective value and where it came from. Exit status 1 "
        "if anything is an error. Takes what start takes, so that a command line can be checked too.",
        ("procman check", "procman check -f Procfile.dev web=2", "procman check --json"),
        "[TYPE[=N]]...",
        _check,
    ),
    "env": Verb(
        "Print the variables that every dyno gets.",
        "Secrets are masked unless --reveal is given. PORT is the first port; each dyno gets its own, and "
        "DYNO and PS.",
        (
            "procman env",
            "procman env --explain",
            "procman env --reveal > all.env",
            "procman env --json -e .env.test",
        ),
        None,
        _env,
    ),
    **operate_verbs.VERBS,
    **server_verbs.VERBS,
    "forever": Verb(
        "Keep one program alive without a Procfile, with the words of forever.",
        "In the foreground, or with start in the background; then stop, restart, list, logs, stopall, restartall and "
        "cleanlogs. Its flags are forever's: procman forever --help.",
        (
            "procman forever app.js",
            "procman forever -- gunicorn --bind 0.0.0.0:8000 app:app",
            "procman forever start -l app.log -a --uid shop app.js",
            "procman forever list",
            "procman forever stop shop",
        ),
        "[ARGS]...",
        _forever,
    ),
    "version": Verb("Print the version.", "", ("procman version",), None, _version),
    "help": Verb(
        "Explain procman or a verb.",
        "",
        ("procman help", "procman help start", "procman help --man | man -l -"),
        "[VERB]",
        _help,
    ),
}
