"""`procman logs`: the stored lines of a formation, and with --tail what comes."""

import json
import os
import re
import time
from collections.abc import Sequence

from procman.cli.listing import emit, write
from procman.cli.options import Given
from procman.cli.request import home_of, text
from procman.cli.target import Located, connect, located
from procman.control.client import Client
from procman.control.requests import EVERY
from procman.errors import ProcmanError, UsageError
from procman.formats import duration
from procman.logs.line import Filter, parse_line
from procman.logs.tail import Follower, end, follow_from, last
from procman.supervisor.home import Home

DEFAULT_LINES = 100  # heroku logs
US = "procman"  # whose lines are of all dynos


def logs(told: Given, own: dict[str, bool]) -> int:
    """Print the last lines that are wanted; with ``tail`` until the formation or the reader ends."""
    home = home_of(told)
    if not os.path.isdir(home.log):
        hint = "procman logs -t, to follow it: -f names a Procfile" if text(told, "procfile") else "procman list"
        raise ProcmanError(f"cannot show the log of {home.name}: it has never run", hint)
    wants, count = wanted(told)._replace(among=writers(home, told)), number(text(told, "num"))
    if not told.fields.get("tail"):
        show(last(home.log, count, wants), own["json"])
        return 0
    # The place is fixed before anything is read, so that no line falls between the past and the present.
    place = end(home.log)
    show(last(home.log, count, wants, place), own["json"])
    with Located(told):
        return follow(home, text(told, "socket"), follow_from(home.log, place), wants, own["json"])


def follow(home: Home, socket: str, follower: Follower, wants: Filter, as_json: bool) -> int:
    """Read on whenever the supervisor says that there is more."""
    client: Client = connect(home, socket or None)
    with client:
        for _ in client.ask("follow"):
            while batch := follower.read():
                show(wants.lines(batch), as_json)
    while batch := follower.read():  # the last words of a formation that ended
        show(wants.lines(batch), as_json)
    return 0


def show(lines: Sequence[bytes], as_json: bool) -> None:
    """Bytes as they are, or an object a line."""
    if not as_json:
        write(lines)
        return
    for line in lines:
        when, source, ps, message = parse_line(line)
        said = message.decode("utf-8", "surrogateescape")
        emit(json.dumps({"time": when, "source": source, "dyno": ps, "message": said}))


def wanted(told: Given) -> Filter:
    """The flags as a filter. Raises UsageError."""
    source, since, grep = text(told, "source"), text(told, "since"), text(told, "grep")
    if source not in ("", "app", "heroku"):
        raise UsageError(f"cannot use --source {source}: app or heroku is wanted")
    try:
        start = time.time() - duration.parse(since) if since else None
    except ValueError as error:
        raise UsageError(f"cannot use --since {since}: {error}", "procman logs --since 5m") from None
    try:
        pattern = re.compile(grep.encode("utf-8", "surrogateescape")) if grep else None
    except re.error as error:
        raise UsageError(f"cannot use --grep '{grep}': {error}") from None
    return Filter(text(told, "dyno") or None, text(told, "process_type") or None, source or None, start, pattern)


def writers(home: Home, told: Given) -> Sequence[str]:
    """The dynos and types that are named, or nothing for all. Raises ProcmanError for what is nobody's name.

    What --dyno and --process-type say has to be somebody's too.
    """
    words, flagged = names(told), [name for field in ("dyno", "process_type") if (name := text(told, field))]
    if not words and not flagged:
        return ()
    from procman.cli.app import process_types
    from procman.cli.explain import rows_of

    types = {} if {"name", "socket"} & told.fields.keys() else process_types(told)
    if EVERY in words and EVERY not in types:
        words = []
    for word in (*words, *flagged):
        process_type, _, number = word.partition(".")
        planned = word == US or (process_type in types and (number.isdecimal() or word == process_type))
        if not (planned or last(home.log, 1, Filter(among=[word])) or rows_of(home, word)):
            hint = f"there are {', '.join(types)}" if types else "procman ps"
            refusal = ProcmanError(f"cannot find {word}: no such process type, and no line of such a dyno", hint)
            raise located(refusal, told)
    if (dyno := text(told, "dyno")) in types and not last(home.log, 1, Filter(dyno=dyno)):
        raise ProcmanError(f"cannot find {dyno}: no such dyno", f"procman logs -p {dyno}")
    return words


def names(told: Given) -> list[str]:
    """The dynos and types that are named. Raises UsageError for what was meant for a number of lines."""
    for word in told.arguments:
        if word.isdecimal():
            raise UsageError(f"cannot show '{word}': a dyno or process type is wanted", f"procman logs -n {word}")
    return list(told.arguments)


def number(word: str) -> int:
    """How many lines. Raises UsageError."""
    if word and not (word.isascii() and word.isdigit()):
        raise UsageError(f"cannot use --num {word}: a number is wanted")
    return int(word) if word else DEFAULT_LINES
