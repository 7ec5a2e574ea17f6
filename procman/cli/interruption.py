"""Verbs that write files of secrets end tidily when they are interrupted: what they began is taken away."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

ENDINGS = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)


@contextmanager
def handling(numbers: tuple[signal.Signals, ...], call: Callable[[int, object], None]) -> Iterator[None]:
    """These signals call that meanwhile; what is ignored stays so."""
    before = {number: signal.getsignal(number) for number in numbers}
    changed = [number for number in numbers if before[number] is not signal.SIG_IGN]
    try:
        for number in changed:
            signal.signal(number, call)
        yield
    finally:
        for number in changed:
            signal.signal(number, before[number])


def leave(number: int, frame: object) -> None:
    """End as by this signal, but tidily."""
    raise SystemExit(128 + number)
