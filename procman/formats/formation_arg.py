"""Formation arguments: ``web=2,worker=1``, ``all=3``, and the ``web`` or ``web=2`` of `procman start`."""

from procman.core.formation import MOST
from procman.typed import Iterable

ALL = "*"  # how ``all=N`` is kept: no process type can be called that

_LETTERS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-")


def is_type(name: str) -> bool:
    """Whether a process type can be called that."""
    return bool(name) and _LETTERS.issuperset(name)


def parse_type(name: str) -> str:
    """A process type's name, ``ALL`` for ``all``."""
    if not is_type(name):
        raise ValueError(f"'{name}' cannot be a process type: only letters, digits, '-' and '_'")
    return ALL if name == "all" else name


def parse_counts(texts: Iterable[str]) -> dict[str, int]:
    """``-m`` arguments to type → quantity, a later one over an earlier one. ValueError says what is wrong."""
    counts: dict[str, int] = {}
    for item in items(texts):
        name, equals, number = item.partition("=")
        if not equals:
            raise ValueError(
                f"'{item}' is not TYPE=N, such as {item if is_type(item) else 'web'}=2"
            )
        counts[parse_type(name)] = _quantity(item, number)
    return counts


def parse_types(texts: Iterable[str]) -> dict[str, int | None]:
    """``procman start`` arguments to type → quantity, None if not given. ValueError says what is wrong."""
    types: dict[str, int | None] = {}
    for item in items(texts):
        name, equals, number = item.partition("=")
        process_type = parse_type(name)
        quantity = _quantity(item, number) if equals else None
        before = types.get(process_type)
        if before is not None and quantity is not None and before != quantity:
            raise ValueError(f"'{name}' is asked for twice, with {before} and {quantity}")
        types[process_type] = before if quantity is None else quantity
    return types


def parse_names(texts: Iterable[str]) -> frozenset[str]:
    """``-q`` and ``-x`` arguments to process types. ValueError says what is wrong."""
    names = frozenset(parse_type(item) for item in items(texts))
    if ALL in names:
        raise ValueError("'all' is not a process type: name the types")
    return names


def items(texts: Iterable[str]) -> list[str]:
    """The items of comma lists that may also be repeated; empty ones do not count."""
    return [item.strip() for text in texts for item in text.split(",") if item.strip()]


def _quantity(item: str, number: str) -> int:
    if not (number.isascii() and number.isdigit()):
        raise ValueError(f"'{item}': '{number}' is not a whole number of dynos")
    if len(number) > 9 or int(number) > MOST:
        raise ValueError(f"'{item}': more than {MOST} dynos")
    return int(number)
