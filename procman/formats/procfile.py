"""Procfile text to processes, with a finding for every line that some tool drops or reads otherwise.

The base grammar is honcho's ``PROCFILE_LINE``; what Heroku accepts beyond it (indentation) and what people
mean by ``web : cmd`` runs here too, with a warning. A line that no reading can save is an error: nothing is
ever skipped in silence. The facts about other tools are those of Dev Center "the-procfile",
`heroku/procfile-cnb` and the source of `heroku local`.
"""

from procman.formats.diagnostic import Diagnostic
from procman.formats.text import decoded_lines
from procman.typed import Mapping, NamedTuple, Sequence

# heroku-model 1.3: honcho's grammar plus indentation and blanks before the colon.
_SUPERSET_LINE = r"^\s*([A-Za-z0-9_-]+)\s*:\s*(.*\S)\s*$"
_NAME_WITHOUT_COMMAND = r"^\s*([A-Za-z0-9_-]+)\s*:\s*$"
_ODD_IN_COMMAND = frozenset("#\\")
_NAMES_WITH_MEANING = frozenset({"all", "any", "none"})


class Procfile(NamedTuple):
    """Processes in file order as (name, command), each name once; ``lines`` says where each one stands."""

    processes: tuple[tuple[str, str], ...]
    lines: Mapping[str, int]
    diagnostics: tuple[Diagnostic, ...]


def parse(data: bytes, file: str = "Procfile") -> Procfile:
    """Read a Procfile. ``file`` is only its name in findings. Never raises for bad content: it reports."""
    text = decoded_lines(data, file)
    found = list(text.diagnostics)
    processes: dict[str, str] = {}
    lines: dict[str, int] = {}
    for number, line in enumerate(text.lines, 1):
        bare = line.strip()
        if not bare or bare.startswith("#"):
            continue
        read = read_plain(line)
        if read is None:
            from procman.formats import line_diagnosis  # noqa: PLC0415  (most files have no such line)

            read = read_odd(line)
            if read is None:
                found.append(_unreadable(file, number, text.lines))
                continue
            found += line_diagnosis.differences(file, number, line, *read)
        name, command = read
        if name in processes:
            first = lines[name]
            message = (
                f"'{name}' is declared on lines {first} and {number}: Heroku runs the last, foreman both"
            )
            found.append(Diagnostic(file, number, "error", "duplicate", message))
            continue
        processes[name] = command
        lines[name] = number
    if not processes and not any(finding.severity == "error" for finding in found):
        found.append(
            Diagnostic(file, None, "error", "empty-file", "nothing to run: no line declares a process")
        )
    if processes and "web" not in processes:
        message = "no process type is named 'web': on Heroku, only 'web' receives requests"
        found.append(Diagnostic(file, None, "warning", "no-web", message))
    found.sort(key=lambda finding: finding.line or 0)
    return Procfile(tuple(processes.items()), lines, tuple(found))


def read_plain(line: str) -> tuple[str, str] | None:
    """Name and command of a line that every tool reads alike, without the patterns; None for any other.

    Nearly every line of nearly every Procfile is one. Then neither `re` nor honcho nor the rules of ``line_diagnosis``
    need be imported before the first dyno, which takes a fifth of the time to it.
    """
    name, _, rest = line.partition(": ")
    command = rest.strip()
    plain = (
        command
        and line.isascii()
        and line.isprintable()
        and name.replace("_", "a").isalnum()
        and name == name.lower()
        and len(name) < 64
        and name not in _NAMES_WITH_MEANING
        and _ODD_IN_COMMAND.isdisjoint(command)
    )
    return (name, command) if plain else None


def read_odd(line: str) -> tuple[str, str] | None:
    """The same by honcho's pattern, or the wider one; None for what no reading can save."""
    import re  # noqa: PLC0415  (see read_plain)

    from honcho.environ import PROCFILE_LINE  # noqa: PLC0415

    match = PROCFILE_LINE.match(line) or re.match(_SUPERSET_LINE, line)
    command = match[2].strip() if match else ""
    return (match[1], command) if match and command else None


def _unreadable(file: str, number: int, lines: Sequence[str]) -> Diagnostic:
    import re  # noqa: PLC0415  (see read_plain)

    from procman.formats import line_diagnosis  # noqa: PLC0415

    line = lines[number - 1]
    nameless = re.match(_NAME_WITHOUT_COMMAND, line)
    if nameless:
        return line_diagnosis.empty_command(file, number, nameless[1])
    if number > 1 and lines[number - 2].rstrip().endswith("\\"):
        return line_diagnosis.continued(file, number)
    return line_diagnosis.malformed(file, number, line)
