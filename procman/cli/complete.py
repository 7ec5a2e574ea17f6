"""Shell completion: click's scripts and protocol (``_PROCMAN_COMPLETE``), and what stands where the cursor is.

What may stand somewhere is decided by the metavar that help shows there. Files are read and the supervisor is asked
when somebody presses Tab, and whatever goes wrong then is silent: the answer is that nothing is known.
"""

import os
import re
import signal
import socket
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import click
from click.shell_completion import (
    BashComplete,
    CompletionItem,
    FishComplete,
    ShellComplete,
    ZshComplete,
    add_completion_class,
    get_completion_class,
)

from procman.cli.app import process_types
from procman.cli.listing import emit
from procman.cli.options import Given, given
from procman.cli.request import home_of, text
from procman.control.client import Client
from procman.core.restart import NAMED
from procman.errors import UsageError
from procman.formats.limits import NAMES
from procman.supervisor.home import apps_dir, homes

VARIABLE = "_PROCMAN_COMPLETE"
SHELLS = ("bash", "zsh", "fish")
PATIENCE_S = 0.5  # for a supervisor's answer: somebody waits with a finger on Tab
_CHOICES = re.compile(r"[a-z]+(\|[a-z]+)+")


class Asked(NamedTuple):
    """The question: flags and words before the cursor, and the word that it stands in or behind."""

    told: Given
    incomplete: str


Known = Mapping[str, str]  # what may stand there, each with its explanation, which may be empty
Source = Callable[[Asked], Known]


def print_script(told: Given, _own: Mapping[str, bool]) -> int:
    """Print the script of a shell, which is click's."""
    from procman.cli.group import PROGRAM, build

    (shell, *rest) = told.arguments
    found = get_completion_class(shell) if shell in SHELLS and not rest else None
    if found is None:
        raise UsageError(f"cannot complete in '{' '.join(told.arguments)}'", "procman completion bash, zsh or fish")
    emit(found(build(), {}, PROGRAM, VARIABLE).source().rstrip("\n"))
    return 0


def candidates(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem[str]]:
    """What may stand for a parameter, as far as it begins with ``incomplete``."""
    metavar = param.metavar or ""
    if kind := FILES.get(metavar):
        return [CompletionItem(incomplete, type=kind)]
    words = ctx.params.get("words") or ()
    if metavar == "FORMAT LOCATION" and len(words) == 1:
        return [CompletionItem(incomplete, type="dir")]
    fields = {name: value for name, value in ctx.params.items() if name != "words"}
    head, comma, tail = incomplete.rpartition(",") if "," in metavar else ("", "", incomplete)
    try:
        known = known_for(metavar, Asked(given(fields, words), tail))
    except Exception:  # a prompt is no place for messages, whatever a half-typed line leads to
        return []
    repeated = set(words) if metavar.endswith("...") else set()
    items = [
        CompletionItem(head + comma + value, help=explained or None)
        for value, explained in known.items()
        if value.startswith(tail) and value not in repeated
    ]
    # Files go first: bash forgets what came before them, and takes them where nothing else fits.
    program = (metavar == "CMD..." and not words) or (metavar == "[ARGS]..." and tuple(words) in ((), ("start",)))
    return [CompletionItem(incomplete, type="file"), *items] if program else items


def known_for(metavar: str, asked: Asked) -> Known:
    """By metavar; one such as ``text|json`` speaks for itself."""
    if source := SOURCES.get(metavar):
        return source(asked)
    return dict.fromkeys(metavar.split("|"), "") if _CHOICES.fullmatch(metavar) else {}


# -- what is known ------------------------------------------------------------------------------------------


def rows(asked: Asked) -> list[dict[str, Any]]:
    """The running formation as `ps` has it; OSError when none runs or it does not answer soon."""
    path = text(asked.told, "socket") or home_of(asked.told).socket
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(PATIENCE_S)
    try:
        with Client(path) as client:
            found: list[dict[str, Any]] = client.call("ps")["dynos"]
    finally:
        socket.setdefaulttimeout(before)
    return found


def dynos(asked: Asked) -> Known:
    """Those that are there, with their states."""
    return {row["dyno"]: row["state"] for row in rows(asked)}


def dynos_and_types(asked: Asked) -> Known:
    """Dynos, and what they are dynos of."""
    found = dynos(asked)
    return {**{name.rpartition(".")[0]: "process type" for name in found}, **found}


def types(asked: Asked) -> Known:
    """Process types of the Procfile, with their commands."""
    return process_types(asked.told)


def quantities(asked: Asked) -> Known:
    """``TYPE=N`` as it is now: to have another number, only the number has to be typed."""
    counts = dict.fromkeys(types(asked), 0)
    try:
        for row in rows(asked):
            name = row["dyno"].rpartition(".")[0]
            counts[name] = counts.get(name, 0) + 1
    except OSError:
        pass
    return {f"{name}={count}": "" for name, count in counts.items()}


def once_each(asked: Asked) -> Known:
    """``TYPE=1``."""
    return {f"{name}=1": command for name, command in types(asked).items()}


def policies(asked: Asked) -> Known:
    """Restart policies; behind ``TYPE=`` for that type."""
    name, equals, _ = asked.incomplete.rpartition("=")
    return {f"{name}{equals}{policy}": "" for policy in NAMED}


