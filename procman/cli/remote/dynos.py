"""Dynos and the formation."""

import re
import time
from collections.abc import Sequence
from math import inf
from typing import Any

from procman.cli.listing import columns, emit, emit_json
from procman.cli.options import Given
from procman.cli.remote.apps import Own, each, said
from procman.cli.remote.connection import path
from procman.cli.remote.releases import last, outcome
from procman.cli.remote.target import Target, target
from procman.errors import ProcmanError, UsageError

WISH = re.compile(r"([\w-]+)([=+-]\d+)(?::([\w-]+))?", re.ASCII)  # Heroku client: ps:scale
ONE_OFFS = {"run", "release", "scheduler"}  # types that are in no formation
LOOK_S = 1.0  # how often ps:wait asks


def show(told: Given, own: Own) -> int:
    """The app's dynos, by type and command."""
    meant = target(told)
    found = meant.server.get(path("apps", meant.app, "dynos"))
    wanted = set(told.arguments)
    unknown = wanted - {dyno[key] for dyno in found for key in ("name", "type")} - ONE_OFFS
    if unknown and (unknown := unknown - set(types(meant))):
        raise no_such(meant, "show", min(unknown))
    found = [dyno for dyno in found if not wanted or wanted & {dyno["name"], dyno["type"]}]
    if own["json"]:
        emit_json(found)
    elif not found:
        emit(f"No dynos on {meant.app}")
    else:
        emit("\n\n".join(groups(found)))
    return 0


def groups(dynos: Sequence[dict[str, Any]]) -> list[str]:
    """A block for each type and command."""
    blocks: dict[tuple[str, str, str], list[str]] = {}
    for dyno in dynos:
        head = (dyno["type"], dyno["size"], dyno["command"])
        why = f" ({dyno['last_exit']})" if dyno["state"] == "crashed" and dyno.get("last_exit") else ""
        blocks.setdefault(head, []).append(f"{dyno['name']}: {dyno['state']} {dyno['updated_at']}{why}")
    return [
        "\n".join([f"=== {kind} ({size}): {command} ({len(lines)})", *lines])
        for (kind, size, command), lines in blocks.items()
    ]


def scale(told: Given, own: Own) -> int:
    """Set quantities and sizes; without words, show them."""
    meant = target(told)
    where = path("apps", meant.app, "formation")
    if not told.arguments:
        found = meant.server.get(where)
        words = " ".join(f"{row['type']}={row['quantity']}:{row['size']}" for row in found)
        return said(own, found, words or f"No process types on {meant.app}")
    updates = []
    for word in told.arguments:
        wish = WISH.fullmatch(word)
        if not wish:
            raise UsageError(f"cannot scale '{word}': TYPE=N is wanted", "procman ps:scale web=2 worker+1")
        update = {"type": wish[1], "quantity": wish[2].removeprefix("=")}
        updates.append({**update, "size": wish[3]} if wish[3] else update)
    answer = meant.server.call("PATCH", where, {"updates": updates})
    asked = [update["type"] for update in updates]
    now = ", ".join(f"{row['type']} at {row['quantity']}:{row['size']}" for row in answer if row["type"] in asked)
    return said(own, answer, f"Scaling dynos... done, now running {now}")


def size(told: Given, own: Own) -> int:
    """Set dyno sizes; without words, show them."""
    meant = target(told)
    where = path("apps", meant.app, "formation")
    found = meant.server.get(where)
    updates = []
    for word in told.arguments:
        name, equals, wish = word.partition("=")
        names = [name] if equals else [row["type"] for row in found]
        updates += [{"type": each, "size": wish if equals else word} for each in names]
    if updates:
        found = meant.server.call("PATCH", where, {"updates": updates})
    rows = [("TYPE", "SIZE", "QTY"), *((row["type"], row["size"], str(row["quantity"])) for row in found)]
    return said(own, found, "\n".join(columns(rows, "")))


