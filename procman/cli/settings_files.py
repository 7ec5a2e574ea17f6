"""Settings from files in the app root: .procman.toml, [tool.procman] of pyproject.toml, .foreman, and app.json."""

import os

from procman.cli.options import OPTIONS, Option, Value
from procman.errors import UsageError
from procman.typed import Iterator, Mapping, NamedTuple, Sequence


class Raw(NamedTuple):
    """An unchecked value; ``origin`` is a flag (``--port``) or a place (``.procman.toml:3``)."""

    value: Value
    origin: str


class SettingsFileError(UsageError):
    """A settings file is wrong; ``file`` and ``line`` (None: all of it) for those who list findings.

    ``further``: what else is wrong in settings files.
    """

    def __init__(self, file: str, line: int | None, key: str, reason: str, hint: str | None = None) -> None:
        place = file if line is None else f"{file}:{line}"
        super().__init__(f"cannot use {key or 'settings'} of {place}: {reason}", hint)
        self.file = file
        self.line = line
        self.reason = f"{key}: {reason}" if key else reason
        self.further: Sequence[SettingsFileError] = ()


OWN = ".procman.toml"
OF_ONE_CALL = frozenset({"wait", "wait_timeout", "json"})  # flags that say how to answer this once
# The key is the long flag without its dashes: `--exit-with` is `exit-with` in TOML, or `exit_with`.
KEYS: dict[str, Option] = {
    flag.removeprefix("--"): option
    for option in OPTIONS["start"]
    for flag in option.flags
    if flag.startswith("--") and option.name not in OF_ONE_CALL
}
HEALTH = Option("health", ("health",), "TABLE", "", True)
KEYS[HEALTH.name] = HEALTH  # too much for a flag
_FOREMAN_KEYS = {  # foreman's own names, from its `lib/foreman/cli.rb`
    **{key: KEYS[key] for key in ("concurrency", "formation", "port", "procfile", "env", "timeout", "color")},
    "root": KEYS["app-root"],
    "timestamp": KEYS["timestamps"],
}
_FOREMAN_LINE = r"^([A-Za-z_-]+)\s*:(?:\s+(.*?))?\s*$"
_FOREMAN_VALUE = r"""(?:"([^"]*)"|'([^']*)'|([^"'#{}\[\]&*!|>%@`]\S*(?:\s+[^#\s]\S*)*))\s*(?:#.*)?"""
_FOREMAN_BOOLEANS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}


def read_layers(root: str, mistakes: list[SettingsFileError]) -> list[dict[str, Raw]]:
    """What each settings file says, the strongest first. What is wrong in them is added to ``mistakes``."""
    layers = []
    for name, reader in _READERS.items():
        try:
            data = _read(root, name)
            if data is not None:
                layers.append(reader(name, data, mistakes))
        except SettingsFileError as error:
            mistakes.append(error)
    return layers


def place_of(origin: str) -> tuple[str, int | None]:
    """``.env:3`` as file and line; an origin without a line (``--port``, ``environment``) as it is."""
    file, _, line = origin.rpartition(":")
    return (file, int(line)) if file and line.isdigit() else (origin, None)


def _read(root: str, name: str) -> bytes | None:
    path = os.path.join(root, name)
    try:
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        if os.path.islink(path):
            raise SettingsFileError(name, None, "", f"a link to '{os.readlink(path)}', which is not there") from None
        return None
    except IsADirectoryError:
        if name == OWN:
            raise SettingsFileError(name, None, "", "a directory, not a file") from None
        return None  # another program may mean something by it
    except OSError as error:
        raise SettingsFileError(name, None, "", f"{error.strerror}") from error


def _from_project(name: str, data: bytes, mistakes: list[SettingsFileError]) -> dict[str, Raw]:
    if b"procman" not in data:  # a cheap test: tomllib costs 8 ms to import
        return {}
    return _from_toml(name, data, mistakes, ("tool", "procman"))


def _from_app_json(name: str, data: bytes, _mistakes: list[SettingsFileError]) -> dict[str, Raw]:
    if b'"healthchecks"' not in data and b'"needs"' not in data:  # json costs as much
        return {}
    from procman.formats.app_json import parse
    from procman.formats.health import texts_of

    found = parse(data)
    needs = [f"{kind}={needed}" for kind, wish in found.formation.items() for needed in wish.needs]
    told = {"health": texts_of(found.probes), "needs": needs}
    return {field: Raw(texts, name) for field, texts in told.items() if texts}


