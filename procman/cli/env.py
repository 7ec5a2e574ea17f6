"""`procman env`: the variables that every dyno gets, and where each one comes from."""

import os
import re
import sys
from collections.abc import Container

from procman.cli.app import Examination, examine
from procman.cli.listing import counted, emit, emit_json
from procman.cli.options import Given
from procman.cli.settings import resolve
from procman.errors import ProcmanError
from procman.formats import envfile

MASK = "********"
_SECRET_NAME = re.compile(
    r"KEY|TOKEN|SECRET|PASSWORD|PASSWD|PASSPHRASE|CREDENTIAL|DSN|DATABASE_URL|PRIVATE|AUTH|COOKIE|SESSION_ID"
    r"|(?:^|_)(?:PASS|JWT|SK|PAT)(?:\Z|_)|_PWD(?:\Z|_)",  # PWD alone is a folder
    re.I,
)
_URL_PASSWORD = re.compile(r"(://[^/:@\s]*:)\S+(@)")
_SAID_PASSWORD = re.compile(  # as databases are told it: up to a semicolon, or else to a blank
    r"""(\b(?:password|passwd|pwd)\s*=\s*)(?:"[^"]*"|'[^']*'|[^;&]+(?=;)|[^;&\s]+)""", re.I
)
_BARE = re.compile(r"[A-Za-z0-9_@%+=:,./-]*\Z")


def show(given: Given, explain: bool, reveal: bool, as_json: bool) -> int:
    """Print KEY=value lines that an env file could hold; 0. Raises ProcmanError for env files that cannot be
    read.

    PORT, DYNO and PS differ from dyno to dyno: PORT is shown as the first one, the others are not.
    """
    environ = dict(os.environ)
    examination = examine(resolve(given, environ), environ, procfile_needed=False)
    broken = [error for error in examination.errors if error not in examination.procfile.diagnostics]
    if broken:
        listed = "\n".join(str(error) for error in broken)
        raise ProcmanError(f"cannot read the environment: {counted(len(broken), 'error')}\n{listed}")
    values, origins = _values(examination)
    shown = values if reveal else {key: masked(key, value) for key, value in values.items()}
    keys = sorted(shown, key=lambda key: _rank(origins[key], key, examination.file_env))
    if as_json:
        told = {key: {"value": shown[key], "origin": origins[key]} for key in keys}
        emit_json(told if explain else {key: shown[key] for key in keys})
    else:
        odd = [key for key in keys if not is_writable(key, values[key])]
        if odd:
            print(f"left out, as no env file can hold them: {', '.join(map(ascii, odd))}", file=sys.stderr)
        keys = [key for key in keys if key not in odd]
        for key in keys:
            line = f"{key}={quoted(shown[key])}"
            emit(f"{line:<39} # {origins[key]}" if explain else line)
    hidden = sum(shown[key] != values[key] for key in keys)
    if hidden:
        print(f"{counted(hidden, 'secret')} masked: --reveal shows them", file=sys.stderr)
    return 0


def masked(key: str, value: str) -> str:
    """The value as strangers may see it: hidden if name or text says secret, as are passwords in it."""
    if value and (_SECRET_NAME.search(key) or "-----BEGIN" in value):
        return MASK
    return _SAID_PASSWORD.sub(rf"\g<1>{MASK}", _URL_PASSWORD.sub(rf"\g<1>{MASK}\g<2>", value))


def quoted(value: str) -> str:
    """The value as an env file would hold it: python-dotenv reads it back as it was."""
    if _BARE.match(value):
        return value
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def is_writable(key: str, value: str) -> bool:
    """Whether an env file can hold it: no function of bash, for instance, and only UTF-8."""
    line = f"{key}={quoted(value)}\n".encode("utf-8", "surrogateescape")
    read = envfile.parse(line, "", {})
    return read.values == {key: value} and not any(found.severity == "error" for found in read.diagnostics)


def _values(examination: Examination) -> tuple[dict[str, str], dict[str, str]]:
    app = examination.app
    values = {**app.env, "PORT": str(app.base_port)}
    return values, {**app.env_origins, "PORT": app.base_port_origin}


def _rank(origin: str, key: str, file_env: Container[str]) -> tuple[int, str]:
    """Env files first, then what procman adds, then the caller's environment."""
    return (0 if key in file_env else 2 if origin == "environment" else 1), key
