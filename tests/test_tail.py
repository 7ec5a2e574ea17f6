"""Reading the log store: the last lines, what follows, and only what is wanted of it."""

import os
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from procman.core.model import DynoName
from procman.logs import tail
from procman.logs.formats import Source
from procman.logs.line import EVERYTHING, Filter, Line, parse_line
from procman.logs.store import LogStore, Position, segment_path, segments
from procman.logs.tail import end, follow_from, last

WEB = Source(DynoName("web", 1), "app")
WEB_2 = Source(DynoName("web", 2), "app")
WEB_11 = Source(DynoName("web", 11), "app")
KEEPER = Source(DynoName("web", 1), "heroku", "system")
WEBHOOK = Source(DynoName("webhook", 1), "app")
PROCMAN = Source(None, "heroku", "system")
WALL = 1714557600.5
STAMP = b"2024-05-01T10:00:00.500000+00:00"
PREFIX = STAMP + b" app[web.1]: "
GARBAGE = b"a mark by hand\n"


@pytest.fixture
def directory(tmp_path) -> str:
    return str(tmp_path / "logs")


@pytest.fixture
def store(directory) -> LogStore:
    """Segments of two short lines."""
    return LogStore(directory, max_bytes=2 * len(PREFIX) + 10, keep=1000)


def read_all(follower) -> bytes:
    return b"".join(iter(follower.read, b""))


def said(text: bytes) -> list[bytes]:
    return [parse_line(line).message for line in text.split(b"\n")[:-1]]


def number(store: LogStore, first: int, count: int) -> None:
    for which in range(first, first + count):
        store.append(WEB, b"%d\n" % which, WALL)


# The last lines


def test_the_last_lines_come_oldest_first_over_segments(store, directory):
    number(store, 0, 9)
    assert said(b"".join(last(directory, 4))) == [b"5", b"6", b"7", b"8"]
    assert len(last(directory, 100)) == 9
    assert last(directory, 0) == []


def test_no_store_has_no_lines(directory):
    assert last(directory, 10) == []
    assert end(directory) == Position(1, 0)


def test_a_line_that_is_just_being_written_is_not_shown(store, directory):
    number(store, 0, 1)
    here = store.position()
    with open(segment_path(directory, 1), "ab") as file:
        file.write(PREFIX + b"half")
    assert last(directory, 10) == [PREFIX + b"0\n"]
    assert end(directory) == here


def test_a_line_torn_in_an_older_segment_is_shown_with_a_newline(store, directory):
    number(store, 0, 5)
    os.truncate(segment_path(directory, 1), 2 * len(PREFIX) + 3)
    assert said(b"".join(last(directory, 10))) == [b"0", b"1", b"2", b"3", b"4"]
    assert said(read_all(follow_from(directory, Position(1, 0)))) == [b"0", b"1", b"2", b"3", b"4"]


def test_last_and_follow_share_a_place(store, directory):
    number(store, 0, 5)
    here = end(directory)
    number(store, 5, 4)
    assert said(b"".join(last(directory, 3, before=here))) == [b"2", b"3", b"4"]
    assert said(read_all(follow_from(directory, here))) == [b"5", b"6", b"7", b"8"]


def test_the_last_lines_wanted_are_found_far_back(store, directory):
    store.append(WEB_2, b"needle\n", WALL)
    number(store, 0, 50)
    assert said(b"".join(last(directory, 1, Filter(dyno="web.2")))) == [b"needle"]


def test_segments_that_go_while_one_reads_are_skipped(store, directory, monkeypatch):
    number(store, 0, 6)
    opened = tail.open_segment

    def late(directory, which):
        if which == 2:
            os.unlink(segment_path(directory, which))
        return opened(directory, which)

    monkeypatch.setattr(tail, "open_segment", late)
    assert said(b"".join(last(directory, 10))) == [b"0", b"1", b"4", b"5"]


