"""Which types are to be up before one starts: ``web=db``."""

from procman.core.formation import list_words
from procman.core.order import cycle_in
from procman.formats.formation_arg import ALL, items, parse_type
from procman.typed import Iterable


def parse(texts: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """By type, those that it needs. ValueError says what is wrong, such as a ring of types."""
    needs: dict[str, tuple[str, ...]] = {}
    for item in items(texts):
        name, equals, needed = item.partition("=")
        if not equals:
            raise ValueError(f"'{item}' is not TYPE=TYPE, such as web=db")
        kinds = parse_type(name), parse_type(needed)
        if ALL in kinds:
            raise ValueError("'all' is not a process type: name the types")
        needs[kinds[0]] = (*needs.get(kinds[0], ()), kinds[1])
    if ring := cycle_in(needs):
        others = f"{list_words(ring[:-1])} need each other" if len(ring) > 2 else f"{ring[0]} needs itself"
        raise ValueError(f"{others}, so none could start: {' -> '.join(ring)}")
    return needs
