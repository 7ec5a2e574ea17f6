"""``healthchecks`` of app.json, in dokku's form, as far as they are of dynos that run: readiness and liveness.

Dokku: zero-downtime-deploys. Its startup checks are passed once, at a deploy (``app_json.Check``).
``notify``, ``within`` and ``every`` are keys of our own.
"""

from collections.abc import Callable, Iterable, Mapping
from shlex import join
from typing import Any

from procman.core.health import Checks, Probe

LONGEST_S = 3600.0
Wrong = Callable[[str, str], None]


def read(place: str, rows: Iterable[Mapping[str, Any]], wrong: Wrong) -> Checks | None:
    """What these rows ask for, if anything; ``wrong`` hears of a place where something is ignored, and why."""
    found: dict[str, Mapping[str, Any]] = {}
    for row in rows:
        if row.get("type") in ("readiness", "liveness"):
            found.setdefault(row["type"], row)
    ready = probe_of(f"{place}.readiness", found.get("readiness"), wrong)
    live = probe_of(f"{place}.liveness", found.get("liveness"), wrong)
    if not (ready or live):
        return None
    usual, begin, later = Checks(), found.get("readiness", {}), found.get("liveness", {})
    every = later.get("every", later.get("wait"))
    attempts = later.get("attempts", usual.failures)
    if type(attempts) is not int or not 1 <= attempts <= 1000:
        wrong(f"{place}.liveness.attempts", "not a whole number from 1 to 1000")
        attempts = usual.failures
    return Checks(
        ready,
        live,
        seconds(f"{place}.readiness.within", begin.get("within"), usual.within, wrong),
        seconds(f"{place}.liveness.every", every, usual.every, wrong),
        attempts,
    )


def probe_of(place: str, row: Mapping[str, Any] | None, wrong: Wrong) -> Probe | None:
    """The question that a row asks."""
    if row is None:
        return None
    timeout = seconds(f"{place}.timeout", row.get("timeout"), 5.0, wrong)
    path, command = row.get("path"), row.get("command")
    if isinstance(command, list) and all(isinstance(word, str) for word in command):
        command = join(command)
    if row.get("notify") is True:
        return Probe(notify=True, timeout=timeout)
    if isinstance(command, str) and command.strip() and "\0" not in command:
        return Probe(command=command, timeout=timeout)
    if isinstance(path, str) and path.startswith("/") and path.isprintable() and " " not in path:
        return Probe(http=path, timeout=timeout)
    wrong(place, "it has no path that begins with '/', no command and no notify")
    return None


def seconds(place: str, value: object, usual: float, wrong: Wrong) -> float:
    """A time; what is none is told."""
    if value is None:
        return usual
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= LONGEST_S:
        return float(value)
    wrong(place, f"not a number of seconds up to {LONGEST_S:g}")
    return usual
