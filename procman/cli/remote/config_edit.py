"""`procman config:edit`: all config vars of an app as a file, in the user's editor."""

import os
import shlex
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping

from procman.cli.interruption import ENDINGS, handling, leave
from procman.cli.listing import emit
from procman.cli.options import Given
from procman.cli.remote.apps import Own
from procman.cli.remote.config import change
from procman.cli.remote.connection import path
from procman.cli.remote.target import Target, target
from procman.errors import ProcmanError


def edit(told: Given, own: Own) -> int:
    """Change them in an editor. What was typed is kept when it cannot be used, and gone with everything else."""
    meant = target(told)
    before = meant.server.get(path("apps", meant.app, "config-vars"))
    kept = False
    with handling(ENDINGS, leave):
        fd, name = tempfile.mkstemp(suffix=".env")  # its owner alone may read it
        try:
            write(fd, name, before)
            call_editor(name)
            try:
                return apply(meant, own, before, read(name))
            except ProcmanError as error:
                kept = os.path.exists(name) and os.path.getsize(name) > 0
                hint = f"what was typed is in {name}; rm it when it is used" if kept else error.hint
                raise ProcmanError(error.what, hint, error.exit_code) from None
        finally:
            if not kept and os.path.exists(name):
                os.unlink(name)


def apply(meant: Target, own: Own, before: Mapping[str, str], after: Mapping[str, str]) -> int:
    """Nothing is changed if somebody else did so meanwhile, or if nothing would be left. Raises ProcmanError."""
    if meant.server.get(path("apps", meant.app, "config-vars")) != before:
        raise ProcmanError("cannot change the config vars: they were changed by somebody else meanwhile")
    changes = {key: after.get(key) for key in {**before, **after} if after.get(key) != before.get(key)}
    if not changes:
        emit("Nothing changed.")
        return 0
    if not after:
        hint = f"procman config:unset -a {meant.app} {' '.join(changes)}"
        raise ProcmanError("cannot remove all config vars: the editor left nothing", hint)
    return change(meant, own, changes)


def write(fd: int, name: str, before: Mapping[str, str]) -> None:
    """Put these into the file. Raises ProcmanError, also for what no env file can hold."""
    try:
        with open(fd, "w", encoding="utf-8") as file:
            file.writelines(f"{key}={shlex.quote(value)}\n" for key, value in sorted(before.items()))
    except (OSError, UnicodeEncodeError) as error:
        why = getattr(error, "strerror", None) or "a value is no UTF-8: procman config:unset"
        raise ProcmanError(f"cannot write {name}: {why}") from None


def call_editor(name: str) -> None:
    """Until it ends. Raises ProcmanError."""
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
    try:
        with handling((signal.SIGINT,), lambda number, frame: None):  # Ctrl-C is the editor's
            status = subprocess.run([*shlex.split(editor), name], check=False).returncode
    except (OSError, ValueError) as error:
        what = f"cannot start the editor '{editor}': {getattr(error, 'strerror', None) or error}"
        raise ProcmanError(what, "VISUAL=nano procman config:edit") from None
    if status:
        raise ProcmanError(f"cannot change the config vars: the editor ended with status {status}")


def read(name: str) -> dict[str, str]:
    """What the file says; who sits at a terminal may mend mistakes in it. Raises ProcmanError."""
    while True:
        try:
            return parsed(name)
        except ProcmanError as error:
            if not os.isatty(0):
                raise
            print(f"procman: {error.what}\nEdit again? [Y/n] ", end="", file=sys.stderr, flush=True)
            answer = sys.stdin.readline()
            if not answer or answer.strip().lower() not in ("", "y", "yes"):
                raise
        call_editor(name)


def parsed(name: str) -> dict[str, str]:
    """The config vars in a file. Raises ProcmanError."""
    from procman.formats import envfile

    try:
        with open(name, "rb") as file:
            found = envfile.parse(file.read(), name, {}, False)
    except OSError as error:
        raise ProcmanError(f"cannot read what was typed: {name}: {error.strerror}") from None
    if errors := [str(finding) for finding in found.diagnostics if finding.severity == "error"]:
        raise ProcmanError(f"cannot read what was typed: {errors[0]}")
    return dict(found.values)
