"""cron schedules: what is read, when it is due, and what is refused."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from procman.formats.cron import moment, parse

NOON = moment(2026, 11, 26, 12)  # a Thursday


@pytest.mark.parametrize(
    ("text", "due"),
    [
        ("* * * * *", (2026, 11, 26, 12, 1)),
        ("*/5 * * * *", (2026, 11, 26, 12, 5)),
        ("0 12 * * *", (2026, 11, 27, 12, 0)),
        ("30 8-18/2 * * mon-fri", (2026, 11, 26, 12, 30)),
        ("0 9 * * sat", (2026, 11, 28, 9, 0)),
        ("0 9 * * 7", (2026, 11, 29, 9, 0)),
        ("15,45 0 1 jan *", (2027, 1, 1, 0, 15)),
        ("0 0 29 2 *", (2028, 2, 29, 0, 0)),
        ("0 0 13 * fri", (2026, 11, 27, 0, 0)),  # the 13th, or a Friday
        ("@hourly", (2026, 11, 26, 13, 0)),
        ("@daily", (2026, 11, 27, 0, 0)),
        ("5/20 * * * *", (2026, 11, 26, 12, 5)),
    ],
)
def test_when_it_is_next_due(text, due):
    assert parse(text).next_after(NOON) == moment(*due)


def test_a_day_that_never_comes_is_never_due():
    assert parse("0 0 31 2 *").next_after(NOON) is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "five fields"),
        ("* * * *", "five fields"),
        ("60 * * * *", "'60' is not a minute between 0 and 59"),
        ("* 24 * * *", "'24' is not a hour"),
        ("* * 0 * *", "'0' is not a day between 1 and 31"),
        ("* * * foo *", "'foo' is not a month"),
        ("*/0 * * * *", "'*/0' is not a minute"),
        ("5-1 * * * *", "'5-1' is not a minute"),
        ("-1 * * * *", "'-1' is not a minute"),
        ("@reboot", "five fields"),
        ("\u0661 * * * *", "is not a minute"),
    ],
)
def test_what_is_no_schedule_is_refused_with_its_field(text, words):
    with pytest.raises(ValueError, match=words.replace("*", r"\*")):
        parse(text)


@given(st.integers(0, 4_000_000_000), st.integers(0, 59), st.integers(0, 23))
def test_a_daily_schedule_is_due_within_a_day_at_its_minute(start, minute, hour):
    due = parse(f"{minute} {hour} * * *").next_after(start)
    assert 0 < due - start <= 86_400
    date = datetime.fromtimestamp(due, UTC)
    assert (date.hour, date.minute, date.second) == (hour, minute, 0)
