"""Env files: python-dotenv's grammar and interpolation, our own findings with file and line.

What differs from ``dotenv_values``: a statement that cannot be read is an error instead of a log line; single
quotes keep ``${VAR}`` as it stands, as in every shell; nothing is ever lost without a finding. Findings never
show a value: they end up on screens and in CI logs.
"""

from procman.formats.diagnostic import Diagnostic
from procman.formats.text import decoded_lines
from procman.typed import TYPE_CHECKING, Mapping, NamedTuple, Sequence

if TYPE_CHECKING:
    from procman.formats.dotenv_grammar import Atoms

_ODD = frozenset("'\"\\$`#")  # in a value without quotes
_FILLED_IN = frozenset("$`")
_HARMLESS = frozenset({"bom", "crlf", "carriage-return"})  # to python-dotenv and heroku local too


class EnvFile(NamedTuple):
    """Variables in the order of the file; ``lines`` is where each effective value stands."""

    values: dict[str, str]
    lines: dict[str, int]
    diagnostics: tuple[Diagnostic, ...]


def parse(data: bytes, file: str, environ: Mapping[str, str], interpolate: bool = True) -> EnvFile:
    """Read an env file. ``${VAR}`` sees earlier lines first, then ``environ``."""
    text = decoded_lines(data, file)
    found = [finding for finding in text.diagnostics if finding.code not in _HARMLESS]
    plain = read_plain(text.lines)
    if plain is not None:
        values = {name: value for name, (value, _) in plain.items()}
        return EnvFile(values, {name: line for name, (_, line) in plain.items()}, tuple(found))
    values, lines, more = read_statements(text.lines, file, environ, interpolate)
    return EnvFile(values, lines, tuple(sorted((*found, *more), key=lambda finding: finding.line or 0)))


def read_plain(lines: Sequence[str]) -> dict[str, tuple[str, int]] | None:
    """Values with their lines, when every line is one that all readers of env files take alike; None otherwise.

    Most files are of such lines: ``NAME=value``, ``NAME="two words"``, comments. Then python-dotenv's patterns need not
    be imported before the first dyno, which takes a third of the time to it.
    """
    values: dict[str, tuple[str, int]] = {}
    for number, line in enumerate(lines, 1):
        bare = line.strip()
        if not bare or bare.startswith("#"):
            continue
        name, equals, rest = line.partition("=")
        value = plain_value(rest.strip())
        wrong = value is None or not equals or not name.isidentifier() or name in values
        if wrong or not (line.isascii() and line.isprintable()):
            return None
        assert value is not None
        values[name] = value, number
    return values


def plain_value(text: str) -> str | None:
    """What stands behind ``=``, without its quotes; None when there is more to it: escapes, variables, comments."""
    quote = text[:1]
    if quote not in ("'", '"'):
        return None if _ODD.intersection(text) else text
    inside = text[1:-1]
    closed = len(text) > 1 and text[-1] == quote and quote not in inside and "\\" not in inside
    return inside if closed and (quote == "'" or _FILLED_IN.isdisjoint(inside)) else None


def read_statements(
    text: Sequence[str], file: str, environ: Mapping[str, str], interpolate: bool = True
) -> tuple[dict[str, str], dict[str, int], list[Diagnostic]]:
    """Values, their lines and findings, as python-dotenv parses the file."""
    from collections import ChainMap  # noqa: PLC0415 - only odd files pay for these
    from io import StringIO  # noqa: PLC0415

    from procman.formats import dotenv_grammar, statement_diagnosis  # noqa: PLC0415

    values: dict[str, str] = {}
    lines: dict[str, int] = {}
    found: list[Diagnostic] = []
    statements, atoms = dotenv_grammar.load()
    known = ChainMap(values, dict(environ))  # grows with ``values``
    for binding in statements(StringIO("\n".join(text))):
        statement = statement_diagnosis.Statement.of(binding)
        if binding.error:
            found.append(statement_diagnosis.unparsable(file, statement))
            continue
        key, value = binding.key, binding.value
        if key is None:
            continue
        if value is None:
            found.append(statement_diagnosis.valueless(file, statement, key, values))
            continue
        found += statement_diagnosis.about_name(file, statement, key)
        if statement.quote != "'":
            found += statement_diagnosis.about_value(file, statement, value, known)
            if interpolate and "${" in value:
                value, undefined = _expanded(atoms, value, known)
                found += statement_diagnosis.undefined(file, statement, key, undefined)
        if key in values:
            found.append(statement_diagnosis.duplicate(file, statement, key, lines[key]))
        values[key] = value
        lines[key] = statement.line
    return values, lines, found


def _expanded(atoms: "Atoms", value: str, known: Mapping[str, str]) -> tuple[str, list[str]]:
    """The value with its variables filled in, and the names that nobody defines."""
    undefined: list[str] = []
    parts: list[str] = []
    for atom in atoms(value):
        name = getattr(atom, "name", None)  # a literal has none
        if name is not None and name not in known and getattr(atom, "default", None) is None:
            undefined.append(name)
        parts.append(atom.resolve(known))
    return "".join(parts), undefined
