"""What our exporters have in common. They are honcho's kind, and `honcho export` can use them too."""

from collections.abc import Iterable, Iterator
from typing import Any

from honcho.export.base import BaseExport, File

from procman.export.processes import Process, as_process
from procman.export.templating import environment


class Exporter(BaseExport):  # type: ignore[misc]
    """``format`` names the folder of its templates. ``in_image``: its dynos run in a container, not on this host."""

    format = ""
    in_image = False

    def __init__(self, template_dir: str | None = None, template_env: Any = None) -> None:
        super().__init__(template_env=template_env or environment(self.format, template_dir))

    def render(self, processes: Iterable[Any], context: dict[str, Any]) -> Iterator[File]:
        """The files."""
        context = {"image": None, "given_user": None, **context}
        context["image"], context["build"] = context["image"] or context["app"], not context["image"]
        yield from self.files([as_process(process) for process in processes], context)

    def files(self, processes: list[Process], context: dict[str, Any]) -> Iterator[File]:
        """The same, of processes and a context that have everything."""
        raise NotImplementedError
