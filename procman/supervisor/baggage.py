"""What a supervisor takes along when its program is replaced: what it knows, as JSON, and the descriptors it names."""

import json
import os

from procman.core.model import DynoName
from procman.supervisor.child import Child
from procman.supervisor.ends import Io
from procman.supervisor.inherited import Inherited
from procman.typed import Any, Iterable, Mapping

RESUME = "PROCMAN_RESUME"  # in the environment: the descriptor to read, or CHECK
CHECK = "check"
CAN = "can go on"  # the last words of a program that was only asked

Baggage = Mapping[str, Any]


def pack_child(child: Child, streams: list[dict[str, Any]], ending: bool) -> dict[str, Any]:
    """One life."""
    inherited = child.inherited
    return {
        "dyno": child.dyno,
        "run": child.run,
        "pid": child.pid,
        "start": child.start,
        "began": child.began,
        "token": child.token.decode("utf-8", "surrogateescape"),
        "io": child.io.value,
        "pty": child.pty,
        "stdin": child.stdin,
        "pipes": child.pipes,
        "ended": child.ended,
        "unnumbered": child.unnumbered,
        "status": child.status,
        "inherited": [inherited.handle, inherited.status] if inherited else None,
        "streams": streams,
        "ending": ending,
    }


def unpack_child(row: Mapping[str, Any]) -> Child:
    """The same life."""
    outputs = [(stream["fd"], stream["name"]) for stream in row["streams"]]
    child = Child(DynoName(*row["dyno"]), row["run"], row["pid"], outputs)
    child.start, child.began, child.io = row["start"], row["began"], Io(row["io"])
    child.token = row["token"].encode("utf-8", "surrogateescape")
    child.pty, child.stdin, child.pipes = row["pty"], row["stdin"], tuple(row["pipes"])
    child.ended, child.status = row["ended"], row["status"]
    child.unnumbered = row.get("unnumbered", False)  # a program of before did not tell
    if row["inherited"]:
        handle, status = row["inherited"]
        child.inherited = Inherited(child.pid, handle, status)
    return child


def lives_in(baggage: Baggage) -> list[tuple[DynoName, int]]:
    """Dynos and runs."""
    return [(DynoName(*life["dyno"]), life["run"]) for life in baggage["lives"]]


def pipes_in(baggage: Baggage) -> list[str]:
    """Paths of all log pipes."""
    return [path for life in baggage["lives"] for path in life["pipes"]]


def descriptors(baggage: Baggage) -> set[int]:
    """All that have to survive."""
    found = {baggage["lock"], baggage["listener"], baggage["guard"]["pipe"]}
    found |= {row["fd"] for row in baggage["connections"]}
    found |= {fd for _, fd, _ in baggage["app"].get("notices", ())}
    for life in baggage["lives"]:
        found |= {stream["fd"] for stream in life["streams"]}
        found |= {life["pty"], life["stdin"], *(life["inherited"] or ())[:1]}
    return found - {None, -1}


def write(baggage: Baggage) -> int:
    """A descriptor to read it from: memory, as it holds what no disk shall."""
    fd = os.memfd_create("procman", 0)
    with open(fd, "wb", closefd=False) as file:
        file.write(json.dumps(baggage).encode())
    return fd


def read(fd: int) -> Baggage:
    """What was packed. The descriptors are ours alone from now on: no dyno inherits them."""
    with open(fd, "rb") as file:
        file.seek(0)
        baggage: Baggage = json.loads(file.read())
    keep_from_dynos(descriptors(baggage))
    return baggage


def keep_from_dynos(fds: Iterable[int], kept: bool = True) -> None:
    """Close these when another program takes our place, or leave them open to it."""
    for fd in fds:
        os.set_inheritable(fd, not kept)


def arrived() -> Baggage | None:
    """What an earlier program of this very process packed for us, if there was one. Told once."""
    word = os.environ.pop(RESUME, "")
    return read(int(word)) if word.isdecimal() else None


def is_check() -> bool:
    """Whether we are only asked if we could go on."""
    return os.environ.get(RESUME) == CHECK
