"""Config vars."""

import os
import shlex
import subprocess
import tempfile

from procman.cli.listing import columns, emit, emit_json
from procman.cli.options import Given
from procman.cli.remote.apps import Own, said, word
from procman.cli.remote.connection import path
from procman.cli.remote.releases import last
from procman.cli.remote.target import Target, target
from procman.errors import ProcmanError, UsageError


def show(told: Given, own: Own) -> int:
    """All of them."""
    meant = target(told)
    found = meant.server.get(path("apps", meant.app, "config-vars"))
    if own["json"]:
        emit_json(found)
    elif told.fields.get("shell"):
        emit("\n".join(f"{key}={shlex.quote(value)}" for key, value in found.items()))
    else:
        rows = columns([(f"{key}:", value) for key, value in found.items()], "") if found else []
        emit("\n".join([f"=== {meant.app} Config Vars", *rows]))
    return 0


def get(told: Given, own: Own) -> int:
    """One value; status 1 if it is not set."""
    meant, key = target(told), word(told, "KEY")
    found = meant.server.get(path("apps", meant.app, "config-vars"))
    if key not in found:
        return 1
    emit(f"{key}={shlex.quote(found[key])}" if told.fields.get("shell") else found[key])
    return 0


def put(told: Given, own: Own) -> int:
    """Set some; one release for all."""
    changes: dict[str, str | None] = dict(pair(text) for text in told.arguments)
    return change(target(told), own, changes, "Setting")


def unset(told: Given, own: Own) -> int:
    """Remove some."""
    return change(target(told), own, dict.fromkeys(told.arguments), "Unsetting")


def edit(told: Given, own: Own) -> int:
    """Change them in an editor; nothing is changed if somebody else did so meanwhile."""
    meant = target(told)
    where = path("apps", meant.app, "config-vars")
    before = meant.server.get(where)
    after = edited(before)
    if meant.server.get(where) != before:
        raise ProcmanError("cannot change the config vars: they were changed by somebody else meanwhile")
    keys = [key for key in {**before, **after} if after.get(key) != before.get(key)]
    changes: dict[str, str | None] = {key: after.get(key) for key in keys}
    if not changes:
        emit("Nothing changed.")
        return 0
    return change(meant, own, changes, "Setting")


def edited(before: dict[str, str]) -> dict[str, str]:
    """What the editor made of them. The file is readable by its owner alone."""
    from procman.formats import envfile

    fd, name = tempfile.mkstemp(suffix=".env")
    try:
        with open(fd, "w", encoding="utf-8") as file:
            file.writelines(f"{key}={shlex.quote(value)}\n" for key, value in sorted(before.items()))
        editor = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
        if status := subprocess.run([*shlex.split(editor), name], check=False).returncode:
            raise ProcmanError(f"cannot change the config vars: the editor ended with status {status}")
        with open(name, "rb") as file:
            read = envfile.parse(file.read(), name, {}, False)
    finally:
        os.unlink(name)
    if errors := [str(finding) for finding in read.diagnostics if finding.severity == "error"]:
        raise ProcmanError(f"cannot read what was typed: {errors[0]}")
    return dict(read.values)


def change(meant: Target, own: Own, changes: dict[str, str | None], doing: str) -> int:
    """One release for all changes."""
    answer = meant.server.call("PATCH", path("apps", meant.app, "config-vars"), changes)
    version = last(meant)["version"]
    names = ", ".join(changes)
    return said(own, answer, f"{doing} {names} and restarting {meant.app}... done, v{version}")


def pair(text: str) -> tuple[str, str]:
    """``KEY=VALUE``. Raises UsageError, without the value."""
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise UsageError(f"cannot set '{key}': KEY=VALUE is wanted", "procman config:set GREETING=hello")
    return key, value
