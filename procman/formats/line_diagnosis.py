"""What to say about one line of a Procfile: why it cannot be read, or who else would read it otherwise."""

import re

from procman.formats.diagnostic import Diagnostic
from procman.typed import Iterator

Finding = tuple[str, str]  # its code, and what is said
NAME_LIMIT = 63  # a DNS label: dokku and Heroku's Fir generation refuse more
HEROKU_NAME_LIMIT = 128  # Platform API pattern ^[-\w]{1,128}$

_NO_COLON = re.compile(r"^\s*([A-Za-z0-9_-]+)(?:\s+(\S.*?))?\s*$")
_BEFORE_COLON = re.compile(r"^\s*([^:]*?)\s*:")
_ASSIGNMENT = re.compile(r"^\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=")
_USUAL_NAMES = """
    api app assets beat bot cable celery clock consumer cron css db frontend js mail postgres queue redis
    release rpc scheduler server sidekiq urgentworker vite watch web webpack worker
"""
_CONVENTIONAL = frozenset(_USUAL_NAMES.split())  # `web CMD` is a forgotten colon rather than prose
# str.splitlines(), and so honcho, ends a line at these; Heroku and shells do not.
_SEPARATORS = re.compile("[\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029]")
_INVISIBLE = re.compile("[\xa0\xad\u200b-\u200f\u2060\ufeff]")
_SMART_QUOTES = re.compile("[\u2018\u2019\u201c\u201d]")
_ERRORS = frozenset({"line-separator", "empty-command"})  # of a line that can be read
_QUOTED_OR_COMMENT = re.compile(r"""\\.|'[^']*'|"(?:\\.|[^"\\])*"|(?:(?<=\s)|^)(#.*)""")


def empty_command(file: str, line: int, name: str) -> Diagnostic:
    message = f"'{name}' has no command: write '{name}: COMMAND' or delete the line"
    return Diagnostic(file, line, "error", "empty-command", message)


def continued(file: str, line: int) -> Diagnostic:
    message = (
        f"meant to continue line {line - 1}, but no tool joins lines at a backslash: write it on one line"
    )
    return Diagnostic(file, line, "error", "continuation", message)


def malformed(file: str, line: int, text: str) -> Diagnostic:
    """Why a line is not ``name: command``, as pointed as can be told from the line alone."""
    code, message = _reason(text)
    return Diagnostic(file, line, "error", code, message)


def _reason(text: str) -> Finding:
    return _strange(text) or _without_colon(text) or _without_name(text)


def _strange(text: str) -> Finding | None:
    """Something in it that no such line has."""
    bare = text.strip()
    hidden = _INVISIBLE.search(text)
    if hidden:
        return (
            "invisible-character",
            f"not 'name: command': an invisible character, U+{ord(hidden[0]):04X}, hides here",
        )
    if bare.startswith(("<<<<<<<", "=======", ">>>>>>>")):
        return "conflict-marker", "a conflict marker of an unfinished git merge"
    if bare.startswith(("//", "--", ";")):
        return "bad-comment", f"a comment begins with '#', not '{bare[:2].rstrip()}'"
    if "\uff1a" in text.split(":", maxsplit=1)[0]:
        return "wide-colon", "a full-width colon (U+FF1A) is not ':'"
    return None


def _without_colon(text: str) -> Finding | None:
    """Nothing, a blank or ``=`` where the colon was meant to be."""
    word = _NO_COLON.match(text)
    if word and word[2] is None:
        return "missing-colon", f"no colon and no command: write '{word[1]}: COMMAND'"
    if word and word[1] in _CONVENTIONAL:
        name = word[1]
        return (
            "missing-colon",
            f"missing colon after '{name}': write '{name}: …' (Heroku takes it, honcho drops it)",
        )
    assigned = _ASSIGNMENT.match(text)
    if not assigned:
        return None
    # The value is not shown: it may be a secret.
    name = assigned[1]
    if name.lower() in _CONVENTIONAL:
        return "missing-colon", f"'=' after '{name}' where ':' should be: write '{name}: …'"
    return "assignment", f"an assignment to '{name}': variables belong in .env"