def restart(told: Given, own: Own) -> int:
    """Replace dynos: all, of a type, or one."""
    meant = target(told)
    words = [*told.arguments, *(str(told.fields[key]) for key in ("dyno", "process_type") if told.fields.get(key))]
    how = f"\nHow it goes: procman logs -a {meant.app} --tail"  # the answer comes before they are up, or are not
    if not words:
        answer = meant.server.call("DELETE", path("apps", meant.app, "dynos"))
        return said(own, answer, f"Restarting all dynos on {meant.app}... begun{how}")
    return each(
        words,
        lambda word: meant.server.call("DELETE", of(meant, word)),
        "restart",
        lambda answers, words: said(own, {}, f"Restarting {words} on {meant.app}... begun{how}"),
    )


def stop(told: Given, own: Own) -> int:
    """Stop dynos; those of the formation come back."""
    meant = target(told)
    words = [*told.arguments, *(str(told.fields[key]) for key in ("dyno", "process_type") if told.fields.get(key))]
    if not words:
        raise UsageError("cannot stop nothing: a dyno or type is wanted", "procman ps:stop run.1234")
    return each(
        words,
        lambda word: meant.server.call("POST", of(meant, word) + path("actions", "stop")),
        "stop",
        lambda answers, words: said(own, {}, f"Stopping {words} on {meant.app}... done"),
    )


def of(meant: Target, word: str) -> str:
    """The path of a dyno, or of all of a type."""
    return path("apps", meant.app, "dynos" if "." in word else "formations", word)


def wait(told: Given, own: Own) -> int:
    """Until every dyno is up and of the latest release. Raises ProcmanError if that fails, or takes too long."""
    from procman.cli.request import waiting

    meant, kind = target(told), told.fields.get("process_type")
    patience = waiting(told).get("patience", inf)
    until = time.monotonic() + patience
    while True:
        release = last(meant)
        version, pending = release["version"], release["status"] == "pending"
        if kind and not pending and kind not in types(meant):  # before, it may be one that is coming
            raise no_such(meant, "wait for", str(kind))
        dynos = [dyno for dyno in meant.server.get(path("apps", meant.app, "dynos")) if counts(dyno, told)]
        late = [dyno["name"] for dyno in dynos if dyno["state"] != "up" or dyno["release"]["version"] < version]
        if release["status"] in ("failed", "expired"):
            hint = f"procman {'releases:output' if release['output_stream_url'] else 'logs'} -a {meant.app}"
            raise ProcmanError(f"cannot wait for v{version}: it {outcome(release)}", hint)
        if not pending and (crashed := [dyno for dyno in dynos if dyno["state"] == "crashed"]):
            why = f" ({crashed[0]['last_exit']})" if crashed[0]["last_exit"] else ""
            name = crashed[0]["name"]
            raise ProcmanError(f"cannot wait for {name}: it crashed{why}", f"procman logs -a {meant.app} {name}")
        if not late and not pending:
            return said(own, dynos, f"All {f'{kind} ' if kind else ''}dynos of {meant.app} are up, v{version}")
        if time.monotonic() >= until:
            limit = told.fields["wait_timeout"]
            what = f"cannot wait longer than {limit} for v{version}: {', '.join(late) or 'it'} did not come up by then"
            raise ProcmanError(what, f"procman logs -a {meant.app}")
        time.sleep(min(LOOK_S, max(0.0, until - time.monotonic())))


def types(meant: Target) -> list[str]:
    """The app's process types."""
    return [row["type"] for row in meant.server.get(path("apps", meant.app, "formation"))]


def no_such(meant: Target, verb: str, word: str) -> ProcmanError:
    """What is said of a word that is no dyno and no type of the app."""
    what = f"cannot {verb} {word}: {meant.app} has no such dyno or process type"
    return ProcmanError(what, f"procman ps:scale -a {meant.app}")


def counts(dyno: dict[str, Any], told: Given) -> bool:
    """Whether a dyno is waited for."""
    wanted = told.fields.get("process_type")
    return dyno["type"] == wanted if wanted else dyno["type"] not in ONE_OFFS
