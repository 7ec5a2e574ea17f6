"""`procman logs -a APP`: the app's log from the server, and with --tail what comes."""

import json
from collections.abc import Iterator

from procman.cli.listing import emit, write
from procman.cli.logs import names
from procman.cli.options import Given
from procman.cli.remote.apps import Own
from procman.cli.remote.connection import path
from procman.cli.remote.target import Target, target
from procman.control import requests
from procman.errors import UsageError


def logs(told: Given, own: Own) -> int:
    """Print the lines that are wanted."""
    wish = wanted(told)
    meant = target(told)
    for line in lines(meant, wish):
        if own["json"]:
            emit(json.dumps({"line": line.decode("utf-8", "surrogateescape")}))
        else:
            write((line, b"\n"))
    return 0


def wanted(told: Given) -> dict[str, object]:
    """The flags and words as the API has them. Raises UsageError."""
    count = str(told.fields.get("num") or 100)
    if not count.isdigit():
        raise UsageError(f"cannot use --num {count}: a number is wanted")
    wish: dict[str, object] = {"lines": int(count), "tail": bool(told.fields.get("tail"))}
    wish |= {key: told.fields[key] for key in ("source", "dyno") if told.fields.get(key)}
    if told.fields.get("process_type"):
        wish["type"] = told.fields["process_type"]
    match names(told):
        case [] | [requests.EVERY]:
            pass  # a type that is called so is -p all
        case [name] if not {"dyno", "type"} & set(wish):
            wish["dyno" if "." in name else "type"] = name
        case _:
            raise UsageError("cannot show several at once: a server shows one dyno or type, or all")
    return wish


def lines(meant: Target, wish: dict[str, object]) -> Iterator[bytes]:
    """Lines as they come, out of the events that carry them."""
    session = meant.server.call("POST", path("apps", meant.app, "log-sessions"), wish)
    rest = b""
    for chunk in meant.server.stream(session["logplex_url"], {"Accept": "text/event-stream"}):
        *events, rest = (rest + chunk).split(b"\n")
        for line in events:
            if line.startswith(b"data:"):
                yield line[5:].removeprefix(b" ")