def _without_name(text: str) -> Finding:
    """No name before the colon, or one that is none; or prose."""
    word, colon = _NO_COLON.match(text), _BEFORE_COLON.match(text)
    if colon and not colon[1]:
        return "missing-name", "nothing before the colon: write 'NAME: COMMAND'"
    if colon and len(colon[1]) <= NAME_LIMIT:
        reason = f"'{_start(colon[1])}' cannot be a process type: only letters, digits, '-' and '_'"
        if word:
            reason += f" (Heroku would make it a type '{word[1]}')"
        return "invalid-name", reason
    if word:
        return "prose", (
            f"not 'name: command': honcho and foreman drop this line, Heroku would make it a type '{word[1]}'"
            "; begin it with '#' if it is a comment"
        )
    return "malformed", "not 'name: command': every other tool drops this line without a word"


def differences(file: str, line: int, text: str, name: str, command: str) -> list[Diagnostic]:
    """Warnings (and, where honcho would cut the line in two, an error) about a line that is read here."""
    found = (*_about_blanks(text, name, command), *_about_name(name), *_about_command(text, name, command))
    return [
        Diagnostic(file, line, "error" if code in _ERRORS else "warning", code, message) for code, message in found
    ]


def _about_blanks(text: str, name: str, command: str) -> Iterator[Finding]:
    """Around the name, and what ends the line for others."""
    head, _, tail = text.partition(":")
    if head[0].isspace():
        yield "indentation", "indented: Heroku runs this line, honcho, foreman and heroku local do not see it"
    if head[-1].isspace():
        yield (
            "blank-before-colon",
            f"a blank before the colon: Heroku would run ': {_start(command)}', which does nothing",
        )
    if not tail.startswith((" ", "\t")):
        yield "no-blank", f"no blank after the colon: Heroku drops this line; write '{name}: …'"
    separator = text[: len(text) - len(tail.lstrip())]
    if "\t" in separator:
        yield "tab", "a tab around the name: read as a blank here, Heroku's newer builders want spaces"
    cut = _SEPARATORS.search(text)
    if cut:
        yield "line-separator", f"U+{ord(cut[0]):04X} ends the line for honcho and not for the shell: delete it"


def _about_name(name: str) -> Iterator[Finding]:
    if len(name) > HEROKU_NAME_LIMIT:
        yield "long-name", f"a name of {len(name)} characters: Heroku refuses more than {HEROKU_NAME_LIMIT}"
    elif len(name) > NAME_LIMIT:
        yield (
            "long-name",
            f"a name of {len(name)} characters: dokku and Heroku's newer builders refuse more than 63",
        )
    if "-" in name:
        yield "hyphen", f"heroku local refuses the hyphen in '{name}', unless the type is named on its command line"
    if name.lower() == "web" and name != "web":
        yield "uppercase", f"'{name}' is not 'web': Heroku sends it no requests"
    elif name != name.lower():
        yield "uppercase", f"upper case in '{name}': Heroku's newer builders make it '{name.lower()}'"
    if name in {"all", "any", "none"}:
        yield (
            "reserved-name",
            f"'{name}' means something else in options such as '-m all=2' and '--exit-with any'",
        )


def _about_command(text: str, name: str, command: str) -> Iterator[Finding]:
    hidden = _INVISIBLE.search(text)
    if hidden:
        yield (
            "invisible-character",
            f"an invisible character, U+{ord(hidden[0]):04X}, which the shell takes as a letter",
        )
    smart = _SMART_QUOTES.search(command)
    if smart:
        yield "smart-quote", f"a typographic quote ({smart[0]}), which the shell does not take as a quote"
    if command.endswith("\\"):
        yield "continuation", "ends in a backslash: no tool joins the next line to this one; write it on one line"
    comment = next((match for match in _QUOTED_OR_COMMENT.finditer(command) if match[1]), None)
    if comment and comment.start() == 0:
        yield "empty-command", f"'{name}' has only a comment for a command"
    elif comment:
        yield "trailing-comment", "a comment at the end of the line goes to the shell as part of the command"


def _start(text: str) -> str:
    """A piece of the file as a message may show it: short, and without what a terminal would obey."""
    shown = text if len(text) <= 30 else text[:29] + "…"
    return shown if shown.isprintable() else ascii(shown)[1:-1]
