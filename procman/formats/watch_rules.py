"""The arguments of ``--watch``: which files concern which process types.

``--watch`` alone: every file, every type. ``--watch '*.py,templates/**'``: these, for every type.
``--watch web=*.py,templates/**``: for one. A glob reads as a line of a .gitignore does: without a slash it names
a file or folder anywhere, with one it counts from the app root, and ``!`` takes back what an earlier one gave.
"""

import re
from collections.abc import Iterable, Mapping, Sequence

from procman.formats.formation_arg import ALL, items, parse_type

Rules = Mapping[str, Sequence[str]]  # process type or ALL -> its globs, in order

FLAG = "--watch"
EVERYTHING = "*"
_FORMATION = r"[A-Za-z0-9_-]+(=[0-9]+)?(,[A-Za-z0-9_-]+(=[0-9]+)?)*"  # what may stand behind a bare --watch
_TYPE = r"([A-Za-z0-9_-]+)=(.*)"


def parse(texts: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Values of ``--watch`` to type → globs. ValueError says what is wrong."""
    rules: dict[str, list[str]] = {}
    for text in texts:
        process_type = ALL
        globs: list[str] = []
        for item in items([text]) or [EVERYTHING]:
            named = re.fullmatch(_TYPE, item)
            if named:
                process_type = parse_type(named[1])
            glob = named[2] if named else item
            globs = rules.setdefault(process_type, [])
            globs.append(_checked(glob or EVERYTHING))
    for globs in rules.values():
        if all(glob.startswith("!") for glob in globs):
            raise ValueError(f"'{globs[0]}' only takes back: name what to watch before it, such as '*'")
    return {process_type: tuple(globs) for process_type, globs in rules.items()}


def written(rules: Rules) -> list[str]:
    """Arguments that ``parse`` reads as these rules."""
    return [f"{'all' if name == ALL else name}={glob}" for name, globs in rules.items() for glob in globs]


def join_values(words: Sequence[str]) -> list[str]:
    """``--watch '*.py' web`` becomes ``--watch=*.py web``, and a bare ``--watch`` becomes ``--watch=``.

    The word behind ``--watch`` is its value if it can be nothing else: ``web``, ``web=2`` and flags stay what they
    are. So a file without ``.``, ``*`` or ``/`` in its name has to be written ``--watch=Makefile``.
    """
    joined: list[str] = []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word == "--":
            return [*joined, word, *rest]
        if word == FLAG:
            is_value = rest and not rest[0].startswith("-") and not re.fullmatch(_FORMATION, rest[0])
            word = f"{FLAG}={rest.pop(0) if is_value else ''}"
        joined.append(word)
    return joined


def _checked(glob: str) -> str:
    """The glob as a .gitignore line; ``./`` in front of it means nothing there."""
    bang = "!" if glob.startswith("!") else ""
    body = glob[len(bang) :]
    while body.startswith("./"):
        body = body[1:]
    if not body.strip("/") or "\0" in body or "\n" in body:
        raise ValueError(f"'{glob}' names no file")
    if ".." in body.split("/"):
        raise ValueError(f"'{glob}' leaves the app root: only files under it are watched")
    if re.search(r"(?<!\\)\[(?![^/]*\])", body):
        raise ValueError(f"'{glob}' has a bracket that is never closed: write \\[ for a bracket itself")
    if body.startswith(("#", "!")):
        body = f"\\{body}"
    return bang + body
