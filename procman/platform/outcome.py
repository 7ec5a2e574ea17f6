"""How a release came out."""

from typing import NamedTuple


class Outcome(NamedTuple):
    """``lines``: the last ones of the dyno that failed; ``phase``: the release command did."""

    status: str
    why: str = ""
    dyno: str = ""
    lines: tuple[str, ...] = ()
    phase: bool = False
