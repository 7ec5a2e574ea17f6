"""How a value is written in each language so that its reader gets it back: the filters of our templates.

All take any text without NUL. What a language cannot hold in that place is a ValueError, which names no value: values
can be secrets.
"""

import math
import re
import shlex
from collections.abc import Mapping

from procman.formats import systemd_unit

CONTROLS = r"[\x00-\x1f\x7f\x80-\x9f\u2028\u2029]"
MAX_LABEL = 63  # RFC 1123


def dashed(name: str) -> str:
    """``web.1`` as ``web-1``: honcho's filter of the name ``dashrepl``."""
    return re.sub(r"\W", "-", name)


def doubled(text: str, sign: str = "%") -> str:
    """Every sign twice, where one would begin an expansion: ``%`` for supervisord, ``$`` for Compose and Kubernetes."""
    return text.replace(sign, sign * 2)


def dollars(text: str) -> str:
    """``$`` doubled."""
    return doubled(text, "$")


def label(name: str) -> str:
    """A name as DNS has them, for containers: lower case, dashes. ValueError when nothing is left or too much."""
    found = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    if not 0 < len(found) <= MAX_LABEL:
        raise ValueError(f"'{name}' makes no name of 1 to {MAX_LABEL} letters, digits and dashes")
    return found


def yaml(text: str) -> str:
    """A double-quoted scalar (YAML 1.1 and 1.2). What no editor shows is escaped."""
    inner = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(char if char.isprintable() else _yaml_escape(ord(char)) for char in inner) + '"'


def _yaml_escape(code: int) -> str:
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def one_line(text: str) -> str:
    """A word for a POSIX shell that stands on one line; ``$NL`` has to be a newline there."""
    return shlex.quote(text).replace("\n", """'"$NL"'""")


# -- supervisord --------------------------------------------------------------------------------------------
# Its ini reader takes `;` and `#` behind a blank for comments, also in quotes. It expands %(x)s, and in included files
# %(here)s even where the sign is doubled. Its shlex for environment= knows no escapes and strips quotes at both ends.
HERE = "%(here)s"


def ini_word(text: str) -> str:
    """A word of command=, which is split as a shell would."""
    if re.search(CONTROLS, text.replace("\t", "")):
        raise ValueError("supervisord's command= cannot hold control characters")
    inner = text.replace("'", """'"'"'""")
    inner = inner.replace(HERE, """%'"("'here)s""")
    return doubled("'" + re.sub(r"(?<=\s)([;#])", r"""'"\1"'""", inner) + "'")


def ini_value(text: str) -> str:
    """A path, which stands as it is."""
    if re.search(CONTROLS, text) or re.search(r"\s[;#]", text) or HERE in text or text != text.strip():
        raise ValueError(f"supervisord cannot read the path {text!a}")
    return doubled(text)


def ini_plain(value: str) -> bool:
    """Whether environment= can hold the value."""
    return not (
        '"' in value
        or HERE in value
        or value.startswith("'")
        or value.endswith("'")
        or re.search(CONTROLS, value)
        or re.search(r"\s[;#]", value)
    )


def ini_environment(env: Mapping[str, str]) -> str:
    """The variables. Those that environment= cannot hold come in one that a shell has to unpack: ``PROCMAN_ENV``."""
    plain = {key: value for key, value in env.items() if ini_plain(value)}
    if packed := ini_packed(env):
        plain["PROCMAN_ENV"] = packed
    return ",".join(f'{key}="{doubled(value)}"' for key, value in plain.items())


def ini_packed(env: Mapping[str, str]) -> str:
    """The rest as text for a shell, each byte that could mean something written as printf's %b reads it."""
    lines = (f"export {key}={shlex.quote(value)};" for key, value in env.items() if not ini_plain(value))
    return re.sub(rb"[^A-Za-z0-9_=]", lambda found: b"\\0%03o" % found[0][0], "".join(lines).encode()).decode()


def filters() -> dict[str, object]:
    """All of them by the names that templates use, honcho's three among them."""
    return {
        "shellquote": shlex.quote,
        "dashrepl": dashed,
        "percentescape": doubled,
        "dollars": dollars,
        "label": label,
        "yaml": yaml,
        "one_line": one_line,
        "whole": math.ceil,
        "ini_word": ini_word,
        "ini_value": ini_value,
        "ini_environment": ini_environment,
        "ini_packed": ini_packed,
        "unit_word": systemd_unit.word,
        "unit_argument": lambda text: systemd_unit.word(text, dollars=True),
        "unit_directory": systemd_unit.directory,
        "unit_text": systemd_unit.one_line,
    }
