"""Several stores of an app read as one stream."""

import itertools
import os
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from procman.core.model import DynoName
from procman.logs import merge
from procman.logs.formats import Source, stamp
from procman.logs.line import Filter, parse_line
from procman.logs.merge import MergedFollower, decode, encode, end, last
from procman.logs.store import LogStore, Position, segment_path

WEB = Source(DynoName("web", 1), "app")
ROUTER = Source(None, "heroku", ps="router")
WALL = 1714557600.0


@pytest.fixture
def stores(tmp_path) -> list[str]:
    """Of a supervisor and of the server."""
    return [str(tmp_path / "dynos"), str(tmp_path / "server")]


def said(lines: list[bytes]) -> list[bytes]:
    return [parse_line(line).message for line in lines]


def read_all(follower: MergedFollower, limit: int = merge.PIECE) -> list[bytes]:
    pieces = iter(lambda: follower.read(limit), None)
    return lines_of(b"".join(piece.data for piece in pieces))


def read_once(follower: MergedFollower, limit: int = merge.PIECE) -> list[bytes]:
    """The same, from one that is not needed any more."""
    try:
        return read_all(follower, limit)
    finally:
        follower.close()


def lines_of(data: bytes) -> list[bytes]:
    return [line + b"\n" for line in data.split(b"\n")[:-1]]


def fill(stores: list[str]) -> tuple[LogStore, LogStore]:
    """The even numbers in one, the odd in the other."""
    logs = LogStore(stores[0]), LogStore(stores[1])
    for which in range(20):
        logs[which % 2].append((WEB, ROUTER)[which % 2], b"%d\n" % which, WALL + which)
    return logs


def by_time(*lists: list[bytes]) -> list[bytes]:
    """The plain model: every line has the latest time up to it in its store; sort by it, and by store."""
    keyed = []
    for store, lines in enumerate(lists):
        newest = b""
        for place, line in enumerate(lines):
            newest = max(newest, line[:32] if line.startswith(b"2024") else b"")
            keyed.append((newest, store, place, line))
    return [line for *_, line in sorted(keyed)]


def test_a_store_of_dynos_and_one_of_the_server_are_one_stream_by_time(stores):
    fill(stores)
    follower = MergedFollower(stores, (Position(1, 0), Position(1, 0)))
    assert said(read_all(follower)) == [b"%d" % which for which in range(20)]
    assert said(last(stores, 5)) == [b"15", b"16", b"17", b"18", b"19"]
    assert said(last(stores, 3, Filter(source="heroku"))) == [b"15", b"17", b"19"]
    assert last(stores, 0) == []
    assert len(last(stores, 1000)) == 20


def test_between_the_last_lines_and_those_that_follow_none_is_missed(stores):
    dynos, server = fill(stores)
    place = end(stores)
    dynos.append(WEB, b"later\n", WALL + 30)
    server.append(ROUTER, b"at=info\n", WALL + 31)
    assert said(last(stores, 1, before=place)) == [b"19"]
    assert said(read_once(MergedFollower(stores, place))) == [b"later", b"at=info"]


def test_a_store_that_does_not_exist_yet_is_empty(stores):
    place = end(stores)
    assert last(stores, 10) == []
    follower = MergedFollower(stores, place)
    assert follower.read() is None
    LogStore(stores[1]).append(ROUTER, b"at=info\n", WALL)
    assert said(read_all(follower)) == [b"at=info"]
    follower.close()


def test_a_line_that_comes_late_is_not_lost(stores):
    dynos, server = fill(stores)
    follower = MergedFollower(stores, end(stores))
    dynos.append(WEB, b"now\n", WALL + 60)
    assert said(read_all(follower)) == [b"now"]
    server.append(ROUTER, b"late\n", WALL + 50)
    assert said(read_all(follower)) == [b"late"]


def test_of_equal_times_the_first_store_comes_first(stores):
    logs = LogStore(stores[1]), LogStore(stores[0])
    for log in logs:
        log.append(WEB, log.directory[-6:].encode() + b"\n", WALL)
    assert said(read_once(MergedFollower(stores, (Position(1, 0), Position(1, 0))))) == [b"/dynos", b"server"]
    assert said(last(stores, 2)) == [b"/dynos", b"server"]


def test_a_place_is_a_short_word_and_nothing_else_is_one():
    place = (Position(3, 1 << 20), Position(1, 0))
    assert encode(place) == "3.100000-1.0"
    assert decode("3.100000-1.0", 2) == place
    for wrong in ("", "3.1", "3.1-1.0-1.0", "03.1-1.0", "3.1-1.-0", "3.1-x.0", "3.1-1.0\n", "3.A-1.0", "-1.0-1.0"):
        with pytest.raises(ValueError, match="not a place"):
            decode(wrong, 2)


timed = st.tuples(st.integers(0, 30), st.binary(max_size=6).map(lambda text: text.replace(b"\n", b" ")))
by_hand = st.just(None)  # a line without a time
any_lines = st.lists(st.one_of(timed, by_hand), max_size=16)
steady_lines = st.lists(timed, max_size=16).map(sorted)
START = (Position(1, 0), Position(1, 0))


