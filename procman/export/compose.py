"""One ``compose.yaml``: a service for each dyno, so that each has its own name and port (Compose specification)."""

from collections.abc import Iterator
from typing import Any

from honcho.export.base import File

from procman.core.health import Probe
from procman.export.exporter import Exporter
from procman.export.processes import Process


class Export(Exporter):
    """Exporter for Docker Compose, and for podman-compose and others that read the same file."""

    format = "compose"
    in_image = True

    def files(self, processes: list[Process], context: dict[str, Any]) -> Iterator[File]:
        """The one file."""
        names = [self._template_env.filters["label"](process.name) for process in processes]
        if twice := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"two services would be called '{min(twice)}'")
        asked = {process.name: asked_of(process) for process in processes}
        text = self.get_template("compose.yaml").render({**context, "processes": processes, "asked": asked})
        yield File("compose.yaml", text)


def asked_of(process: Process) -> Probe | None:
    """The check that runs in the container. There are no others: an image need not have a program that speaks HTTP."""
    probes = (process.checks.live, process.checks.ready) if process.checks else ()
    return next((probe for probe in probes if probe and probe.command), None)
