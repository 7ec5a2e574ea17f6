"""What an exporter is given for each dyno: honcho's four fields, and what ours want to know besides."""

from collections.abc import Mapping
from itertools import groupby
from typing import Any, NamedTuple

from procman.core.health import Checks
from procman.core.model import WEB

GRACE_S = 30  # Heroku: dyno-shutdown-behavior
OWN = frozenset({"DYNO", "PS", "PORT", "HONCHO_PROCESS_NAME"})  # what differs by dyno


class Process(NamedTuple):
    """One dyno. ``name``, ``cmd``, ``quiet`` and ``env`` are what honcho's exporters read of it.

    ``needs``: types of the formation that are to be up before it starts; ``rank``: how long that row is at most.
    """

    name: str  # web.1
    cmd: str
    quiet: bool
    env: Mapping[str, str]
    process_type: str
    port: int
    grace: int = GRACE_S  # seconds from SIGTERM to SIGKILL
    checks: Checks | None = None
    stop_signal: str = "SIGTERM"
    memory: int | None = None  # bytes of its quota
    needs: tuple[str, ...] = ()
    rank: int = 0

    @property
    def is_web(self) -> bool:
        """Whether requests come to it, and it is up when it has bound its port (Heroku: dyno-startup-behavior)."""
        return self.process_type == WEB


def as_process(process: Any) -> Process:
    """The same of what `honcho export` hands to our exporters."""
    if isinstance(process, Process):
        return process
    kind = process.name.rpartition(".")[0] or process.name
    port = int(process.env.get("PORT", 5000))
    return Process(process.name, process.cmd, process.quiet, process.env, kind, port)


def by_type(processes: list[Process]) -> list[tuple[str, list[Process]]]:
    """Dynos by process type, which stand together already."""
    return [(kind, list(group)) for kind, group in groupby(processes, lambda process: process.process_type)]


def shared_env(process: Process) -> dict[str, str]:
    """What of a dyno's environment every other dyno has too."""
    return {key: value for key, value in process.env.items() if key not in OWN}