def write(directory: str, name: bytes, items: list) -> list[bytes]:
    """A store of small segments with these lines."""
    log = LogStore(directory, max_bytes=500, keep=1000)
    written = []
    for number, item in enumerate(items):
        mark = b"%s%d" % (name, number)
        if item:
            log.append(WEB, item[1] + mark + b"\n", WALL + item[0])
            written.append(b"%s app[web.1]: %s%s\n" % (stamp(WALL + item[0]).encode(), item[1], mark))
        else:
            with open(segment_path(directory, log.position().segment), "ab") as file:
                file.write(mark + b"\n")
            written.append(mark + b"\n")
    log.close()
    return written


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A pair of new directories a time."""
    root, count = tmp_path_factory.mktemp("pairs"), itertools.count()
    return lambda: [str(root / f"{next(count)}") for _ in range(2)]


@given(any_lines, any_lines, st.integers(1, 400))
def test_any_two_stores_read_as_the_plain_model_sorts_them(folders, first, second, limit):
    stores = folders()
    written = [write(stores[0], b"a", first), write(stores[1], b"b", second)]
    got = read_once(MergedFollower(stores, START), limit)
    assert got == by_time(*written)
    assert last(stores, 1000) == got


@given(steady_lines, steady_lines, st.integers(1, 400), st.lists(st.integers(0, 4), max_size=4), st.integers(0, 50))
def test_whoever_goes_on_from_a_place_misses_nothing_and_repeats_nothing(folders, first, second, limit, stops, count):
    stores = folders()
    expected = by_time(write(stores[0], b"a", first), write(stores[1], b"b", second))
    got: list[bytes] = []
    place = START
    for stop in stops:
        follower = MergedFollower(stores, place)
        for piece in filter(None, (follower.read(limit) for _ in range(stop))):
            got += lines_of(piece.data)
        place = decode(encode(follower.place()), 2)
        follower.close()
    assert last(stores, 1000, before=place) == got
    assert last(stores, count, before=place) == got[len(got) - min(count, len(got)) :]
    assert got + read_once(MergedFollower(stores, place), limit) == expected


@given(any_lines, any_lines, st.integers(1, 400), st.lists(st.integers(1, 4), max_size=4))
def test_each_store_keeps_its_own_order_whatever_its_clock_did(folders, first, second, limit, stops):
    stores = folders()
    written = [write(stores[0], b"a", first), write(stores[1], b"b", second)]
    got: list[bytes] = []
    place = START
    for stop in stops:
        follower = MergedFollower(stores, place)
        for piece in filter(None, (follower.read(limit) for _ in range(stop))):
            got += lines_of(piece.data)
        place = follower.place()
        follower.close()
    got += read_once(MergedFollower(stores, place), limit)
    for lines in written:
        known = set(lines)
        assert [line for line in got if line in known] == lines
    assert len(got) == len(written[0]) + len(written[1])


def test_a_reader_too_slow_for_the_disk_is_told_what_it_missed_and_goes_on(stores):
    small = LogStore(stores[0], max_bytes=300, keep=2)
    server = LogStore(stores[1])
    follower = MergedFollower(stores, START)
    for which in range(30):
        small.append(WEB, b"%d\n" % which, WALL + which)
    server.append(ROUTER, b"at=info\n", WALL + 29)
    got = said(read_all(follower, 100))
    assert got[0] == b"at=info"  # the notice is of now
    assert got[1].startswith(b"Missed segment 1 and segments 2 to ")
    numbers = [int(message) for message in got if message.isdigit()]
    assert numbers == list(range(numbers[0], 30))
    assert follower.place() == end(stores)
    small.append(WEB, b"more\n", WALL + 99)
    assert said(read_all(follower)) == [b"more"]


def test_a_flood_is_read_in_time_and_its_end_at_once(stores):
    logs = LogStore(stores[0], keep=100), LogStore(stores[1], keep=100)
    for batch in range(100):  # 200,000 lines that alternate by thousands
        logs[batch % 2].append(WEB, b"a line of the flood\n" * 2000, WALL + batch)
    begun = time.process_time()
    assert len(last(stores, 100)) == 100
    assert time.process_time() - begun < 0.5
    follower = MergedFollower(stores, START)
    assert sum(piece.data.count(b"\n") for piece in iter(follower.read, None)) == 200_000
    assert time.process_time() - begun < 3  # 0.2 s here


def test_nothing_that_a_dyno_puts_into_its_store_holds_up_a_reader(stores):
    fill(stores)
    os.mkfifo(segment_path(stores[0], 2))
    os.symlink("/etc/passwd", segment_path(stores[0], 3))
    with open(segment_path(stores[1], 2), "wb") as file:
        file.truncate(1 << 40)
    assert said(last(stores, 2)) == [b"18", b"19"]
    assert len(read_once(MergedFollower(stores, START))) == 20


def test_a_store_that_is_a_link_to_anothers_is_not_read(stores):
    fill(stores)
    os.rename(stores[0], f"{stores[0]}.anothers")
    os.symlink(f"{stores[0]}.anothers", stores[0])
    os.mkdir(f"{stores[0]}.empty")
    assert last(stores, 100) == last([f"{stores[0]}.empty", stores[1]], 100) != []