def test_a_segment_truncated_while_one_reads_backwards_gives_whole_lines_still(directory, monkeypatch):
    store = LogStore(directory)
    number(store, 0, 30)
    monkeypatch.setattr(tail, "BLOCK", 200)
    batches = tail.batches_backwards(directory, end(directory))
    seen = [next(batches)]
    os.truncate(segment_path(directory, 1), 20 * (len(PREFIX) + 2) + 5)
    seen += batches
    assert all(re.fullmatch(rb"%s\d+" % re.escape(PREFIX), line) for line in b"".join(seen).split(b"\n")[:-1])


@given(
    st.lists(st.binary(max_size=40).map(lambda text: text.replace(b"\n", b"\r")), max_size=20),
    st.integers(1, 64),
    st.booleans(),
    st.integers(1, 25),
)
def test_reading_backwards_or_along_in_blocks_of_any_size_is_like_reading_all(
    tmp_path_factory, lines, block, torn, count
):
    directory = str(tmp_path_factory.mktemp("store"))
    text = b"".join(line + b"\n" for line in lines)
    with open(segment_path(directory, 1), "wb") as file:
        file.write(text + (b"torn" if torn else b""))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tail, "BLOCK", block)
        assert end(directory) == Position(1, len(text))
        assert last(directory, count) == [line + b"\n" for line in lines[-count:]]
        follower = follow_from(directory, Position(1, 0))
        assert read_all(follower) == text
        open(segment_path(directory, 2), "wb").close()
        assert read_all(follower) == (b"torn\n" if torn else b"")
        follower.close()
        expected = [line + b"\n" for line in [*lines, *([b"torn"] if torn else [])]]
        assert last(directory, count) == expected[-count:]


# Following


def test_a_follower_may_be_there_before_the_store(directory):
    follower = follow_from(directory, end(directory))
    assert follower.read() == b""
    store = LogStore(directory)
    number(store, 0, 2)
    assert said(read_all(follower)) == [b"0", b"1"]


def test_a_line_is_delivered_when_it_is_whole(store, directory):
    number(store, 0, 1)
    follower = follow_from(directory, store.position())
    with open(segment_path(directory, 1), "ab") as file:
        file.write(PREFIX + b"ha")
        file.flush()
        assert follower.read() == b""
        file.write(b"lf\n")
    assert said(follower.read()) == [b"half"]


def test_lines_that_came_just_before_a_rotation_are_not_passed_over(store, directory, monkeypatch):
    number(store, 0, 1)
    follower = follow_from(directory, store.position())
    listed = tail.segments

    def late(directory):
        if segments(directory) == [1]:  # between the follower's read and its look for a next segment
            number(store, 1, 3)
        return listed(directory)

    monkeypatch.setattr(tail, "segments", late)
    assert said(read_all(follower)) == [b"1", b"2", b"3"]


def test_an_overtaken_follower_says_what_it_missed(directory):
    store = LogStore(directory, max_bytes=2 * len(PREFIX) + 10, keep=2)
    number(store, 0, 1)
    follower = follow_from(directory, store.position())
    number(store, 1, 9)
    assert segments(directory) == [4, 5]
    missed, *rest = said(read_all(follower))
    assert missed == b"Missed segment 1 from byte 47 on and segments 2 to 3 of the log: deleted unread"
    assert rest == [b"6", b"7", b"8", b"9"]


def test_a_follower_reads_the_deleted_segment_that_it_holds(directory):
    store = LogStore(directory, max_bytes=2 * len(PREFIX) + 10, keep=2)
    number(store, 0, 1)
    follower = follow_from(directory, Position(1, 0))
    assert said(follower.read()) == [b"0"]
    number(store, 1, 7)
    assert segments(directory) == [3, 4]
    text = read_all(follower)
    assert said(text) == [b"1", b"Missed segment 2 of the log: deleted unread", b"4", b"5", b"6", b"7"]
    assert [parse_line(line).ps for line in text.split(b"\n")[1:2]] == ["procman"]


@pytest.mark.parametrize("opened", [True, False])
def test_a_follower_finds_a_store_that_began_anew(store, directory, opened):
    number(store, 0, 9)
    follower = follow_from(directory, store.position())
    if opened:
        assert follower.read() == b""
    for which in segments(directory):
        os.unlink(segment_path(directory, which))
    store.close()
    assert follower.read() == b""
    number(LogStore(directory), 100, 3)
    assert said(read_all(follower)) == [b"100", b"101", b"102"]


