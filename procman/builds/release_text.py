"""What ``bin/release`` prints: so much of YAML as the buildpack API needs, and nothing more.

Read are maps of one level of nesting, with plain, ``'single'`` or ``"double"`` quoted scalars, comments and document
marks. A list (``addons``) is skipped. Anything else is an error that names its line.
"""

import json
import re
from collections.abc import Mapping

KEY = re.compile(r"""(?P<indent> *)(?P<key>"[^"]*"|'[^']*'|[^\s:#'"\-\[{&*!|>%@`][^:#]*?)\s*:(?:\s+(?P<value>.*))?$""")
ITEM = re.compile(r" *-(\s|$)")
EMPTY = ("", "{}", "[]", "~", "null", "--- {}", "---")


class BadRelease(ValueError):
    """The text is not what a buildpack may print there."""


def process_types(text: str) -> dict[str, str]:
    """``default_process_types`` of the output of ``bin/release``. Raises BadRelease."""
    found = read(text).get("default_process_types", {})
    if isinstance(found, str):
        if found in EMPTY:
            return {}
        raise BadRelease("default_process_types is not a map")
    return {name: command for name, command in found.items() if command}


def read(text: str) -> Mapping[str, str | dict[str, str]]:
    """Top-level keys, each with a text or a map of texts."""
    root: dict[str, str | dict[str, str]] = {}
    current: dict[str, str] = {}
    depth: int | None = None
    for number, line in enumerate(text.splitlines(), 1):
        bare = line.strip()
        if not bare or bare.startswith("#") or bare in ("---", "--- {}", "...", "{}") or ITEM.match(line):
            continue
        found = KEY.match(line.rstrip())
        if found is None or "\t" in line[: len(line) - len(line.lstrip())]:
            raise BadRelease(f"line {number} of what bin/release printed is not 'KEY: VALUE': {bare[:80]!r}")
        indent, key = len(found["indent"]), scalar(found["key"], number)
        value = (found["value"] or "").strip()
        if indent == 0:
            current, depth = {}, None
            root[key] = current if not value or value.startswith("#") else scalar(value, number)
        elif depth in (None, indent):
            depth = indent
            current[key] = scalar(value, number)
        else:
            raise BadRelease(f"line {number} of what bin/release printed is nested too deep: {bare[:80]!r}")
    return root


def scalar(text: str, number: int) -> str:
    """One value."""
    if text.startswith('"'):
        found = re.match(r'("(?:[^"\\]|\\.)*")\s*(#.*)?$', text)
        try:
            return str(json.loads(found[1])) if found else _bad(text, number)
        except ValueError:
            return _bad(text, number)
    if text.startswith("'"):
        found = re.match(r"'((?:[^']|'')*)'\s*(#.*)?$", text)
        return found[1].replace("''", "'") if found else _bad(text, number)
    if text[:1] in ("|", ">", "&", "*", "!", "{", "[") and text not in EMPTY:
        return _bad(text, number)
    return re.sub(r"\s+#.*$", "", text)


def _bad(text: str, number: int) -> str:
    raise BadRelease(f"line {number} of what bin/release printed has a value that is not read here: {text[:80]!r}")
