"""What the kernel tells of a process at this moment. Any of them may end between two looks: that is never an error."""

import os
import time
from pathlib import Path

from procman.supervisor.proctable import is_becoming

BECOMING_S = 5.0  # that a process may be in the middle of ``exec``; far less on any machine


def environment(pid: int) -> dict[str, str]:
    """What it was started with; nothing of one that has gone."""
    parts = os.fsdecode(read_settled(pid, "environ")).split("\0")
    return dict(part.split("=", 1) for part in parts if "=" in part)


def command(pid: int) -> str:
    """Its command line, a space between the words; nothing of one that has gone."""
    return os.fsdecode(read_settled(pid, "cmdline")).replace("\0", " ")


def name(pid: int) -> str:
    """Of its program, up to 15 characters; nothing of one that has gone."""
    return os.fsdecode(read(pid, "comm")).strip()


def is_alive(pid: int) -> bool:
    """Neither gone nor a zombie."""
    return stat(pid)[:1] not in ([], ["Z"], ["X"])


def parent(pid: int) -> int | None:
    """Whose child it is; None of one that has gone."""
    fields = stat(pid)
    return int(fields[1]) if fields else None


def children(pid: int) -> list[int]:
    """Those that its first thread has started, zombies too; none of one that has gone."""
    return [int(word) for word in read(pid, f"task/{pid}/children").split()]


def stat(pid: int) -> list[str]:
    """The fields of its ``stat`` from the third, the state, on; none of one that has gone."""
    return os.fsdecode(read(pid, "stat")).rpartition(") ")[2].split()


def read_settled(pid: int, name: str) -> bytes:
    """The same of the program that it becomes, if it is becoming another just now: then it seems to have none."""
    deadline = time.monotonic() + BECOMING_S
    while not (found := read(pid, name)) and is_becoming(pid) and time.monotonic() < deadline:
        os.sched_yield()
    return found


def read(pid: int, name: str) -> bytes:
    """One of its files; nothing of one that has gone."""
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:
        return b""
