"""`procman explain`: why a dyno is down, or was, from its history, its log, its state and the kernel."""

import time
from typing import Any

from procman.cli.listing import columns, emit, emit_json
from procman.cli.operate import home_of, span, text
from procman.cli.options import Given
from procman.control.client import Client, NotRunning
from procman.errors import ProcmanError
from procman.logs.tail import Filter, last
from procman.supervisor.history import History
from procman.supervisor.home import Home
from procman.supervisor.proctable import memory_facts

LIVES, LINES = 10, 20


def explain(told: Given, own: dict[str, bool]) -> int:
    """Print all that is known of one dyno. Works on what is on disk when no supervisor lives."""
    home = home_of(told)
    for dyno in told.arguments:
        found = collect(home, dyno, text(told, "socket") or home.socket)
        if own["json"]:
            emit_json(found)
        else:
            emit("\n".join(story(found)))
    return 0


def collect(home: Home, dyno: str, socket: str) -> dict[str, Any]:
    """State, lives, lines and memory of a dyno."""
    state = None
    try:
        with Client(socket) as client:
            answer = client.call("ps", dynos=[dyno])
            state = answer["dynos"][0] if answer.get("ok") and answer["dynos"] else None
    except NotRunning:
        pass
    lives = list(History(home.history).lives(state["dyno"] if state else dyno))[-LIVES:]
    if state is None and not lives:
        raise ProcmanError(f"cannot explain {dyno}: {home.name} has never had such a dyno", "procman ps")
    name = state["dyno"] if state else dyno
    lines = last(home.log, LINES, Filter(dyno=name, source="app"))
    return {
        "dyno": name,
        "state": state,
        "lives": lives,
        "lines": [line.decode("utf-8", "backslashreplace").rstrip("\n") for line in lines],
        "memory": memory_facts(),
    }


def story(found: dict[str, Any]) -> list[str]:
    """The same in words."""
    lives = found["lives"]
    told = [headline(found)]
    if lives:
        told += ["", "Its last lives:"]
        rows = [
            (
                time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(life["started"])),
                f"lived {life['ended'] - life['started']:.1f} s",
                life["words"],
                "as asked" if life.get("asked") else "",
            )
            for life in lives
        ]
        told += columns(rows)
    if found["lines"]:
        told += ["", f"Its last {len(found['lines'])} lines:", *(f"  {line}" for line in found["lines"])]
    return [*told, "", "What the kernel says about memory:", *columns(found["memory"].items())]


def headline(found: dict[str, Any]) -> str:
    """"web.1 is crashed: exited with status 1 after 0.3 s, 7 crashes in a row; next try in 41 s"."""
    state, lives, dyno = found["state"], found["lives"], found["dyno"]
    if state is None:
        return f"{dyno} does not run: its formation is down. It last {lives[-1]['words']}"
    if state["pid"]:
        return f"{dyno} is {state['state']} since {span(time.time() - state['since'])}, {state['restarts']} restarts"
    life = lives[-1] if lives else None
    why = f": {life['words']} after {life['ended'] - life['started']:.1f} s" if life else ""
    if state["state"] != "crashed":
        return f"{dyno} is {state['state']}{why}"
    row = f", {state['crashes']} crash{'es' if state['crashes'] > 1 else ''} in a row"
    wait = state["next_try"]
    after = f"next try in {span(wait)}" if wait is not None else f"no next try (policy {state['policy']})"
    return f"{dyno} is crashed{why}{row}; {after}, or now: procman restart {dyno}"
