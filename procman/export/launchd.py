"""A property list for each dyno, as macOS's launchd has them (launchd.plist(5))."""

import plistlib
from collections.abc import Iterator
from typing import Any

from honcho.export.base import File

from procman.export.exporter import Exporter
from procman.export.processes import Process
from procman.export.quoting import dashed


class Export(Exporter):
    """Exporter for launchd. There is no template: plistlib writes what plutil reads."""

    format = "launchd"

    def files(self, processes: list[Process], context: dict[str, Any]) -> Iterator[File]:
        """One file a dyno, called by its label."""
        for process in processes:
            job = job_of(process, context)
            try:
                text = plistlib.dumps(job, sort_keys=False).decode()
            except ValueError:
                raise ValueError(f"{process.name}: a property list cannot hold control characters") from None
            yield File(f"{job['Label']}.plist", text)


def job_of(process: Process, context: dict[str, Any]) -> dict[str, Any]:
    """One dyno's keys. A dyno that ends is started again, at most once a second."""
    name = dashed(process.name)
    log = f"{context['log']}/{name}.log"
    return {
        "Label": f"{context['app']}.{name}",
        "ProgramArguments": [context["shell"], "-c", process.cmd],
        "WorkingDirectory": context["app_root"],
        "UserName": context["user"],  # of a daemon; an agent has its user's
        "EnvironmentVariables": dict(process.env),
        "RunAtLoad": True,
        "KeepAlive": True,
        "ThrottleInterval": 1,
        "ExitTimeOut": process.grace,
        "StandardOutPath": log,
        "StandardErrorPath": log,
    }
