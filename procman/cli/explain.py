"""`procman explain`: why a dyno is down, or was, from its history, its log, its state and the kernel."""

import re
import time
from typing import Any

from procman.cli.listing import columns, counted, emit, emit_json
from procman.cli.options import Given
from procman.cli.ps import span
from procman.cli.request import home_of
from procman.cli.target import Located
from procman.control.client import Client, NotRunning
from procman.errors import ProcmanError
from procman.logs.line import Filter, parse_line
from procman.logs.tail import last
from procman.supervisor.history import History
from procman.supervisor.home import Home
from procman.supervisor.proctable import memory_facts

LIVES, LINES = 10, 20
LOOKED_AT = 400  # lines: a crash loop has six of procman's own for each life
# What the state and the lives say already; errors, and what a status means, stay.
ROUTINE = re.compile(
    rb"^\S+ heroku\[[^]]*\]: (Starting process|State changed|Process exited|Next try|Restarting|Stopping) ?"
)


def explain(told: Given, own: dict[str, bool]) -> int:
    """Print all that is known of one dyno. Works on what is on disk when no supervisor lives."""
    home = home_of(told)
    for dyno in [name for word in told.arguments for name in dynos_of(home, word)]:
        with Located(told):
            found = collect(home, dyno)
        if own["json"]:
            emit_json(found)
        else:
            emit("\n".join(story(found)))
    return 0


def rows_of(home: Home, word: str) -> list[dict[str, Any]]:
    """What a running formation says of a dyno or type; nothing when none runs, or it has no such dyno."""
    try:
        with Client(home.socket) as client:
            answer = client.call("ps", dynos=[word])
    except NotRunning:
        return []
    return list(answer["dynos"]) if answer.get("ok") else []


def dynos_of(home: Home, word: str) -> list[str]:
    """A type means all its dynos: those that there are, or else those of the formation that ended last."""
    return [row["dyno"] for row in rows_of(home, word)] or last_dynos(home, word) or logged(home, word) or [word]


def last_dynos(home: Home, process_type: str) -> list[str]:
    """Those of a type that have lived in the last formation, by number. Each begins with the first life of number 1."""
    began = 0.0
    ended: dict[int, float] = {}
    for life in History(home.history).lives():
        name, _, number = life["dyno"].rpartition(".")
        if name == process_type and number.isdecimal():
            ended[int(number)] = life["ended"]
            if (int(number), life["run"]) == (1, 1):
                began = life["started"]
    return [f"{process_type}.{number}" for number, end in sorted(ended.items()) if end >= began]


def logged(home: Home, process_type: str) -> list[str]:
    """Those of a type that the log tells of: no life had ended when the supervisor was killed."""
    lines = last(home.log, LOOKED_AT, Filter(process_type=process_type))
    return sorted({parse_line(line).ps for line in lines}, key=lambda name: (len(name), name))


def collect(home: Home, dyno: str) -> dict[str, Any]:
    """State, lives, lines and memory of a dyno."""
    state = next(iter(rows_of(home, dyno)), None)
    lives = list(History(home.history).lives(dyno))[-LIVES:]
    written = last(home.log, LOOKED_AT, Filter(dyno=dyno))
    if state is None and not lives and not written:
        hint = "procman ps" if home.is_running() else "procman start --detach" if home.was_killed() else "procman list"
        raise ProcmanError(f"cannot explain {dyno}: {home.name} has never had such a dyno", hint)
    lines = [line for line in written if not ROUTINE.search(line)][-LINES:]
    return {
        "dyno": dyno,
        "state": state,
        "running": home.is_running(),
        "killed": home.was_killed(),
        "may_go_on": home.was_killed() and "holder" in home.facts(),  # as it was detached
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
                time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(life["started"])),
                f"lived {life['ended'] - life['started']:.1f} s",
                life["words"],
                "as asked" if life.get("asked") else "",
            )
            for life in lives
        ]
        told += columns(rows)
    if found["lines"]:
        told += ["", f"Its last {counted(len(found['lines']), 'line')}:", *(f"  {line}" for line in found["lines"])]
    return [*told, "", "What the kernel says about memory, of the whole host:", *columns(found["memory"].items())]


def headline(found: dict[str, Any]) -> str:
    """"web.1 is crashed: exited with status 1 after 0.3 s, 7 crashes in a row; next try in 41 s"."""
    state, lives, dyno = found["state"], found["lives"], found["dyno"]
    if state is None:
        if found["may_go_on"]:
            return f"{dyno} may go on, but its supervisor was killed: procman start --detach takes over what runs"
        down = "its supervisor was killed" if found["killed"] else "its formation is down"
        why = "the formation has no such dyno now" if found["running"] else down
        return f"{dyno} does not run: {why}" + (f". Its last life: {lives[-1]['words']}" if lives else "")
    if state["pid"]:
        age = span(time.time() - state["since"])
        health = f"; last health check: {state['finding']}" if state.get("finding") else ""
        note = f"; it says: {state['note']}" if state.get("note") else ""
        return f"{dyno} has been {state['state']} for {age}, {counted(state['restarts'], 'restart')}{health}{note}"
    life = lives[-1] if lives else None
    why = f": {life['words']} after {life['ended'] - life['started']:.1f} s" if life else ""
    if state.get("exit") and (not life or state["exit"] != life["words"]):
        why = f": {state['exit']}"  # it could not be started, which is no life
    if state.get("waits_for"):
        return f"{dyno} is waiting for {state['waits_for']}{why}"
    if state["state"] != "crashed":
        return f"{dyno} is {state['state']}{why}"
    row = f", {state['crashes']} crash{'es' if state['crashes'] > 1 else ''} in a row"
    wait = state["next_try"]
    after = f"next try in {span(wait)}" if wait is not None else f"no next try (policy {state['policy']})"
    return f"{dyno} is crashed{why}{row}; {after}, or now: procman restart {dyno}"
