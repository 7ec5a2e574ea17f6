"""``.slugignore``: which files are left out of the slug (Heroku: slug-compiler). Like .gitignore, but without ``!``."""

import re
from typing import NamedTuple

from procman.formats.diagnostic import Diagnostic
from procman.formats.text import decoded_lines


class Pattern(NamedTuple):
    """One line. ``directories``: it matches only those. What matches takes along all that lies below it."""

    expression: str
    directories: bool


class SlugIgnore(NamedTuple):
    """The patterns, and what was wrong with the others."""

    patterns: tuple[Pattern, ...]
    diagnostics: tuple[Diagnostic, ...]

    def matches(self, path: str, directory: bool) -> bool:
        """Whether a path (relative, with ``/``) is to go."""
        return any(
            (directory or not pattern.directories) and re.fullmatch(pattern.expression, path)
            for pattern in self.patterns
        )


def parse(data: bytes, file: str = ".slugignore") -> SlugIgnore:
    """Read the file; never raises for what it holds."""
    text = decoded_lines(data, file)
    found = list(text.diagnostics)
    patterns = []
    for number, line in enumerate(text.lines, 1):
        bare = re.sub(r"(?<!\\)[ \t]+$", "", line)
        if not bare or bare.startswith("#"):
            continue
        if bare.startswith("!"):
            message = "'!' is not supported in .slugignore, the line is ignored (as on Heroku)"
            found.append(Diagnostic(file, number, "warning", "negation", message))
            continue
        pattern = translated(bare)
        try:
            re.compile(pattern.expression)
        except re.error:
            found.append(Diagnostic(file, number, "warning", "bad-pattern", f"not a pattern: {bare!r}"))
            continue
        patterns.append(pattern)
    return SlugIgnore(tuple(patterns), tuple(found))


def translated(line: str) -> Pattern:
    """A line as a regular expression over the whole path."""
    directories = line.endswith("/")
    body = line.rstrip("/")
    anchored = "/" in body
    body = body.removeprefix("/")
    prefix = "" if anchored else "(?:.*/)?"
    return Pattern("(?s:" + prefix + _glob(body) + ")", directories)


def _glob(body: str) -> str:
    out = ""
    at = 0
    while at < len(body):
        rest = body[at:]
        if rest.startswith("**/"):
            out, at = out + "(?:.*/)?", at + 3
        elif rest.startswith("/**") and len(rest) == 3:
            out, at = out + "/.+", at + 3
        elif rest.startswith("*"):
            out, at = out + "[^/]*", at + 1 + rest.startswith("**")
        elif rest[0] == "?":
            out, at = out + "[^/]", at + 1
        elif rest[0] == "[" and (found := re.match(r"\[([!^]?)(\]?[^\]]*)\]", rest)):
            negated = "^/" if found[1] else ""
            out, at = out + f"[{negated}{found[2].replace(chr(92), chr(92) * 2)}]", at + len(found[0])
        elif rest[0] == "\\" and len(rest) > 1:
            out, at = out + re.escape(rest[1]), at + 2
        else:
            out, at = out + re.escape(rest[0]), at + 1
    return out
