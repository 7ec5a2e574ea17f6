"""Finds the exporter of a format, whoever installed it. Loads no template engine, and says when there is none."""

from difflib import get_close_matches
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from typing import Any

from procman.errors import ProcmanError, UsageError

GROUP = "honcho_exporters"


def formats() -> dict[str, EntryPoint]:
    """Every format that is installed."""
    return {entry.name: entry for entry in sorted(entry_points(group=GROUP), key=lambda entry: entry.name)}


def exporter(name: str) -> Any:
    """The class for a format. ProcmanError when there is none, or when it cannot be loaded."""
    known = formats()
    if name not in known:
        near = [*get_close_matches(name, known, 1), min(known)][0]
        raise UsageError(f"cannot export to '{name}': there is {', '.join(known)}", f"procman export {near} LOCATION")
    if find_spec("jinja2") is None:  # honcho.export ends the program when it misses it
        raise ProcmanError("cannot export: the package jinja2 is not installed", "pip install 'procman[export]'")
    try:
        return known[name].load()
    except Exception as error:
        distribution = known[name].dist
        raise ProcmanError(
            f"cannot export to '{name}': {known[name].value} cannot be loaded: {error}",
            f"pip install --force-reinstall {distribution.name if distribution else name}",
        ) from error