def test_a_follower_goes_on_where_a_supervisor_goes_on_after_the_newest_segment_was_deleted(store, directory):
    number(store, 0, 5)
    follower = follow_from(directory, store.position())
    os.unlink(segment_path(directory, 3))
    store.close()
    assert follower.read() == b""
    number(LogStore(directory), 100, 3)
    assert said(read_all(follower)) == [b"100", b"101", b"102"]


# Filters and parsing


def batch(directory: str) -> bytes:
    store = LogStore(directory)
    for second, source in enumerate([WEB, WEB_2, WEB_11, KEEPER, WEBHOOK, PROCMAN]):
        store.append(source, b"by %s\nGET /web.1 200\n" % source.label().encode(), WALL + second)
    with open(segment_path(directory, 1), "ab") as file:
        file.write(GARBAGE)
    with open(segment_path(directory, 1), "rb") as file:
        return file.read()


@pytest.mark.parametrize(
    ("wants", "sources"),
    [
        (Filter(dyno="web.1"), {"app[web.1]", "heroku[web.1]"}),
        (Filter(dyno="procman"), {"heroku[procman]"}),
        (Filter(process_type="web"), {"app[web.1]", "app[web.2]", "app[web.11]", "heroku[web.1]"}),
        (Filter(source="app"), {"app[web.1]", "app[web.2]", "app[web.11]", "app[webhook.1]"}),
        (Filter(source="heroku", process_type="web"), {"heroku[web.1]"}),
        (Filter(dyno="web.2", process_type="web"), {"app[web.2]"}),
        (Filter(dyno="webhook.1", process_type="web"), set()),
        (Filter(since=WALL + 4), {"app[webhook.1]", "heroku[procman]"}),
        (Filter(since=WALL + 100), set()),
        (Filter(dyno="we..1"), set()),
    ],
)
def test_a_filter_passes_whole_lines_of_whom_it_names(directory, wants, sources):
    parsed = [parse_line(line) for line in wants.lines(batch(directory))]
    assert {f"{line.source}[{line.ps}]" for line in parsed} == sources
    assert len(parsed) == 2 * len(sources)


def test_no_filter_passes_everything(directory):
    text = batch(directory)
    assert b"".join(EVERYTHING.lines(text)) == text


@pytest.mark.parametrize(
    ("pattern", "count"), [(rb"^GET", 6), (rb"200$", 6), (rb"by hand", 1), (rb"2024", 0), (rb"^by web\.1$", 2)]
)
def test_grep_searches_the_message_alone(directory, pattern, count):
    assert len(Filter(grep=re.compile(pattern)).lines(batch(directory))) == count


def test_a_message_that_looks_like_a_line_is_not_taken_for_one():
    line = PREFIX + STAMP + b" heroku[router]: no\n"
    assert Filter(dyno="router").lines(line) == []
    assert Filter(dyno="web.1").lines(line) == [line]


def test_a_stored_line_is_taken_apart():
    line = parse_line(b"2024-05-01T10:00:00.500000+00:00 app[web.1]: a]: b\xff \r\n")
    assert line == Line(WALL, "app", "web.1", b"a]: b\xff \r")
    assert parse_line(PREFIX) == Line(WALL, "app", "web.1", b"")


@pytest.mark.parametrize(
    "line",
    [b"", b"\n", b"\0\xff", b"2024-05-01", PREFIX[:-1], b"2024-02-31T10:00:00.500000+00:00 app[web.1]: x", STAMP],
)
def test_garbage_is_all_message(line):
    assert parse_line(line) == Line(None, "", "", line.removesuffix(b"\n"))


@given(st.binary())
def test_any_bytes_can_be_parsed_and_filtered(data):
    parse_line(data)
    assert b"".join(EVERYTHING.lines(data + b"\n")) == data + b"\n"
    Filter("web.1", "web", "app", WALL, re.compile(b"x")).lines(data + b"\n")
