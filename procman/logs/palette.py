"""One colour a dyno, stable across runs and whatever else is scaled: honcho's colours, in its order."""

from collections.abc import Callable, Sequence
from itertools import islice

from honcho.colour import get_colours

from procman.core.model import DynoName

COLOURS = 12  # honcho's cycle


def palette(process_types: Sequence[str]) -> Callable[[DynoName | None], bytes]:
    """The SGR sequence of a dyno, by its type's place in the Procfile and its number; white for procman."""
    codes = [f"\x1b[{code}m".encode() for code in islice(get_colours(), COLOURS)]

    def color(dyno: DynoName | None) -> bytes:
        if dyno is None:
            return b"\x1b[37m"
        place = process_types.index(dyno.process_type) + (dyno.number - 1) * len(process_types)
        return codes[place % COLOURS]

    return color