def signals(_asked: Asked) -> Known:
    """Names as `kill` takes them."""
    return {found.name.removeprefix("SIG"): "" for found in signal.Signals}


def stop_signals(asked: Asked) -> Known:
    """The same; behind ``TYPE=`` for that type."""
    name, equals, _ = asked.incomplete.rpartition("=")
    return {f"{name}{equals}{word}": "" for word in signals(asked)}


def limits(asked: Asked) -> Known:
    """What can be limited, up to the number."""
    name, equals, _ = asked.incomplete.rpartition("=")
    return {f"{name}{equals}{limit}:": "" for limit in NAMES}


def formations(_asked: Asked) -> Known:
    """Every formation of this user."""
    return {home.name: "running" if home.is_running() else "ended" for home in homes(apps_dir(os.environ))}


def users(_asked: Asked) -> Known:
    """Whoever has an account here."""
    import pwd

    return {user.pw_name: user.pw_gecos.partition(",")[0] for user in pwd.getpwall()}


def verbs(_asked: Asked) -> Known:
    """What `procman help` can explain."""
    from procman.cli.group import build

    group = build()
    context = click.Context(group)
    found = ((name, group.get_command(context, name)) for name in group.list_commands(context))
    return {name: command.get_short_help_str() for name, command in found if command}


def forever_words(asked: Asked) -> Known:
    """Actions of `procman forever`; behind one that wants it, what runs."""
    from procman.cli.forever.flags import ACTIONS
    from procman.cli.forever.roll import apps, running

    if not asked.told.arguments:
        return ACTIONS
    wanted = asked.told.arguments[0] in ("stop", "restart", "logs")
    return {entry.uid: entry.label() for entry in running(apps(text(asked.told, "path"), os.environ))} if wanted else {}


def export_formats(asked: Asked) -> Known:
    """What `procman export` can write, by who brought it."""
    from procman.export.exporters import formats

    return {} if asked.told.arguments else {name: entry.value.partition(":")[0] for name, entry in formats().items()}


def one_of(*words: str) -> Source:
    """These, and process types."""
    return lambda asked: {**types(asked), **dict.fromkeys(words, "")}


FILES = {"FILE": "file", "FILE[,FILE]": "file", "PATH": "file", "DIR": "dir", "[TYPE=]GLOB[,…]": "file"}
SOURCES: dict[str, Source] = {
    "DYNO": dynos,
    "DYNO|TYPE...": dynos_and_types,
    "[DYNO|TYPE]...": dynos_and_types,
    "TYPE": types,
    "TYPE[,TYPE]": types,
    "[TYPE[=N]]...": types,
    "TYPE|any|none": one_of("any", "none"),
    "TYPE=N[,…]": once_each,
    "[TYPE=N]...": quantities,
    "CMD...": types,
    "systemd [TYPE[=N]]...": lambda asked: types(asked) if asked.told.arguments else {"systemd": "a unit of systemd"},
    "FORMAT LOCATION": export_formats,
    "[ARGS]...": forever_words,
    "[TYPE=]POLICY": policies,
    "[TYPE=]SIGNAL": stop_signals,
    "[TYPE=]NAME:N": limits,
    "SIG": signals,
    "NAME": formations,
    "USER": users,
    "[VERB]": verbs,
}


class _Bash(BashComplete):
    """bash takes ``web=2`` and ``--restart=dev`` for three words each, and replaces only the last."""

    def get_completion_args(self) -> tuple[list[str], str]:
        words = os.environ["COMP_WORDS"].split("\n")[: int(os.environ["COMP_CWORD"]) + 1]
        joined = rejoin(words)
        os.environ["COMP_WORDS"] = "\n".join(joined)
        os.environ["COMP_CWORD"] = str(len(joined) - 1)
        self.kept = joined[-1].removesuffix("" if words[-1] in {"=", ":"} else words[-1])
        return super().get_completion_args()

    def format_completion(self, item: CompletionItem[Any]) -> str:
        kept = re.sub(r"^--[^=]*=", "", self.kept)  # click leaves the flag to itself
        return f"{item.type},{item.value.removeprefix(kept)}"


def rejoin(words: Iterable[str]) -> list[str]:
    """Words as they were typed, from what bash made of them at ``=`` and ``:``."""
    joined: list[str] = []
    open_ = False
    for word in words:
        if word and len(joined) > 1 and (open_ or word in {"=", ":"}):
            joined[-1] += word
        else:
            joined.append(word)
        open_ = word in {"=", ":"}
    return joined


class _Whole(ShellComplete):
    """zsh and fish take ``--restart=dev`` for one word, and replace all of it."""

    def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem[str]]:
        flag, equals, _ = incomplete.partition("=")
        items = super().get_completions(args, incomplete)
        for item in items if equals and flag.startswith("-") else ():
            item.value = flag + equals + item.value if item.type == "plain" else item.value
        return items


class _Zsh(_Whole, ZshComplete):
    pass


class _Fish(_Whole, FishComplete):
    pass


for found in (_Bash, _Zsh, _Fish):
    add_completion_class(found)
