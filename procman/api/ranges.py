"""Lists in parts: the Range header that the client sends, and the answer with what comes next (Heroku: ranges)."""

import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

from procman.api.call import Answer, Call
from procman.platform.refusals import Refusal

T = TypeVar("T")
MOST = 1000
DEFAULT_MOST = 200
FORM = re.compile(
    r"\s*(?P<by>[a-z_]+)\s*(?P<open>\]?)(?P<low>[^\s.;]*)\s*\.\.\s*(?P<high>[^\s;]*)\s*(?:;(?P<rest>.*))?"
)


class Range(NamedTuple):
    """``version ]3..9; max=15, order=desc``. ``after``: the low end itself is not meant."""

    by: str
    low: str = ""
    high: str = ""
    after: bool = False
    most: int = DEFAULT_MOST
    descending: bool = False


def parse(text: str, default: str) -> Range:
    """Read a Range header; empty means everything by ``default``. Raises Refusal."""
    if not text.strip():
        return Range(default)
    found = FORM.fullmatch(text)
    if found is None:
        raise Refusal("requested_range_not_satisfiable", f"Invalid Range: {text}")
    pairs = (part.strip().partition("=") for part in re.split("[,;]", found["rest"] or ""))
    said = {key: value for key, _, value in pairs if key}
    most = said.get("max", str(DEFAULT_MOST))
    if not is_number(most) or not 0 < int(most) <= MOST or said.get("order", "asc") not in ("asc", "desc"):
        raise Refusal("requested_range_not_satisfiable", f"Invalid Range: {text}")
    return Range(
        found["by"], found["low"], found["high"], found["open"] == "]", int(most), said.get("order") == "desc"
    )


def part(call: Call, items: Sequence[T], keys: dict[str, Callable[[T], Any]], render: Callable[[T], Any]) -> Answer:
    """The part of a list that was asked for: 206 with Next-Range when there is more.

    ``keys``: what one may order by, the usual one first.
    """
    default = next(iter(keys))
    wish = parse(call.request.headers.get("range", ""), default)
    if wish.by not in keys:
        raise Refusal("requested_range_not_satisfiable", f"Cannot order by {wish.by}: there is {', '.join(keys)}.")
    key = keys[wish.by]
    ordered = sorted(items, key=key, reverse=wish.descending)
    low, high = bound(wish.low, ordered, key), bound(wish.high, ordered, key)
    if wish.descending and wish.after:  # a page after the first: going down from there, to the other end
        ordered = [item for item in ordered if low is None or key(item) < low]
        ordered = [item for item in ordered if high is None or key(item) >= high]
    else:
        ordered = [item for item in ordered if low is None or key(item) > low or (key(item) == low and not wish.after)]
        ordered = [item for item in ordered if high is None or key(item) <= high]
    page, rest = ordered[: wish.most], ordered[wish.most :]
    headers = {"Accept-Ranges": ", ".join(keys)}
    if page:
        headers["Content-Range"] = f"{wish.by} {key(page[0])}..{key(page[-1])}"
    if rest:
        order = ", order=desc" if wish.descending else ""
        end = wish.low if wish.descending and not wish.after else wish.high
        headers["Next-Range"] = f"{wish.by} ]{key(page[-1])}..{end}; max={wish.most}{order}"
    return Answer([render(item) for item in page], 206 if rest else 200, headers)


def is_number(text: str) -> bool:
    """Digits of ours only, and no more of them than a number of anything here can have."""
    return text.isascii() and text.isdigit() and len(text) < 19


def bound(text: str, items: Sequence[T], key: Callable[[T], Any]) -> Any:
    """An end of the range in the type of what is ordered by. Raises Refusal."""
    if not text or not items:
        return None
    if isinstance(key(items[0]), int):
        if not is_number(text):
            raise Refusal("requested_range_not_satisfiable", f"Invalid Range: {text} is not a number.")
        return int(text)
    return text
