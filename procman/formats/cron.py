"""cron expressions (crontab(5)) to values, and when they are next due. Times are UTC."""

from calendar import timegm
from time import gmtime
from typing import NamedTuple

DAY_S = 86_400
HORIZON_DAYS = 366 * 8  # the 29th of February is at most eight years away
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
WORDS = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}


class Schedule(NamedTuple):
    """Minutes, hours, days of the month, months, and days of the week (0 is Sunday) at which something is due.

    ``either``: both kinds of days were restricted, and then one of them is enough (crontab(5)).
    """

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    either: bool

    def next_after(self, seconds: float) -> float | None:
        """The first moment later than ``seconds`` (since the epoch); None: there is none, as on a 31st of February."""
        start = int(seconds) // 60 * 60 + 60
        day = start // DAY_S * DAY_S
        for at in range(day, day + HORIZON_DAYS * DAY_S, DAY_S):
            if not self._is_day(at):
                continue
            for hour in sorted(self.hours):
                for minute in sorted(self.minutes):
                    moment = at + hour * 3600 + minute * 60
                    if moment >= start:
                        return float(moment)
        return None

    def _is_day(self, seconds: int) -> bool:
        date = gmtime(seconds)
        weekday = (date.tm_wday + 1) % 7
        if date.tm_mon not in self.months:
            return False
        fits = (date.tm_mday in self.days, weekday in self.weekdays)
        return any(fits) if self.either else all(fits)


def parse(text: str) -> Schedule:
    """Read ``*/5 8-18 * * mon-fri`` or ``@daily``. Raises ValueError that says which field is wrong."""
    words = WORDS.get(text.strip().lower(), text).split()
    if len(words) != 5:
        raise ValueError(f"'{text}' is not a cron schedule: five fields or @daily are wanted")
    minute, hour, day, month, weekday = words
    weekdays = field("day of the week", weekday, 0, 7, DAYS)
    return Schedule(
        field("minute", minute, 0, 59),
        field("hour", hour, 0, 23),
        field("day", day, 1, 31),
        field("month", month, 1, 12, MONTHS),
        frozenset(number % 7 for number in weekdays),
        not day.startswith("*") and not weekday.startswith("*"),
    )


def field(name: str, text: str, low: int, high: int, words: tuple[str, ...] = ()) -> frozenset[int]:
    """The numbers that one field means. Raises ValueError."""
    found: set[int] = set()
    for part in text.split(","):
        span, slash, step = part.partition("/")
        first, dash, last = span.partition("-")
        try:
            every = int(step) if slash else 1
            start = low if span == "*" else number(first, low, words)
            end = high if span == "*" or (slash and not dash) else number(last if dash else first, low, words)
        except ValueError:
            raise ValueError(f"'{part}' is not a {name}") from None
        if every < 1 or not low <= start <= end <= high:
            raise ValueError(f"'{part}' is not a {name} between {low} and {high}")
        found.update(range(start, end + 1, every))
    return frozenset(found)


def number(text: str, low: int, words: tuple[str, ...]) -> int:
    """``5`` or ``mon``. Raises ValueError."""
    if text.lower() in words:
        return words.index(text.lower()) + low
    if not (text.isascii() and text.isdigit()):
        raise ValueError(text)
    return int(text)


def moment(year: int, month: int, day: int, hour: int = 0, minute: int = 0) -> float:
    """Seconds since the epoch of a moment in UTC."""
    return float(timegm((year, month, day, hour, minute, 0)))
