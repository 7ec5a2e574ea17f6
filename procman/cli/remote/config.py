"""Config vars."""

import shlex
from collections.abc import Mapping

from procman.cli.listing import columns, emit, emit_json
from procman.cli.options import Given
from procman.cli.remote.apps import Own, said, word
from procman.cli.remote.connection import path
from procman.cli.remote.releases import coming_up, find
from procman.cli.remote.target import Target, target
from procman.errors import UsageError


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
    return change(target(told), own, dict(pair(text) for text in told.arguments))


def unset(told: Given, own: Own) -> int:
    """Remove some."""
    return change(target(told), own, dict.fromkeys(told.arguments))


def change(meant: Target, own: Own, changes: Mapping[str, str | None]) -> int:
    """One release for all changes."""
    answer, head = meant.server.answer("PATCH", path("apps", meant.app, "config-vars"), changes)
    put = [key for key, value in changes.items() if value is not None]
    gone = [key for key, value in changes.items() if value is None]
    version = head.get("Procman-Release")
    if version is None:
        words = [f"{', '.join(put)} as before"] if put else []
        words += [f"{', '.join(gone)} not set"] if gone else []
        return said(own, answer, f"Nothing changed on {meant.app}: {', '.join(words)}.")
    words = [f"setting {', '.join(put)}"] if put else []
    words += [f"unsetting {', '.join(gone)}"] if gone else []
    doing = ", ".join(words)
    done = f"{doing[0].upper()}{doing[1:]} and restarting {meant.app}... done, v{version}"
    return said(own, answer, "\n".join([done, *coming_up(meant, find(meant, version))]))


def pair(text: str) -> tuple[str, str]:
    """``KEY=VALUE``. Raises UsageError, without the value."""
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise UsageError(f"cannot set '{key}': KEY=VALUE is wanted", "procman config:set GREETING=hello")
    return key, value
