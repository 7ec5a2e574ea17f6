"""The click group: every verb's help, and the reader of what the fast one in `options` leaves alone."""

import os
from collections.abc import Sequence
from typing import Any

import click

from procman import __version__
from procman.cli.guesses import FLAGS
from procman.cli.guesses import VERBS as ELSEWHERE
from procman.cli.listing import emit, reader_gone
from procman.cli.options import OPTIONS, Option, click_params, complete, given, verb_first
from procman.cli.remote.verbs import ALIASES, REMOTE_VERBS
from procman.cli.verb import Verb, perform
from procman.cli.verbs import VERBS

PROGRAM = "procman"
_CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 110}


def run(words: Sequence[str]) -> int:
    """Read the command line with click and do what it says; the exit status, which is 2 for misuse."""
    if "_PROCMAN_COMPLETE" in os.environ:
        import procman.cli.complete  # noqa: F401 - click learns from it how bash splits words

    try:
        status = build().main(list(words), prog_name=PROGRAM, standalone_mode=False)
    except click.UsageError as error:
        message = error.format_message()
        message = message[:1].lower() + message[1:].rstrip(".").replace(". (", " (")
        click.echo(f"{PROGRAM}: cannot use the command line: {message}", err=True)
        click.echo(f"  hint: {PROGRAM} {_hint(error, words)}", err=True)
        return 2
    except click.Abort:
        return 130
    except SystemExit as left:
        # Click ends so by itself only where its reader has gone, which is no failure; and in completions.
        if left.code == 1 and "_PROCMAN_COMPLETE" not in os.environ:
            raise BrokenPipeError from None
        raise
    return status if isinstance(status, int) else 0


def _hint(error: click.UsageError, words: Sequence[str]) -> str:
    """What to type instead: what others call so, if it is such a flag, or else the help of the verb that is meant."""
    verb = next((word for word in verb_first(words)[:1] if word in (*VERBS, *REMOTE_VERBS, *ALIASES)), "")
    flag = str(getattr(error, "option_name", ""))
    return FLAGS.get(verb, {}).get(flag) or f"{verb} --help".lstrip()


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
        return [*VERBS, *REMOTE_VERBS]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        name = ALIASES.get(cmd_name, cmd_name)
        if name in REMOTE_VERBS:
            return _command(name, REMOTE_VERBS[name].verb(name), REMOTE_VERBS[name].options)
        return _command(name, VERBS[name], _options(name, ctx)) if name in VERBS else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Two lists: what speaks to this directory's formation, and what speaks to a server."""
        for title, verbs in (("Commands", VERBS), ("Commands to a server", REMOTE_VERBS)):
            with formatter.section(title):
                formatter.write_dl([(name, verb.summary) for name, verb in verbs.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        word = args[0]
        known = (*VERBS, *REMOTE_VERBS, *ALIASES)
        if word not in known and not word.startswith("-") and not ctx.resilient_parsing:
            from difflib import get_close_matches

            from procman.cli.app import process_types

            near = [ELSEWHERE[word]] if word in ELSEWHERE else get_close_matches(word, known, 1, 0.65)
            is_type = word in process_types(given(ctx.params, ()))
            guesses = [f"to run that process type: '{PROGRAM} start {word}'"] if is_type else []
            guesses += [f"did you mean '{guess}'?" for guess in near]
            raise click.UsageError(": ".join(filter(None, (f"no verb '{word}'", "; ".join(guesses)))), ctx)
        return super().resolve_command(ctx, args)


def _options(name: str, ctx: click.Context) -> Sequence[Option]:
    if name == "forever" and ctx.resilient_parsing:  # it reads its flags itself; here they are only completed
        from procman.cli.forever.flags import FLAGS

        return FLAGS
    return OPTIONS.get(name, ())


def _command(name: str, verb: Verb, options: Sequence[Option]) -> click.Command:
    params = click_params(options)
    if verb.words:
        params.append(
            click.Argument(["words"], nargs=-1, required=verb.needs_words, metavar=verb.words, shell_complete=complete)
        )

    def callback(**values: Any) -> int:
        words = values.pop("words", ())
        try:
            return perform(name, verb, given(values, words))
        except BrokenPipeError:  # click would end with 1
            return reader_gone()

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
        emit(f"{PROGRAM} {__version__}")
        ctx.exit(0)
    if ctx.invoked_subcommand is not None:
        return 0
    from procman.cli.overview import overview

    return overview(given(values, ()))
