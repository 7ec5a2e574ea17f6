"""Restart policies by type: ``always``, ``web=max=5``."""

from procman.core.restart import NAMED, RestartPolicy, limited
from procman.formats.formation_arg import ALL, items, parse_type
from procman.typed import Iterable


def parse(texts: Iterable[str]) -> dict[str, RestartPolicy]:
    """By type, or ``ALL`` for the rest. ValueError says what is wrong."""
    policies = {}
    for item in items(texts):
        name, equals, policy = item.partition("=")
        if not equals or (name == "max" and policy.isdigit()):
            policies[ALL] = read(item)
        else:
            policies[parse_type(name)] = read(policy)
    return policies


def read(text: str) -> RestartPolicy:
    """One, by its name. ValueError knows those that there are."""
    if text in NAMED:
        return NAMED[text]
    word, _, times = text.partition("=")
    if word == "max" and times.isascii() and times.isdigit() and len(times) < 10:
        return limited(int(times))
    from difflib import get_close_matches  # noqa: PLC0415 - no start needs it that is right

    near = get_close_matches(text, NAMED, 1)
    help_ = f"did you mean '{near[0]}'?" if near else f"one of {', '.join(NAMED)}, max=N"
    raise ValueError(f"'{text}' is not a restart policy: {help_}")
