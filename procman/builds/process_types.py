"""Which process types an app declares: its Procfile as Heroku reads it, over the buildpack's defaults."""

import os
import re
from collections.abc import Mapping
from typing import NamedTuple

from procman.builds.reading import Unreadable, read_capped
from procman.formats import procfile
from procman.formats.text import decoded_lines

HEROKU_LINE = re.compile(r"\s*([a-zA-Z0-9_-]{1,128}):?\s+(.*\S)")  # heroku/procfile-cnb, a port of the slug compiler
SILENT = frozenset({"no-web", "empty-file", "duplicate", "crlf", "bom"})


class Declared(NamedTuple):
    """What the Procfile says; None for types if there is none. ``warnings`` name its lines."""

    types: Mapping[str, str] | None
    warnings: tuple[str, ...] = ()


def declared(data: bytes) -> Declared:
    """Read a Procfile. What either Heroku or we can read is declared; where we differ, Heroku's reading counts."""
    read = procfile.parse(data)
    ours = dict(read.processes)
    theirs: dict[str, str] = {}
    for line in decoded_lines(data, "Procfile").lines:
        found = HEROKU_LINE.fullmatch(line.rstrip())
        if found and not found[2].startswith(":"):
            theirs[found[1]] = found[2]
    warnings = [str(finding) for finding in read.diagnostics if finding.code not in SILENT]
    warnings += [
        f"Procfile:{finding.line}: declared twice; the last line counts"
        for finding in read.diagnostics
        if finding.code == "duplicate"
    ]
    return Declared({**ours, **theirs}, tuple(warnings))


def declared_in(folder: str) -> Declared:
    """The Procfile of a folder. Raises Unreadable."""
    data = read_capped(folder, "Procfile")
    return Declared(None) if data is None else declared(data)


def miscased(folder: str) -> str | None:
    """A file that is meant to be the Procfile and is not."""
    names = [name for name in os.listdir(folder) if name.lower() == "procfile"]
    return names[0] if names and "Procfile" not in names else None


def words(types: Mapping[str, str] | None, defaults: Mapping[str, str], language: str) -> list[str]:
    """The lines below ``Discovering process types``, arrows lined up (Heroku)."""
    extra = sorted(set(defaults) - set(types or {}))
    said = ", ".join(sorted(types or {})) or "(none)"
    if not extra:
        return [f"Procfile declares types -> {said}"]
    label = f"Default types for {language or 'buildpack'}"
    width = max(len(label), len("Procfile declares types"))
    return [f"{'Procfile declares types':<{width}} -> {said}", f"{label:<{width}} -> {', '.join(extra)}"]


__all__ = ["Declared", "Unreadable", "declared", "declared_in", "miscased", "words"]
