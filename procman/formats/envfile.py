"""Env files: python-dotenv's grammar and interpolation, our own findings with file and line.

What differs from ``dotenv_values``: a statement that cannot be read is an error instead of a log line; single
quotes keep ``${VAR}`` as it stands, as in every shell; nothing is ever lost without a finding. Findings never
show a value: they end up on screens and in CI logs.
"""

from collections import ChainMap
from collections.abc import Mapping
from io import StringIO
from typing import TYPE_CHECKING, NamedTuple

from procman.formats.diagnostic import Diagnostic
from procman.formats.text import decoded_lines

if TYPE_CHECKING:
    from procman.formats.dotenv_grammar import Atoms

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
    values: dict[str, str] = {}
    lines: dict[str, int] = {}
    if not any(line.strip() and not line.lstrip().startswith("#") for line in text.lines):
        return EnvFile(values, lines, tuple(found))
    # Only files with content pay for these.
    from procman.formats import dotenv_grammar, statement_diagnosis  # noqa: PLC0415

    statements, atoms = dotenv_grammar.load()
    known = ChainMap(values, dict(environ))  # grows with ``values``
    for binding in statements(StringIO("\n".join(text.lines))):
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
    found.sort(key=lambda finding: finding.line or 0)
    return EnvFile(values, lines, tuple(found))


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
