"""What a verb of the command line is."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from procman.cli.options import Given


class Verb(NamedTuple):
    """A verb's help and what it calls. ``words`` is the metavar of its arguments, None for none."""

    summary: str
    details: str
    examples: Sequence[str]
    words: str | None
    call: Callable[[Given, dict[str, bool]], int]
