"""``[health.TYPE]`` of a settings file: what its keys mean. Each comes as one text, ``web http=/health``."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from procman.core.health import Checks, Probe
from procman.formats import duration
from procman.formats.formation_arg import ALL, parse_type

WAYS = ("http", "command", "notify")


def flatten(table: object) -> list[str]:
    """A table by type as such texts. ValueError where it is none."""
    if not isinstance(table, Mapping):
        raise ValueError('a table by type is wanted, such as [health.web] with http = "/health"')  # noqa: TRY004
    texts: list[str] = []
    for kind, keys in table.items():
        if not isinstance(keys, Mapping):
            raise ValueError(f"{kind}: a table is wanted, such as [health.{kind}] with http = \"/health\"")  # noqa: TRY004
        texts += [f"{kind} {key}={value}" for key, value in flat_keys(kind, keys)] or [f"{kind} ="]
    return texts


def flat_keys(place: str, table: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """Keys and values of one type, and of ``[health.TYPE.ready]`` and ``[health.TYPE.live]``."""
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from ((f"{key}.{inner}", flat(f"{place}.{key}.{inner}", found)) for inner, found in value.items())
        else:
            yield key, flat(f"{place}.{key}", value)


def texts_of(checks: Mapping[str, Checks]) -> list[str]:
    """Checks in the form in which settings come, where there is no table of them."""
    texts = []
    for kind, found in checks.items():
        for name in ("ready", "live"):
            if probe := getattr(found, name):
                said = {key: value for key, value in probe._asdict().items() if value}
                texts += [f"{kind} {name}.{key}={flat(kind, value)}" for key, value in said.items()]
        texts += [f"{kind} {key}={flat(kind, getattr(found, key))}" for key in ("within", "every", "failures")]
    return texts


def flat(place: str, value: object) -> str:
    """A value as text."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (str, int, float)):
        return str(value)
    raise ValueError(f"{place}: a text, a number, true or false is wanted")


def parse(texts: Iterable[str]) -> dict[str, Checks]:
    """Checks by type. ValueError says what is wrong, and with which type's."""
    tables: dict[str, dict[str, Any]] = {}
    for text in texts:
        kind, _, rest = text.partition(" ")
        key, _, value = rest.partition("=")
        table = tables.setdefault(type_name(kind), {})
        if not key:
            continue
        part, _, name = key.rpartition(".")
        if name not in (PARTS if part else KEYS) or part not in ("", "ready", "live"):
            raise ValueError(f"{kind}: there is no '{key}': there are {', '.join(KEYS)}")
        try:
            table[key] = KEYS[name](value)
        except ValueError as error:
            raise ValueError(f"{kind}.{key}: {error}") from None
    return {kind: checks_of(kind, table) for kind, table in tables.items()}


def checks_of(kind: str, table: Mapping[str, Any]) -> Checks:
    """Those of one type."""
    usual = Checks()
    times = [table.get(name, getattr(usual, name)) for name in ("within", "every", "failures")]
    ready, live = (probe_in(kind, table, part) for part in ("ready.", "live."))
    if ready or live:
        if mixed := [key for key in table if key in (*PARTS, "liveness")]:
            raise ValueError(f"{kind}: {mixed[0]} belongs to either ready or live")
        return Checks(ready, live, *times)
    probe = probe_in(kind, table, "")
    if probe is None:
        raise ValueError(f"{kind}: one of http, command and notify is wanted")
    return Checks(probe, probe if table.get("liveness") else None, *times)


def probe_in(kind: str, table: Mapping[str, Any], part: str) -> Probe | None:
    """What is asked for by the keys that begin so, if any do."""
    keys = {name: table[part + name] for name in PARTS if part + name in table}
    ways = [way for way in WAYS if keys.get(way)]
    if keys and len(ways) != 1:
        found = " and ".join(ways) or "none"
        raise ValueError(f"{kind}: one of http, command and notify is wanted, not {found}")
    return Probe(**keys) if keys else None


def type_name(text: str) -> str:
    """A single type: what is healthy differs."""
    name = parse_type(text)
    if name == ALL:
        raise ValueError("'all' is not a process type: name the types")
    return name


def a_path(text: str) -> str:
    """Of a request."""
    if not re.fullmatch(r"/[!-~]*", text):
        raise ValueError(f"'{text}' is no path that begins with '/'")
    return text


def a_command(text: str) -> str:
    """For a shell."""
    if not text.strip() or "\0" in text:
        raise ValueError("a command is wanted")
    return text


def a_switch(text: str) -> bool:
    """True or false."""
    if text not in ("true", "false"):
        raise ValueError("must be true or false")
    return text == "true"


def a_time(text: str) -> float:
    """Seconds, some."""
    if not (seconds := duration.parse(text)):
        raise ValueError("no time at all")
    return seconds


def a_count(text: str) -> int:
    """At least one."""
    if not (text.isascii() and text.isdigit()) or not 1 <= int(text[:9]) <= 1000:
        raise ValueError(f"'{text}' is no number from 1 to 1000")
    return int(text)


PARTS = (*WAYS, "timeout")
KEYS: Mapping[str, Callable[[str], Any]] = {
    "http": a_path,
    "command": a_command,
    "notify": a_switch,
    "timeout": a_time,
    "within": a_time,
    "liveness": a_switch,
    "every": a_time,
    "failures": a_count,
}
