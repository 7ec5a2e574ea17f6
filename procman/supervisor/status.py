"""How a formation stands, as plain values for whoever asks: a row a dyno."""

import os
import time

from procman.core.dyno import Dyno, State
from procman.core.restart import NEVER
from procman.logs.scribe import SLOW, Scribe
from procman.logs.store import LogStore
from procman.supervisor.child import Child, Command
from procman.supervisor.proctable import Table, snapshot
from procman.typed import Any, Mapping

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
TICKS_S = os.sysconf("SC_CLK_TCK")


def row_of(dyno: Dyno, command: Command | None, child: Child | None, now: float, table: Table) -> dict[str, Any]:
    """One dyno. Times are seconds since the epoch or lengths in seconds; memory is in bytes, cpu in seconds used."""
    wall = time.time()
    wait = dyno.deadline() - now if dyno.state.value == "crashed" else NEVER
    members = table.family([child.pid]) if child and not child.ended else []
    return {
        "dyno": str(dyno.name),
        "type": dyno.name.process_type,
        "state": dyno.public(),
        "phase": dyno.state.value,
        "since": wall - (now - dyno.since),
        "restarts": max(dyno.run - 1, 0),
        "run": dyno.run,
        "crashes": dyno.crashes,
        "exit": dyno.last_exit.words() if dyno.last_exit else None,
        "status": dyno.last_exit.status if dyno.last_exit else None,
        "finding": dyno.finding or (dyno.profile.check if dyno.state is State.STARTING else ""),
        "next_try": None if wait == NEVER else max(wait, 0.0),
        "policy": dyno.profile.policy.name,
        "memory": sum(member.memory for member in members) * PAGE_BYTES,
        "cpu": sum(member.cpu for member in members) / TICKS_S,
        "uptime": now - dyno.started_at if dyno.pid else 0.0,
        "processes": len(members),
        "port": int(command.env["PORT"]) if command and command.env.get("PORT", "").isdecimal() else None,
        "pid": dyno.pid,
        "terminal": child is not None and child.pty is not None,
        "command": command.text if command else "",
    }


def rows(
    dynos: Mapping[Any, Dyno], commands: Mapping[Any, Command], children: Mapping[Any, Child], now: float
) -> list[dict[str, Any]]:
    """Every dyno, in the order of the formation."""
    table = snapshot()
    return [row_of(dyno, commands.get(name), children.get(name), now, table) for name, dyno in dynos.items()]


def log_facts(scribe: Scribe | None, store: LogStore | None) -> dict[str, Any]:
    """What is said of the log's writing: bytes that wait for the disk, and the gap that it will have to tell of."""
    if not scribe or not store:
        return {}
    waiting, lines, size, why = scribe.losses(store.lost_lines, store.lost_bytes, store.trouble)
    trouble = why if lines else SLOW if scribe.stalls else ""
    return {"waiting": waiting, "lost_lines": lines, "lost_bytes": size, "trouble": trouble}
