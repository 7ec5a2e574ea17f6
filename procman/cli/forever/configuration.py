"""forever's JSON file: one object or an array of them, comments allowed; keys that mean nothing are refused."""

import json
import os
import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any, NamedTuple

from procman.cli.options import Value
from procman.errors import ProcmanError

KINDS: dict[type | tuple[type, ...], str] = {
    str: "a text",
    (int, float, str): "a number",
    bool: "true or false",
    list: "a list of texts",
    dict: "an object of texts",
}
SCALAR = (str, int, float)
KEYS: dict[str, tuple[str, type | tuple[type, ...]]] = {
    "script": ("script", str),
    "args": ("args", list),
    "env": ("env", dict),  # which forever itself leaves out
    "uid": ("uid", str),
    "id": ("id", str),
    "command": ("command", str),
    "sourceDir": ("source_dir", str),
    "workingDir": ("working_dir", str),
    "logFile": ("log_file", str),
    "outFile": ("out_file", str),
    "errFile": ("err_file", str),
    "pidFile": ("pid_file", str),
    "append": ("append", bool),
    "silent": ("silent", bool),
    "max": ("max", (int, float, str)),
    "minUptime": ("min_uptime", (int, float, str)),
    "spinSleepTime": ("spin_sleep", (int, float, str)),
    "watch": ("watch", bool),
    "watchDirectory": ("watch_directory", str),
    "watchIgnore": ("watch_ignore", list),
    "watchIgnorePatterns": ("watch_ignore", list),
    "killTree": ("kill_tree", bool),
    "killSignal": ("kill_signal", str),
    "killTTL": ("kill_ttl", (int, float, str)),
    "path": ("path", str),
}
# A text, or a comment outside of one.
LEXEME = r'"(?:[^"\\]|\\.)*"|//[^\n]*|/\*.*?\*/'


class Entry(NamedTuple):
    """One program of the file: fields as the flags have them, and what only the file can say.

    ``places``: where each field stands, ``x.json:3: 'max'``.
    """

    fields: dict[str, Value]
    script: str
    args: list[str]
    env: dict[str, str]
    places: dict[str, str]


def read(path: str) -> list[Entry]:
    """Every program of the file. Raises ProcmanError, with the line."""
    try:
        with open(path, encoding="utf-8-sig") as file:
            text = file.read()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ProcmanError(f"cannot read {path}: {reason}") from None
    try:
        content = json.loads(without_comments(text))
    except RecursionError:
        raise ProcmanError(f"cannot read {path}: brackets within brackets, too many") from None
    except ValueError as error:
        line = getattr(error, "lineno", 1)
        raise ProcmanError(f"cannot read {path}:{line}: not JSON: {getattr(error, 'msg', error)}") from None
    items = content if isinstance(content, list) else [content]
    if not items or not all(isinstance(item, dict) for item in items):
        raise ProcmanError(f"cannot read {path}: an object, or an array of objects, is wanted")
    return [entry(item, path, text, items[:number]) for number, item in enumerate(items)]


def without_comments(text: str) -> str:
    """The same lines with blanks where ``//`` and ``/* */`` comments stood."""

    def blank(found: re.Match[str]) -> str:
        token = found[0]
        return token if token.startswith('"') else re.sub(r"[^\n]", " ", token)

    return re.sub(LEXEME, blank, text, flags=re.DOTALL)


def entry(item: Mapping[str, Any], path: str, text: str, before: Sequence[Mapping[str, Any]]) -> Entry:
    """One object, checked. ``before``: those that stand above it in the file."""
    fields: dict[str, Any] = {}
    places = {}
    for key, value in item.items():
        place = f"{path}:{line_of(key, text, sum(key in other for other in before))}"
        if key not in KEYS:
            near = get_close_matches(key, KEYS, 1)
            raise ProcmanError(
                f"cannot use {place}: no such key as '{key}'", f"{near[0]}?" if near else f"one of {', '.join(KEYS)}"
            )
        field, kind = KEYS[key]
        fields[field] = converted(value, key, kind, place)
        places[field] = f"{place}: '{key}'"
    script = fields.pop("script", None)
    if not script:
        raise ProcmanError(f"cannot use {path}: an object without 'script'")
    return Entry(fields, script, fields.pop("args", []), fields.pop("env", {}), places)


def converted(value: Any, key: str, kind: type | tuple[type, ...], place: str) -> Any:
    """A value as the flag would have it, its parts as texts. Raises ProcmanError for what is or holds no such thing."""
    if kind is list and isinstance(value, str):
        value = value.split() if key == "args" else [value]
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise ProcmanError(f"cannot use {place}: {KINDS[kind]} is wanted for '{key}'")
    if isinstance(value, dict):
        return {variable(name, place): as_text(part, f"'{name}' of '{key}'", place) for name, part in value.items()}
    if isinstance(value, list):
        return [as_text(part, f"'{key}'", place) for part in value]
    if isinstance(value, bool):
        return value
    return f"{value:g}" if isinstance(value, float) else as_text(value, f"'{key}'", place)


def variable(name: str, place: str) -> str:
    """The same. Raises ProcmanError if no variable can be called so."""
    if not name or "=" in name:
        raise ProcmanError(f"cannot use {place}: no variable can be called '{name}'")
    return as_text(name, "a name of 'env'", place)


def as_text(value: Any, what: str, place: str) -> str:
    """A text as it is; a number, true or false as JSON has them. Raises ProcmanError for what no program can get."""
    if not isinstance(value, SCALAR):
        raise ProcmanError(f"cannot use {place}: a text is wanted for {what}")
    text = value if isinstance(value, str) else json.dumps(value)
    try:
        odd = "\0" if b"\0" in os.fsencode(text) else ""
    except UnicodeEncodeError as error:
        odd = text[error.start]
    if odd:
        raise ProcmanError(f"cannot use {place}: {json.dumps(odd)} cannot stand in {what}")
    return text


def line_of(key: str, text: str, skipped: int) -> int:
    """The line on which a key stands, after so many of the same name."""
    found = list(re.finditer(rf"{re.escape(json.dumps(key))}\s*:", without_comments(text)))[skipped:]
    return text.count("\n", 0, found[0].start()) + 1 if found else 1
