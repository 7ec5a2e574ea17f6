"""`procman ps`: the dynos of a running formation."""

import time

from procman.cli.listing import columns, counted, emit, emit_json
from procman.cli.options import Given
from procman.cli.request import ask
from procman.control.protocol import Message
from procman.errors import UsageError
from procman.typed import Any

UNITS = ("B", "K", "M", "G")


def ps(told: Given, own: dict[str, bool]) -> int:
    """Print the formation, once or again and again."""
    if not told.fields.get("watch"):
        return show(told, own["json"])
    if own["json"]:
        raise UsageError("cannot use --json with --watch: it prints one object", "procman ps --json")
    from procman.cli.screen import refresh

    return refresh(lambda: "\n".join(overview(ask(told, "ps", dynos=list(told.arguments)))))


def show(told: Given, as_json: bool) -> int:
    """Print the formation once; a dyno alone at length."""
    answer = ask(told, "ps", dynos=list(told.arguments))
    if as_json:
        numbers = {key: kind(answer[key]) for key, kind in (("pid", int), ("since", float)) if key in answer}
        emit_json({**answer, **numbers})
        return 0
    if told.arguments and [row["dyno"] for row in answer["dynos"]] == list(told.arguments):
        for row in answer["dynos"]:
            emit("\n".join(columns((key, str(value)) for key, value in details(row).items())))
        return 0
    emit("\n".join(overview(answer)))
    return 0


def overview(answer: Message) -> list[str]:
    """All dynos, and what the log lacks, if it does."""
    log = answer.get("log") or {}
    lost = f"The log lacks {counted(log['lost_lines'], 'line')}: {log['trouble']}" if log.get("lost_lines") else ""
    return [*table(answer["dynos"]), *(["", lost] if lost else [])]


def table(rows: list[dict[str, Any]]) -> list[str]:
    """A line a dyno, under a heading."""
    heading = ("DYNO", "STATE", "FOR", "RESTARTS", "LAST EXIT", "NEXT TRY", "MEMORY", "CPU", "PORT", "PID", "COMMAND")
    body = [tuple(details(row).values()) for row in rows]
    return columns([heading, *body], indent="") if body else ["No dynos. procman scale web=1"]


def details(row: dict[str, Any]) -> dict[str, str]:
    """What is told about a dyno, in the order of the table's columns."""
    share = 100 * row["cpu"] / row["uptime"] if row["uptime"] > 0.1 else 0.0
    return {
        "dyno": row["dyno"],
        "state": f"waiting for {row['waits_for']}" if row.get("waits_for") else row["state"],
        "for": span(time.time() - row["since"]),
        "restarts": str(row["restarts"]),
        "last exit": row["exit"] or "-",
        "next try": f"in {span(row['next_try'])}" if row["next_try"] is not None else "-",
        "memory": size(row["memory"]) if row["pid"] else "-",
        "cpu": f"{share:.0f}%" if row["pid"] else "-",
        "port": str(row["port"] or "-"),
        "pid": str(row["pid"] or "-"),
        "command": row["command"],
    }


def span(seconds: float) -> str:
    """``4s``, ``3m``, ``2h``, ``5d``."""
    for unit, length in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds >= length:
            return f"{seconds / length:.0f}{unit}"
    return f"{max(seconds, 0):.0f}s"


def size(count: float) -> str:
    """``512K``, ``3.5M``."""
    unit = 0
    while count >= 1024 and unit < len(UNITS) - 1:
        count, unit = count / 1024, unit + 1
    return f"{count:.0f}{UNITS[unit]}" if count >= 10 or not unit else f"{count:.1f}{UNITS[unit]}"
