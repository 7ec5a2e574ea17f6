"""`procman list`: every formation of this user on this host."""

import os
import time

from procman.cli.listing import columns, emit, emit_json
from procman.cli.options import Given
from procman.cli.ps import span
from procman.control.client import Client
from procman.supervisor.home import Home, apps_dir, homes

PATIENCE_S = 2.0  # one that does not answer shall not hide the others


def show_all(told: Given, own: dict[str, bool]) -> int:
    """Print them; those that do not run are named too, as their logs and histories are there to be asked for."""
    known = homes(apps_dir(os.environ))
    found = [describe(home) for home in known if home.is_running() or os.path.exists(home.log)]
    if own["json"]:
        emit_json({"formations": found})
        return 0
    body = [
        (
            str(row["name"]),
            "running" if row["running"] else "killed" if row["killed"] else "ended",
            span(time.time() - float(str(row["since"]))) if row["since"] else "-",
            str(row["pid"] or "-"),
            str(row["dynos"] or "-"),
            str(row["root"] or "-"),
        )
        for row in found
    ]
    emit("\n".join(columns([("NAME", "STATE", "FOR", "PID", "DYNOS", "APP"), *body], indent="")))
    return 0


def describe(home: Home) -> dict[str, object]:
    """One formation, by what its supervisor wrote and says."""
    said = home.facts()
    facts = said if home.is_running() else {}
    up = total = 0
    if facts:
        try:
            with Client(home.socket, PATIENCE_S) as client:
                states = [row["state"] for row in client.call("ps").get("dynos", ())]
            up, total = states.count("up"), len(states)
        except OSError:
            pass  # on its way up, or down, or stopped
    return {
        "name": home.name,
        "running": bool(facts),
        "killed": "pid" in said and not facts,
        "pid": int(facts["pid"]) if facts else None,
        "since": float(facts["since"]) if "since" in facts else None,
        "root": said.get("root"),
        "socket": home.socket if facts else None,
        "dynos": f"{up}/{total} up" if total else None,
        "log": home.log,
    }