def _from_toml(
    name: str, data: bytes, mistakes: list[SettingsFileError], path: tuple[str, ...] = ()
) -> dict[str, Raw]:
    import re
    import tomllib

    try:
        text = data.decode("utf-8-sig")
        table: object = tomllib.loads(text)
    except UnicodeDecodeError as error:
        raise SettingsFileError(name, data.count(b"\n", 0, error.start) + 1, "", "not UTF-8") from error
    except tomllib.TOMLDecodeError as error:
        at = re.search(r"at line (\d+)", str(error))
        raise SettingsFileError(name, int(at[1]) if at else None, "", f"not TOML: {error}") from error
    for step in path:
        table = table.get(step, {}) if isinstance(table, Mapping) else {}
    if not isinstance(table, Mapping):
        raise SettingsFileError(name, None, ".".join(path), "not a table")
    layer: dict[str, Raw] = {}
    for key, value in table.items():
        line = _line_of(text, path, key)
        option = KEYS.get(key.replace("_", "-"))
        if option is None:
            mistakes.append(SettingsFileError(name, line, f"'{key}'", "no such setting", _nearest_key(key)))
            continue
        try:
            raw = Raw(_flag_like(name, line, key, option, value), name if line is None else f"{name}:{line}")
        except SettingsFileError as error:
            mistakes.append(error)
        else:
            layer[option.name] = raw
    return layer


def _flag_like(name: str, line: int | None, key: str, option: Option, value: object) -> Value:
    """A TOML value in the form in which flags come: switches as bool, the rest as text."""
    if option is HEALTH:
        from procman.formats.health import flatten

        try:
            return flatten(value)
        except ValueError as error:
            raise SettingsFileError(name, line, key, str(error)) from None
    if option.metavar is None:
        if isinstance(value, bool):
            return value
        raise SettingsFileError(name, line, key, "must be true or false")
    if _plain(value):
        return [str(value)] if option.repeat else str(value)
    if option.repeat and isinstance(value, Mapping):
        value = list(_flat(value))
    if option.repeat and isinstance(value, list) and all(isinstance(item, str) for item in value):
        return list(value)
    hint = 'watch = "*"' if option.name == "watch" and value is True else None
    raise SettingsFileError(name, line, key, f"must be what {option.label} takes: {option.metavar}", hint)


def _flat(table: Mapping[str, object]) -> Iterator[object]:
    """``web = 512`` as ``web=512``; of a table by type, ``nofile = 1024`` as ``web=nofile:1024``."""
    for left, right in table.items():
        if isinstance(right, Mapping) and all(map(_plain, right.values())):
            yield from (f"{left}={name}:{value}" for name, value in right.items())
        elif isinstance(right, list) and all(map(_plain, right)):
            yield from (f"{left}={value}" for value in right)
        else:
            yield f"{left}={right}" if _plain(right) else right


def _plain(value: object) -> bool:
    return isinstance(value, (str, int, float)) and not isinstance(value, bool)


def _line_of(text: str, path: tuple[str, ...], key: str) -> int | None:
    """The line of ``key`` in a TOML table, or None: tomllib does not tell, so this looks for it."""
    import re

    here: tuple[str, ...] = ()
    for number, line in enumerate(text.splitlines(), 1):
        header = re.match(r"\s*\[\s*([^\[\]]+?)\s*\]", line)
        if header:
            here = tuple(part.strip(" \t\"'") for part in header[1].split("."))
            if here[: len(path) + 1] == (*path, key):
                return number
        elif here == path and re.match(rf"""\s*["']?{re.escape(key)}["']?\s*[.=]""", line):
            return number
    return None


def _nearest_key(key: str) -> str | None:
    from difflib import get_close_matches

    near = get_close_matches(key.replace("_", "-"), KEYS, 1)
    return f"did you mean '{near[0]}'?" if near else f"settings are {', '.join(KEYS)}"


def _from_foreman(name: str, data: bytes, mistakes: list[SettingsFileError]) -> dict[str, Raw]:
    """``key: value`` lines, as foreman's users write them; other YAML is refused for keys that we know."""
    import re

    layer: dict[str, Raw] = {}
    for number, line in enumerate(data.decode(errors="replace").removeprefix("\ufeff").splitlines(), 1):
        match = re.match(_FOREMAN_LINE, line)
        option = _FOREMAN_KEYS.get(match[1].lower()) if match else None
        if match is None or option is None:
            continue  # comments, document marks, and foreman's keys for its export
        key = match[1]
        value = re.fullmatch(_FOREMAN_VALUE, match[2] or "")
        if value is None:
            mistakes.append(SettingsFileError(name, number, key, "only 'key: value' on one line is understood"))
            continue
        text = value[1] or value[2] or value[3] or ""
        raw: Value = [text] if option.repeat else text
        if option.metavar is None:
            if text.lower() not in _FOREMAN_BOOLEANS:
                mistakes.append(SettingsFileError(name, number, key, "must be true or false"))
                continue
            raw = _FOREMAN_BOOLEANS[text.lower()]
        layer[option.name] = Raw(raw, f"{name}:{number}")
    return layer


_READERS = {  # the strongest first
    OWN: _from_toml,
    "pyproject.toml": _from_project,
    ".foreman": _from_foreman,
    "app.json": _from_app_json,
}
