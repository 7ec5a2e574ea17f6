"""The click group: every verb's help, and the reader of what the fast one in `options` leaves alone."""

import os
from collections.abc import Sequence
from typing import Any

import click

from procman import __version__
from procman.cli import operate_verbs, server_verbs
from procman.cli.options import OPTIONS, Given, Option, click_params, complete, given, verb_first
from procman.cli.remote.verbs import ALIASES, REMOTE_VERBS, chosen
from procman.cli.verb import Verb

PROGRAM = "procman"
_CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 110}


def run(words: Sequence[str]) -> int:
    """Read the command line with click and do what it says; the exit status, which is 2 for misuse."""
    if "_PROCMAN_COMPLETE" in os.environ:
        import procman.cli.complete  # noqa: F401 - click learns from it how bash splits words

    try:
        status = build().main(list(words), prog_name=PROGRAM, standalone_mode=False)
    except click.UsageError as error:
        where = f" {error.ctx.info_name}" if error.ctx and error.ctx.parent else ""
        message = error.format_message()
        message = message[:1].lower() + message[1:].rstrip(".").replace(". (", " (")
        click.echo(
            f"{PROGRAM}: cannot use the command line: {message}\n  hint: {PROGRAM}{where} --help", err=True
        )
        return 2
    except click.Abort:
        return 130
    return status if isinstance(status, int) else 0


def build() -> click.Group:
    """The group with its verbs; each verb imports what it needs when it runs."""
    return _Verbs(
        name=PROGRAM,
        help="Run a Procfile as Heroku would: every process type as dynos that are kept alive.",
        epilog=_examples(
            "procman start                   everything in ./Procfile, until Ctrl-C",
            "procman start web=2 worker      two web dynos and one worker",
            "procman run python manage.py shell",
            "procman check                   what is wrong, or different on Heroku",
        ),
        params=[
            *click_params(
                [option for option in OPTIONS["run"] if option.name in {"app_root", "procfile", "env_files"}]
            ),
            click.Option(["--version", "-V"], is_flag=True, help="Print the version."),
        ],
        callback=_bare,
        invoke_without_command=True,
        context_settings=_CONTEXT,
    )


class _Verbs(click.Group):
    """Takes flags in front of the verb too, makes verbs when asked for, and guesses at misspelt ones."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, verb_first(args))

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*_VERBS, *REMOTE_VERBS]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        name = ALIASES.get(cmd_name, cmd_name)
        if name in REMOTE_VERBS:
            return _command(name, REMOTE_VERBS[name].verb(name), REMOTE_VERBS[name].options)
        return _command(name, _VERBS[name], OPTIONS.get(name, ())) if name in _VERBS else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Two lists: what speaks to this directory's formation, and what speaks to a server."""
        for title, verbs in (("Commands", _VERBS), ("Commands to a server", REMOTE_VERBS)):
            with formatter.section(title):
                formatter.write_dl([(name, verb.summary) for name, verb in verbs.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        word = args[0]
        known = (*_VERBS, *REMOTE_VERBS, *ALIASES)
        if word not in known and not word.startswith("-") and not ctx.resilient_parsing:
            from difflib import get_close_matches

            near = get_close_matches(word, known, 1, 0.65)
            guess = (
                f"did you mean '{near[0]}'?"
                if near
                else f"to run that process type: '{PROGRAM} start {word}'"
            )
            raise click.UsageError(f"no verb '{word}': {guess}", ctx)
        return super().resolve_command(ctx, args)


def _command(name: str, verb: Verb, options: Sequence[Option]) -> click.Command:
    params = click_params(options)
    if verb.words:
        required = not verb.words.startswith("[")
        params.append(
            click.Argument(["words"], nargs=-1, required=required, metavar=verb.words, shell_complete=complete)
        )

    def callback(**values: Any) -> int:
        words = values.pop("words", ())
        own = {field: bool(values.pop(field, False)) for field in ("json", "explain", "reveal")}
        told = given(values, words)
        remote = chosen(name, told)
        return remote.run(told, own) if remote else verb.call(told, own)

    return click.Command(
        name,
        callback=callback,
        params=params,
        help=f"{verb.summary}\n\n{verb.details}",
        short_help=verb.summary,
        epilog=_examples(*verb.examples),
        context_settings={**_CONTEXT, "allow_interspersed_args": name != "run"},
    )


def _examples(*lines: str) -> str:
    return "\n".join(("\b", "Examples:", *(f"  {line}" for line in lines)))


@click.pass_context
def _bare(ctx: click.Context, /, version: bool, **values: Any) -> int:
    if version:
        click.echo(f"{PROGRAM} {__version__}")
        ctx.exit(0)
    if ctx.invoked_subcommand is not None:
        return 0
    from procman.cli.overview import overview

    return overview(given(values, ()))


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
    click.echo(f"{PROGRAM} {__version__}")
    return 0


def _help(told: Given, own: dict[str, bool]) -> int:
    if told.fields.get("man") or told.fields.get("markdown"):
        from procman.cli.manual import show

        return show(told, own)
    return run([*told.arguments[:1], "--help"])


_VERBS: dict[str, Verb] = {
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
