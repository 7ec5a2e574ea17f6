"""Which processes are a dyno's: its root, the root's session, all that descends from these, and what bears its token.

A pid is used again once nobody has it any more, as pid, group or session. From then on only its marks name a dyno.
"""

import os

from procman.supervisor.child import Child
from procman.supervisor.processes import INIT
from procman.supervisor.proctable import Process, Table
from procman.typed import Iterable, Mapping


def members(child: Child, table: Table, alive: Mapping[int, Child], grouped: Iterable[int]) -> list[Process]:
    """Every living process of a dyno. ``alive``: all dynos by the pid of their root; ``grouped``: in its cgroup."""
    roots = {pid for pid, each in alive.items() if not each.ended}  # else its number may be a stray's by now
    near = [pid for parent in (os.getpid(), INIT) for pid in table.children(parent)]
    within = table.rows if child.inherited or child.astray else near  # orphans may be with anybody
    lost = has_lost_number(child, table, alive)
    strays = [pid for pid in within if pid not in roots and (lost or table.rows[pid].session != child.pid)]
    strays = [pid for pid in strays if is_marked(table, pid, child)]
    child.strays = frozenset((pid, table.rows[pid].start) for pid in strays)
    strays += (pid for pid in grouped if pid in table.rows)
    return table.family(strays if lost else [child.pid, *strays])


def has_lost_number(child: Child, table: Table, alive: Mapping[int, Child]) -> bool:
    """Whether the number of a root that is gone may be another's by now.

    With our own children we know: we look at every end. Of another supervisor's, nobody looked at the session for a
    while.
    """
    row = table.rows.get(child.pid)
    taken = row is not None and row.start != child.start
    if child.inherited:
        return taken or row is None
    if child.ended and (taken or alive.get(child.pid) is not child or not table.is_used(child.pid)):
        child.unnumbered = True
    return child.unnumbered


def is_marked(table: Table, pid: int, child: Child) -> bool:
    """Whether a process is the dyno's by its token; or, in a session of that number, by where it writes; or was."""
    row = table.rows[pid]
    if (pid, row.start) in child.strays or table.bears_token(pid, child.token):
        return True
    return row.session == child.pid and writes_to(row.pid, child.pipes)


def writes_to(pid: int, paths: Iterable[str]) -> bool:
    """Whether the process has one of these for its stdout or stderr."""
    for fd in (1, 2):
        try:
            if os.readlink(f"/proc/{pid}/fd/{fd}") in paths:
                return True
        except OSError:
            continue
    return False
