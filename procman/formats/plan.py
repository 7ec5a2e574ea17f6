"""The text form of a plan, which the server writes and an app's supervisor reads."""

import json
import math
from collections.abc import Callable, Mapping
from typing import Any

from procman.core.health import Checks, Probe, plain
from procman.core.plan import Health, Limits, Plan, TypePlan
from procman.core.restart import NAMED

ROLLOUTS = ("preboot", "restart")
LAST_PORT = 65_535

Read = Callable[[object], Any]


def encode(plan: Plan) -> bytes:
    """JSON, keys in the order of the tuples."""
    types = {name: encode_type(kind) for name, kind in plan.types.items()}
    return json.dumps({**plan._asdict(), "types": types}, indent=1).encode() + b"\n"


def encode_type(kind: TypePlan) -> dict[str, Any]:
    """One type. What is not wanted of it is left out where supervisors of an earlier version do not know of it."""
    row = {
        **kind._asdict(),
        "limits": kind.limits._asdict(),
        "health": kind.health._asdict() if kind.health else None,
        "checks": plain(kind.checks) if kind.checks else None,
    }
    return {name: value for name, value in row.items() if value or name not in ("checks", "needs")}


def decode(text: bytes) -> Plan:
    """The plan. Raises ValueError, which says what is wrong where, and never tells a value of a variable."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        raise ValueError("not JSON") from None
    plan = Plan(**take(found, "the plan", PLAN, Plan._field_defaults))
    first, count = plan.ports
    if first < 1 or count < 1 or first + count - 1 > LAST_PORT:
        raise ValueError(f"ports: {first} and {count} are no block of ports")
    return plan


def take(found: object, where: str, fields: Mapping[str, Read], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """The members of an object, each read by its kind. Raises ValueError for one that is missing, wrong or unknown."""
    found = an_object(found, where)
    if unknown := [name for name in found if name not in fields]:
        raise ValueError(f"{where}: there is no {unknown[0]!r}")
    if missing := [name for name in fields if name not in found and name not in defaults]:
        raise ValueError(f"{where}: {missing[0]} is missing")
    values = {}
    for name, value in found.items():
        try:
            values[name] = fields[name](value)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
    return values


def an_object(value: object, where: str = "") -> dict[str, Any]:
    """With whatever in it."""
    if not isinstance(value, dict):
        raise ValueError(f"{where}: an object is wanted" if where else "an object is wanted")  # noqa: TRY004
    return value


def a_text(value: object) -> str:
    """Any, but no NUL, which no environment and no path can hold."""
    if not isinstance(value, str) or "\0" in value:
        raise ValueError("a text is wanted")
    return value


def a_word(value: object) -> str:
    """A text that is not empty."""
    if not (text := a_text(value)):
        raise ValueError("it is empty")
    return text


def a_path(value: object) -> str:
    """From the root."""
    if not (text := a_text(value)).startswith("/"):
        raise ValueError("an absolute path is wanted")
    return text


def a_number(value: object) -> int:
    """A whole one, not negative."""
    if type(value) is not int or value < 0:
        raise ValueError("a whole number is wanted")
    return value


def seconds(value: object) -> float:
    """Finite and not negative."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value) or value < 0:
        raise ValueError("a number of seconds is wanted")
    return float(value)


def a_truth(value: object) -> bool:
    """True or false."""
    if value is not True and value is not False:
        raise ValueError("true or false is wanted")
    return bool(value)


def one_of(words: tuple[str, ...]) -> Read:
    """One of a few words."""

    def read(value: object) -> str:
        if value not in words:
            raise ValueError(f"one of {', '.join(words)} is wanted")
        return str(value)

    return read


def maybe(read: Read) -> Read:
    """Or null."""
    return lambda value: None if value is None else read(value)


def texts(value: object) -> dict[str, str]:
    """Names with a text each. A name that no environment can hold is refused; the text is never told."""
    found = an_object(value)
    for name, text in found.items():
        if not name or "=" in name or "\0" in name:
            raise ValueError(f"{name!r} cannot be the name of a variable")
        try:
            a_text(text)
        except ValueError:
            raise ValueError(f"{name} must be a text") from None
    return dict(found)


def a_block(value: object) -> tuple[int, int]:
    """The first port, and how many."""
    if not isinstance(value, list) or len(value) != 2:
        raise ValueError("the first port and their number are wanted")
    return a_number(value[0]), a_number(value[1])


def process_types(value: object) -> dict[str, TypePlan]:
    """By name, in the order given."""
    found = an_object(value)
    for name in found:
        if not name.isascii() or not name.replace("-", "").replace("_", "").isalnum():
            raise ValueError(f"{name!r} cannot be a process type")
    return {name: TypePlan(**take(kind, name, TYPE, TypePlan._field_defaults)) for name, kind in found.items()}


def limits(value: object) -> Limits:
    """Those of a size."""
    return Limits(**take(value, "limits", LIMITS, Limits._field_defaults))


def health(value: object) -> Health:
    """The check of new web dynos."""
    return Health(**take(value, "health", HEALTH, Health._field_defaults))


def checks(value: object) -> Checks:
    """Those of every dyno of a type."""
    return Checks(**take(value, "checks", CHECKS, Checks._field_defaults))


def probe(value: object) -> Probe:
    """One way to ask."""
    found = Probe(**take(value, "probe", PROBE, Probe._field_defaults))
    if [bool(found.http), bool(found.command), found.notify].count(True) != 1:
        raise ValueError("one of http, command and notify is wanted")
    return found


def words(value: object) -> tuple[str, ...]:
    """A list of names."""
    if not isinstance(value, list):
        raise ValueError("a list is wanted")  # noqa: TRY004
    return tuple(map(a_word, value))


PROBE: Mapping[str, Read] = {"http": a_text, "command": a_text, "notify": a_truth, "timeout": seconds}
CHECKS: Mapping[str, Read] = {"within": seconds, "every": seconds, "failures": a_number}
CHECKS = {"ready": maybe(probe), "live": maybe(probe), **CHECKS}
LIMITS: Mapping[str, Read] = {"size": a_word, "memory": a_number, "vast": a_number, "processes": a_number}
HEALTH: Mapping[str, Read] = {"path": a_path, "timeout": seconds, "within": seconds, "any_answer": a_truth}
TYPE: Mapping[str, Read] = {
    "command": a_text,
    "quantity": a_number,
    "limits": limits,
    "overlap": a_truth,
    "health": maybe(health),
    "checks": maybe(checks),
    "needs": words,
}
PLAN: Mapping[str, Read] = {
    "app_id": a_word,
    "app_name": a_word,
    "generation": a_number,
    "release_id": a_text,
    "version": a_number,
    "directory": a_path,
    "types": process_types,
    "env": texts,
    "ports": a_block,
    "mount": maybe(a_path),
    "rollout": one_of(ROLLOUTS),
    "policy": one_of(tuple(NAMED)),
    "boot_timeout": seconds,
    "grace": seconds,
    "steady_s": seconds,
    "watch_s": seconds,
    "cycle": a_truth,
    "runtime_metrics": a_truth,
    "cgroup": texts,
}
