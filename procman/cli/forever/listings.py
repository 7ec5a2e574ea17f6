"""The actions that look: what runs, what it wrote; and the one that throws away what the dead wrote."""

import os

from procman.cli.forever.flags import Asked
from procman.cli.forever.orders import NOTHING
from procman.cli.forever.roll import Entry, entries, find, running, status
from procman.cli.listing import columns, emit, emit_json
from procman.errors import ProcmanError, UsageError
from procman.supervisor.home import AlreadyRunning


def show_list(asked: Asked, where: str) -> int:
    """Print what runs."""
    rows = [described(entry) for entry in running(where)]
    if asked.fields.get("json"):
        emit_json({"processes": rows})
        return 0
    if not rows:
        emit(NOTHING)
        return 0
    heading = ("", "UID", "COMMAND", "SCRIPT", "FOREVER", "PID", "ID", "LOGFILE", "UPTIME")
    body = [
        (
            f"[{row['index']}]",
            *(str(row[key] or "-") for key in ("uid", "command", "script", "forever", "pid", "id", "logfile")),
            uptime(row["uptime"]) if row["running"] else str(row["state"]),
        )
        for row in rows
    ]
    emit("\n".join(columns([heading, *body], indent="")))
    return 0


def described(entry: Entry) -> dict[str, object]:
    """What `list` tells of one."""
    row = status(entry)
    waits = row.get("next_try")
    state = str(row.get("state", "starting"))
    return {
        **{key: entry.facts.get(key) for key in ("index", "uid", "id", "command", "script", "cwd", "logfile")},
        "forever": int(entry.home.facts().get("pid", "0")),
        "pid": row.get("pid"),
        "name": entry.home.name,
        "running": bool(row.get("pid")),
        "uptime": row.get("uptime", 0.0),
        "restarts": row.get("restarts", 0),
        "exit": row.get("exit"),
        "state": f"{state}: {row.get('exit')}, next try in {waits:.1f} s" if waits is not None else state,
    }


def uptime(seconds: object) -> str:
    """``0:0:1:5.123``: days, hours, minutes, seconds (forever's way)."""
    whole = float(str(seconds))
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(int(minutes), 60)
    days, hours = divmod(hours, 24)
    return f"{days}:{hours}:{minutes}:{rest:.3f}"


def logs(asked: Asked, where: str) -> int:
    """Show the last lines of one; without a name, where the logs of those are that run."""
    from procman.cli.logs import follow, number, show
    from procman.logs.line import EVERYTHING
    from procman.logs.tail import end as end_of
    from procman.logs.tail import follow_from, last

    if not asked.words:
        alive = running(where)
        rows = [(f"[{entry.facts['index']}]", entry.uid, str(entry.facts["logfile"] or "-")) for entry in alive]
        emit("\n".join(columns([("", "UID", "LOGFILE"), *rows], indent="")) if rows else NOTHING)
        return 0
    word, *more = asked.words
    if more:
        raise UsageError(f"cannot show the log of {more[0]} too: one at a time", f"procman forever logs {more[0]}")
    entry = speaker(find(word, running(where) if word.isdecimal() else entries(where)))
    if not os.path.isdir(entry.home.log):
        raise ProcmanError(
            f"cannot show the log of {entry.label()}: it runs in the foreground and writes to its own stdout"
            if entry.facts.get("foreground")
            else f"cannot show the log of {entry.label()}: there is none"
        )
    count = asked.fields.get("number")
    place = end_of(entry.home.log)
    show(last(entry.home.log, number(count if isinstance(count, str) else ""), before=place), False)
    if asked.fields.get("fifo") and entry.home.is_running():
        return follow(entry.home, "", follow_from(entry.home.log, place), EVERYTHING, False)
    return 0


def speaker(found: list[Entry]) -> Entry:
    """The one of these whose log is meant: it runs, or was the last to write. Raises ProcmanError if several run."""
    alive = [entry for entry in found if entry.home.is_running()]
    if len(alive) > 1:
        uids = [entry.uid for entry in alive]
        raise ProcmanError(
            f"cannot show the log of {alive[0].facts['script']}: several run, {', '.join(uids)}",
            f"procman forever logs {uids[-1]}",
        )
    return alive[0] if alive else max(found, key=last_written)


def last_written(entry: Entry) -> float:
    """When its log was, in seconds since 1970; 0 without one."""
    try:
        with os.scandir(entry.home.log) as files:
            return max((file.stat().st_mtime for file in files), default=0.0)
    except OSError:
        return 0.0


def clean_logs(asked: Asked, where: str) -> int:
    """Delete the logs of programs that do not run. Files of -l, -o and -e are their owner's and stay."""
    count = size = 0
    for entry in entries(where):
        if not os.path.isdir(entry.home.log):
            continue
        try:
            entry.home.take()
        except AlreadyRunning:
            continue
        try:
            for name in sorted(os.listdir(entry.home.log)):
                path = os.path.join(entry.home.log, name)
                size += os.path.getsize(path)
                os.unlink(path)
                emit(f"Deleted {path}")
                count += 1
            os.rmdir(entry.home.log)
        finally:
            entry.home.leave()
    files = "log file" if count == 1 else "log files"
    emit(f"{count} {files} deleted, {size} bytes" if count else "No logs of ended processes")
    return 0
