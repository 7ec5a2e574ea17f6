"""`procman doctor`: what is wrong with this installation, and what to type."""

import os
from collections.abc import Mapping

from procman.cli.listing import counted, emit, emit_json
from procman.cli.options import Given
from procman.cli.server import directory


def doctor(told: Given, own: Mapping[str, bool]) -> int:
    """One line a finding; status 1 if one is an error."""
    from procman.server.doctor import examine
    from procman.supervisor.home import apps_dir

    data = directory(told)
    there = "data" in told.fields or os.path.exists(os.path.join(data, "procman.db"))
    found = examine(data if there else None, apps_dir(os.environ))
    errors = sum(finding.severity == "error" for finding in found)
    if own["json"]:
        emit_json({"ok": not errors, "findings": [finding._asdict() for finding in found]})
    else:
        for severity, what, hint in found:
            emit(f"{severity}: {what}; hint: {hint}")
        emit(f"{counted(errors, 'error')}, {counted(len(found) - errors, 'warning')}")
    return 1 if errors else 0
