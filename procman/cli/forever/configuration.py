"""forever's JSON file: one object or an array of them, comments allowed; keys that mean nothing are refused."""

import json
import re
from collections.abc import Mapping
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
    """One program of the file: fields as the flags have them, and what only the file can say."""

    fields: dict[str, Value]
    script: str
    args: list[str]
    env: dict[str, str]


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
    except ValueError as error:
        line = getattr(error, "lineno", 1)
        raise ProcmanError(f"cannot read {path}:{line}: not JSON: {getattr(error, 'msg', error)}") from None
    items = content if isinstance(content, list) else [content]
    if not items or not all(isinstance(item, dict) for item in items):
        raise ProcmanError(f"cannot read {path}: an object, or an array of objects, is wanted")
    return [entry(item, path, text) for item in items]


def without_comments(text: str) -> str:
    """The same lines with blanks where ``//`` and ``/* */`` comments stood."""

    def blank(found: re.Match[str]) -> str:
        token = found[0]
        return token if token.startswith('"') else re.sub(r"[^\n]", " ", token)

    return re.sub(LEXEME, blank, text, flags=re.DOTALL)


def entry(item: Mapping[str, Any], path: str, text: str) -> Entry:
    """One object, checked."""
    fields: dict[str, Any] = {}
    for key, value in item.items():
        place = f"{path}:{line_of(key, text)}"
        if key not in KEYS:
            near = get_close_matches(key, KEYS, 1)
            raise ProcmanError(
                f"cannot use {place}: no such key as '{key}'", f"{near[0]}?" if near else f"one of {', '.join(KEYS)}"
            )
        field, kind = KEYS[key]
        if kind is list and isinstance(value, str):
            value = value.split() if key == "args" else [value]  # noqa: PLW2901
        wrong = not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool)
        if wrong or (isinstance(value, list) and not all(isinstance(part, (str, int, float)) for part in value)):
            raise ProcmanError(f"cannot use {place}: {KINDS[kind]} is wanted for '{key}'")
        fields[field] = f"{value:g}" if isinstance(value, float) else str(value) if type(value) is int else value
    script = fields.pop("script", None)
    if not script:
        raise ProcmanError(f"cannot use {path}: an object without 'script'")
    args = [str(part) for part in fields.pop("args", ())]
    env = {str(name): str(value) for name, value in fields.pop("env", {}).items()}
    return Entry(fields, script, args, env)


def line_of(key: str, text: str) -> int:
    """The line on which a key first stands."""
    found = re.search(rf"{re.escape(json.dumps(key))}\s*:", without_comments(text))
    return text.count("\n", 0, found.start()) + 1 if found else 1
