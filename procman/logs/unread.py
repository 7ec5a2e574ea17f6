"""How much of a log stands behind a place."""

from collections.abc import Sequence

from procman.logs.merge import Place
from procman.logs.segment import size_of
from procman.logs.store import segments


def unread(stores: Sequence[str], place: Place) -> int:
    """Bytes that a follower at ``place`` has before it."""
    return sum(
        max(bytes_of(store, number) - (position.offset if number == position.segment else 0), 0)
        for store, position in zip(stores, place, strict=True)
        for number in segments(store)
        if number >= position.segment
    )


def bytes_of(store: str, number: int) -> int:
    """Of one segment; 0 if it is gone."""
    try:
        return size_of(store, number)
    except OSError:
        return 0
