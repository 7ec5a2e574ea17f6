"""`procman logs -a APP`: the app's log from the server, and with --tail what comes."""

import json
import sys
import time
from collections.abc import Iterable, Iterator

from procman.cli.listing import emit, write
from procman.cli.logs import names
from procman.cli.options import Given
from procman.cli.remote.apps import Own
from procman.cli.remote.connection import NO_SERVER, path
from procman.cli.remote.target import Target, target
from procman.control import requests
from procman.errors import ProcmanError, UsageError

AGAIN_S = 1.0  # between two tries to reach a server that a tail was cut off from
TRIES = 60


def logs(told: Given, own: Own) -> int:
    """Print the lines that are wanted."""
    wish = wanted(told)
    meant = target(told)
    line = None
    for line in lines(meant, wish):
        if own["json"]:
            emit(json.dumps({"line": line.decode("utf-8", "surrogateescape")}))
        else:
            write((line, b"\n"))
    if line is None and (name := wish.get("dyno") or wish.get("type")):
        print(f"procman: no line of {name} is in the log of {meant.app}", file=sys.stderr)
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
    """Lines as they come; a tail that is cut off goes on where it was, once the server is there again."""
    last, tries, joined = b"", 0, False
    while True:
        headers = {"Accept": "text/event-stream", **({"Last-Event-ID": last.decode("ascii")} if last else {})}
        try:
            session = meant.server.call("POST", path("apps", meant.app, "log-sessions"), wish)  # each lasts for a day
            joined = True
            for identity, texts in events(meant.server.stream(session["logplex_url"], headers)):
                yield from texts
                last, tries = identity, 0
            if not wish["tail"]:
                return
            raise meant.server.cut_off()
        except ProcmanError as error:
            if not wish["tail"] or error.exit_code != NO_SERVER or not joined or tries == TRIES:
                raise
            if not tries:
                print(f"procman: {error.what}; waiting for it", file=sys.stderr)
        if tries:
            time.sleep(AGAIN_S)
        tries += 1


def events(chunks: Iterable[bytes]) -> Iterator[tuple[bytes, list[bytes]]]:
    """Server-sent events, each as its id and its lines; one that is cut off counts as not sent."""
    identity, texts, rest = b"", [], b""
    for chunk in chunks:
        *complete, rest = (rest + chunk).split(b"\n")
        for line in complete:
            field, _, value = line.partition(b":")
            value = value.removeprefix(b" ")
            if field == b"id":
                identity = value
            elif field == b"data":
                texts.append(value)
            elif not line and texts:
                yield identity, texts
                texts = []
