"""A request to the supervisor that the words of the command line mean, and how its answer is told."""

import os

from procman.cli.listing import emit, emit_json
from procman.cli.options import Given
from procman.cli.target import Located, connect, find_home, succeed
from procman.control.protocol import Message
from procman.errors import ProcmanError, UsageError
from procman.supervisor.home import Home
from procman.typed import Any, Iterable

ANSWER_S = 10.0  # a supervisor that says nothing so long after it should have answered does not answer


def home_of(told: Given) -> Home:
    """The app that the words of the command line mean: the one whose home a socket lies in, or by its name."""
    if socket := text(told, "socket"):
        apps, name = os.path.split(os.path.dirname(os.path.abspath(socket)))
        return Home(apps, name)
    if told.fields.get("name") == "":
        raise UsageError("cannot use --name: '' is no name", "procman list, for the names that there are")
    return find_home({field: text(told, field) for field in ("name", "app_root", "procfile") if text(told, field)})


def text(told: Given, field: str) -> str:
    """A field that has a text, or nothing."""
    value = told.fields.get(field)
    return value if isinstance(value, str) else ""


def ask(told: Given, verb: str, **arguments: object) -> Message:
    """One request to the supervisor that is meant; refusals are raised."""
    return ask_of(home_of(told), told, verb, **arguments)


def ask_of(home: Home, told: Given, verb: str, **arguments: object) -> Message:
    """The same of a home that is known, with hints that fit the words of the command line."""
    with Located(told):
        return ask_at(home, verb, text(told, "socket"), **arguments)


def ask_at(home: Home, verb: str, socket: str = "", **arguments: object) -> Message:
    """The same of a home. With ``patience``, seconds, the answer is there by then, true or not."""
    patience = arguments.get("patience")
    try:
        with connect(home, socket or None, patience + ANSWER_S if isinstance(patience, float) else None) as client:
            return succeed(client.call(verb, **arguments))
    except TimeoutError:
        raise ProcmanError(f"cannot reach {socket or home.name}: it does not answer", "procman list") from None


def waiting(told: Given) -> dict[str, Any]:
    """What --wait and --wait-timeout say, as arguments of a request."""
    if not (limit := text(told, "wait_timeout")):
        return {"wait": bool(told.fields.get("wait"))}
    from procman.formats.duration import parse

    try:
        seconds = parse(limit)
    except ValueError as error:
        raise UsageError(f"cannot use --wait-timeout {limit}: {error}", "--wait-timeout 60s") from None
    if not seconds:
        raise UsageError("cannot use --wait-timeout 0: nothing is up at once", "without it, nothing is waited for")
    return {"wait": True, "patience": seconds}


def report(answer: Message, as_json: bool, words: str) -> int:
    """Say that it is done: in words, or as the answer stands."""
    if as_json:
        emit_json(answer)
    else:
        emit(words)
    return 0


def listed(names: Iterable[str]) -> str:
    """"web.1, web.2", or "nothing"."""
    return ", ".join(names) or "nothing"
