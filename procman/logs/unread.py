"""How much of a log stands behind a place."""

import os
from collections.abc import Sequence

from procman.logs.merge import Place
from procman.logs.store import segment_path, segments


def unread(stores: Sequence[str], place: Place) -> int:
    """Bytes that a follower at ``place`` has before it."""
    return sum(
        max(size_of(segment_path(store, number)) - (position.offset if number == position.segment else 0), 0)
        for store, position in zip(stores, place, strict=True)
        for number in segments(store)
        if number >= position.segment
    )


def size_of(path: str) -> int:
    """0 if it is gone."""
    try:
        return os.stat(path, follow_symlinks=False).st_size
    except OSError:
        return 0
