"""What to say about one statement of an env file, without ever showing its value."""

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from procman.formats.diagnostic import Diagnostic

if TYPE_CHECKING:
    from dotenv.parser import Binding

# Patterns are texts: `re` compiles and keeps them when first used, which most env files never do.
# The statement as python-dotenv splits it: the name, then "=" and the blanks around it.
_HEAD = r"(?:export[^\S\n]+)?('[^']+'|[^=#\s]+)?[^\S\n]*(=?)[^\S\n]*"
_EXPORT = r"export[^\S\n]+"
_QUOTED = {"'": r"(?s)'(?:\\.|[^'\\])*'", '"': r'(?s)"(?:\\.|[^"\\])*"'}
_SHOWABLE = r"[\w .\-/'\"]{1,40}\Z"
_BARE_VARIABLE = r"(?<![\\$])\$([A-Za-z_][A-Za-z0-9_]*)"
_BRACES = r"\$\{([^}]*)(\}?)"
_SMART_QUOTES = "\u2018\u2019\u201c\u201d"
_SHELL_WORDS = frozenset({".", "source", "set", "unset", "if", "fi", "for", "echo", "eval", "alias"})


class Statement(NamedTuple):
    """A statement's text without the blank lines before it. ``quote`` is what opens its value, or ''."""

    text: str
    line: int
    name: str
    quote: str
    value_at: int  # offset of the value in ``text``; -1 without "="

    @classmethod
    def of(cls, binding: "Binding") -> "Statement":
        original = binding.original.string
        text = original.lstrip()
        line = binding.original.line + original[: len(original) - len(text)].count("\n")
        head = re.match(_HEAD, text)
        if head is None or not head[2]:
            return cls(text, line, (head and head[1]) or "", "", -1)
        first = text[head.end() : head.end() + 1]
        return cls(text, line, head[1] or "", first if first in _QUOTED else "", head.end())


def unparsable(file: str, statement: Statement) -> Diagnostic:
    """Why python-dotenv gave up on a statement."""

    def error(code: str, message: str, line: int = statement.line) -> Diagnostic:
        return Diagnostic(file, line, "error", code, message)

    name = _shown(statement.name, statement)
    if statement.quote:
        mark = "single" if statement.quote == "'" else "double"
        closed = re.match(_QUOTED[statement.quote], statement.text[statement.value_at :])
        if closed is None:
            return error(
                "unterminated-quote", f"the {mark} quote that opens the value of {name} is never closed"
            )
        end = statement.line + closed[0].count("\n")
        if end > statement.line:
            opened = f"the quote opened on line {statement.line} for {name}"
            message = f"text after a closing {mark} quote: did {opened} end there?"
            return error("text-after-quote", message, end)
        return error(
            "text-after-quote", f"text after the closing {mark} quote of {name}: put all of the value inside"
        )
    if statement.value_at >= 0 and not statement.name:
        return error("missing-key", "nothing before '=': write NAME=value")
    first = statement.text.split("\n", 1)[0]
    if statement.name in _SHELL_WORDS:
        return error("shell-command", f"a shell command ('{statement.name}'): an env file is read, never run")
    if first.startswith(("<<<<<<<", ">>>>>>>", "-----")):
        return error(
            "unparsable", "not NAME=value: a conflict marker, or a key whose first line has no name and quote"
        )
    before, equals, _ = re.sub(_EXPORT, "", first, count=1).partition("=")
    if equals:
        return _invalid_key(file, statement, before.strip())
    if ":" in first.split()[0]:
        return error("unparsable", "no '=' on this line: this is not YAML; write NAME=value")
    return error("unparsable", "no '=' on this line: write NAME=value, and quote a value of several lines")


def valueless(file: str, statement: Statement, key: str, values: Mapping[str, str]) -> Diagnostic:
    """A name without ``=``: python-dotenv would drop it."""
    if key in values and re.match(_EXPORT, statement.text):
        message = f"'export {key}' changes nothing here: every variable of the file is exported"
        return Diagnostic(file, statement.line, "warning", "export-only", message)
    message = "no '=' on this line, so nothing would be set: write NAME=value, or NAME= for an empty value"
    return Diagnostic(file, statement.line, "error", "missing-equals", message)


def about_name(file: str, statement: Statement, key: str) -> list[Diagnostic]:
    return [] if _is_name(key) else [_invalid_key(file, statement, key)]


def _invalid_key(file: str, statement: Statement, key: str) -> Diagnostic:
    reason = "letters, digits and '_' only, not beginning with a digit"
    if key.startswith(tuple(_SMART_QUOTES + "\"'")):
        reason = "no quotes around a name"
    elif " " in key or "\t" in key:
        reason = "no blanks in a name"
    message = f"{_shown(key, statement)} cannot be a variable's name: {reason}"
    return Diagnostic(file, statement.line, "error", "invalid-key", message)


def about_value(file: str, statement: Statement, value: str, known: Mapping[str, str]) -> list[Diagnostic]:
    """Findings about an unquoted or double-quoted value that other readers would take otherwise."""
    found: list[Diagnostic] = []
    name = _shown(statement.name, statement)

    def warn(code: str, message: str) -> None:
        found.append(Diagnostic(file, statement.line, "warning", code, message))

    if not statement.quote and value:
        if value[0] in _SMART_QUOTES:
            message = f"{name} begins with a typographic quote, which would be part of the value: use ' or \""
            found.append(Diagnostic(file, statement.line, "error", "smart-quote", message))
        elif value[-1] in "'\"" and value.count(value[-1]) == 1 and len(value) > 1:
            warn("stray-quote", f"{name} ends with a quote that nothing opened: it is part of the value")
    if "$(" in value or value.count("`") > 1:
        warn(
            "command-substitution",
            f"{name} holds $(…) or backticks: kept as text, an env file never runs a command",
        )
    if "$" not in value:
        return found
    if any(
        not match[2] or not _is_name(match[1].partition(":-")[0]) for match in re.finditer(_BRACES, value)
    ):
        warn("unsupported-expansion", f"{name} has a '${{' that is neither ${{NAME}} nor ${{NAME:-default}}")
    bare = next((match[1] for match in re.finditer(_BARE_VARIABLE, value) if match[1] in known), None)
    if bare:
        warn(
            "bare-variable",
            f"{name} holds ${bare}, which stays as it is: write ${{{bare}}} to have it filled in",
        )
    return found


def undefined(file: str, statement: Statement, key: str, names: Iterable[str]) -> list[Diagnostic]:
    shown = _shown(key, statement)
    return [
        Diagnostic(
            file, statement.line, "warning", "undefined-variable", f"{shown} uses ${{{name}}}, set nowhere"
        )
        for name in dict.fromkeys(names)
        if _is_name(name)
    ]


def duplicate(file: str, statement: Statement, key: str, first: int) -> Diagnostic:
    message = f"{_shown(key, statement)} is set on lines {first} and {statement.line}: the last one counts"
    return Diagnostic(file, statement.line, "warning", "duplicate-key", message)


def _is_name(text: str) -> bool:
    return text.isascii() and text.isidentifier()


def _shown(name: str, statement: Statement) -> str:
    """A name as it may be printed. A piece of a pasted key can stand left of "=": it is withheld."""
    if not name:
        return "this value"
    padded = statement.text.rstrip().endswith("=") and len(name) > 20  # base64 padding looks like NAME=
    return "this name" if padded or not re.match(_SHOWABLE, name) else f"'{name}'"
