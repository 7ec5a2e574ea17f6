"""What a verb of the command line is."""

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any, NamedTuple

from procman.cli.options import Given


class Verb(NamedTuple):
    """A verb's help and what it calls. ``words`` is the metavar of its arguments, None for none."""

    summary: str
    details: str
    examples: Sequence[str]
    words: str | None
    call: Callable[[Given, dict[str, bool]], int]


def later(module: str, function: str) -> Callable[[Given, dict[str, bool]], int]:
    """A verb's function, whose module is imported when it is called: nobody else pays for it."""

    def call(told: Given, own: dict[str, bool]) -> int:
        found: Any = getattr(import_module(f"procman.cli.{module}"), function)
        status: int = found(told, own)
        return status

    return call
