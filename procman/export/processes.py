"""What an exporter is given for each dyno: honcho's four fields, and what ours want to know besides."""

from collections.abc import Mapping
from itertools import groupby
from typing import Any, NamedTuple

GRACE_S = 30  # Heroku: dyno-shutdown-behavior
OWN = frozenset({"DYNO", "PS", "PORT", "HONCHO_PROCESS_NAME"})  # what differs by dyno


class Probe(NamedTuple):
    """How a web dyno is asked whether it is up. No ``path``: whether it has bound its port. Times in seconds."""

    path: str | None = None
    timeout: int = 5
    within: int = 60  # Heroku: dyno-startup-behavior


class Process(NamedTuple):
    """One dyno. ``name``, ``cmd``, ``quiet`` and ``env`` are what honcho's exporters, and others', read of it."""

    name: str  # web.1
    cmd: str
    quiet: bool
    env: Mapping[str, str]
    process_type: str
    port: int
    grace: int = GRACE_S  # seconds from SIGTERM to SIGKILL
    probe: Probe | None = None  # None: up as soon as it runs
    stop_signal: str = "SIGTERM"
    memory: int | None = None  # bytes of its quota


def as_process(process: Any) -> Process:
    """The same of what `honcho export` hands to our exporters."""
    if isinstance(process, Process):
        return process
    kind = process.name.rpartition(".")[0] or process.name
    probe = Probe() if kind == "web" else None
    port = int(process.env.get("PORT", 5000))
    return Process(process.name, process.cmd, process.quiet, process.env, kind, port, probe=probe)


def by_type(processes: list[Process]) -> list[tuple[str, list[Process]]]:
    """Dynos by process type, which stand together already."""
    return [(kind, list(group)) for kind, group in groupby(processes, lambda process: process.process_type)]


def shared_env(process: Process) -> dict[str, str]:
    """What of a dyno's environment every other dyno has too."""
    return {key: value for key, value in process.env.items() if key not in OWN}
