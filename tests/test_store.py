"""The log store: every line whole, once and in order, in segments that are ours alone."""

import os
import re
import stat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from procman.core.model import DynoName
from procman.logs.formats import Source
from procman.logs.store import LogStore, Position, segment_path, segments
from procman.logs.tail import follow_from, last
from tests.segments import ALL, KEEPER, PREFIX, WALL, WEB, batches, messages, read_all, read_once, read_segments


@pytest.fixture
def directory(tmp_path) -> str:
    return str(tmp_path / "logs")


def test_lines_stand_in_herokus_format_with_microseconds(directory):
    store = LogStore(directory)
    store.append(WEB, b"one\n\ntwo \0 \xff\r\n", WALL)
    store.append(KEEPER, b"Stopping all processes with SIGTERM\n", WALL + 0.25)
    assert read_segments(directory) == [
        PREFIX + b"one\n" + PREFIX + b"\n" + PREFIX + b"two \0 \xff\r\n"
        b"2024-05-01T10:00:00.750000+00:00 heroku[web.1]: Stopping all processes with SIGTERM\n"
    ]


def test_what_was_appended_is_with_the_kernel_at_once(directory):
    store = LogStore(directory)
    store.append(WEB, b"one\n", WALL)
    assert store.position() == Position(1, len(PREFIX) + 4)
    assert last(directory, 1) == [PREFIX + b"one\n"]


def test_nothing_is_appended_for_no_lines(directory):
    store = LogStore(directory)
    store.append(WEB, b"", WALL)
    assert store.position() == Position(1, 0)


def test_only_the_owner_may_read(directory):
    mask = os.umask(0)
    try:
        store = LogStore(directory, max_bytes=60)
        for _ in range(3):
            store.append(WEB, b"secret\n", WALL)
    finally:
        os.umask(mask)
    assert stat.S_IMODE(os.stat(directory).st_mode) == 0o700
    assert len(segments(directory)) == 3
    for number in segments(directory):
        assert stat.S_IMODE(os.stat(segment_path(directory, number)).st_mode) == 0o600


def test_a_segment_that_others_may_read_is_closed_to_them_when_opened(directory):
    LogStore(directory).close()
    os.chmod(segment_path(directory, 1), 0o644)
    LogStore(directory).close()
    assert stat.S_IMODE(os.stat(segment_path(directory, 1)).st_mode) == 0o600


def test_a_symbolic_link_is_not_written_through(directory, tmp_path):
    os.mkdir(directory)
    target = tmp_path / "target"
    target.write_bytes(b"precious\n")
    os.symlink(target, segment_path(directory, 1))
    store = LogStore(directory)
    store.append(WEB, b"one\n", WALL)
    assert target.read_bytes() == b"precious\n"
    assert store.position().segment == 2


def test_full_segments_are_followed_by_the_next_number_and_the_oldest_go(directory):
    store = LogStore(directory, max_bytes=2 * len(PREFIX) + 10, keep=3)
    for number in range(12):
        store.append(WEB, b"%d\n" % number, WALL)
    assert segments(directory) == [4, 5, 6]
    assert messages(b"".join(read_segments(directory))) == [b"%d" % number for number in range(6, 12)]


def test_a_store_opened_again_goes_on_in_the_newest_segment(directory):
    store = LogStore(directory, max_bytes=120)
    for _ in range(3):
        store.append(WEB, b"first life\n", WALL)
    before = store.position()
    store.close()
    again = LogStore(directory, max_bytes=120)
    assert again.position() == before
    again.append(WEB, b"second life\n", WALL)
    assert messages(b"".join(read_segments(directory))) == [b"first life"] * 3 + [b"second life"]


def test_numbers_beyond_six_digits_go_on_and_other_files_are_left_alone(directory):
    os.mkdir(directory)
    strangers = ["log.1", "log.000007.gz", "log.0000008", "log.x00009", "blog.000010", "log.²²²²²²"]
    for name in [*strangers, "log.999999"]:
        open(f"{directory}/{name}", "wb").close()
    store = LogStore(directory, max_bytes=1, keep=2)
    for _ in range(4):
        store.append(WEB, b"one\n", WALL)
    assert segments(directory) == [1000001, 1000002]
    assert set(strangers) < set(os.listdir(directory))


def test_a_batch_larger_than_a_segment_is_spread_at_line_ends(directory):
    store = LogStore(directory, max_bytes=1000, keep=1000)
    numbers = [b"%d" % number for number in range(500)]
    store.append(WEB, b"\n".join(numbers) + b"\n", WALL)
    contents = read_segments(directory)
    assert all(900 < len(content) <= 1000 for content in contents[:-1])
    assert all(content.endswith(b"\n") for content in contents)
    assert messages(b"".join(contents)) == numbers


def test_a_line_of_ten_megabytes_stays_whole_in_a_segment_of_its_own(directory):
    store = LogStore(directory, max_bytes=1 << 20)
    long = os.urandom(5 << 20).hex().encode()
    store.append(WEB, b"before\n" + long + b"\nafter\n", WALL)
    assert [len(content) > 1 << 20 for content in read_segments(directory)] == [False, True, False]
    assert messages(b"".join(last(directory, 3))) == [b"before", long, b"after"]
    assert messages(read_once(follow_from(directory, Position(1, 0)))) == [b"before", long, b"after"]


def test_a_million_lines_of_four_dynos_are_there_once_and_in_order(directory):
    store = LogStore(directory, max_bytes=4 << 20, keep=1000)
    follower = follow_from(directory, store.position())
    dynos = [Source(DynoName("web", number), "app") for number in range(1, 5)]
    expected = []
    read = []
    for batch in range(1000):
        lines = b"".join(b"%d\n" % number for number in range(batch * 1000, batch * 1000 + 1000))
        store.append(dynos[batch % 4], lines, WALL)
        expected.append(lines)
        if batch % 7 == 0:
            read.append(read_all(follower))
    read.append(read_all(follower))
    stored = b"".join(read)
    assert len(segments(directory)) > 10
    assert b"".join(read_segments(directory)) == stored
    assert b"\n".join(re.findall(rb"\[web\.[1-4]\]: (\d+)\n", stored)) + b"\n" == b"".join(expected)


@given(batches, st.integers(1, 400), st.sets(st.integers(0, 20)))
def test_any_batches_over_segments_of_any_size_come_out_as_they_went_in(tmp_path_factory, script, max_bytes, reopened):
    directory = str(tmp_path_factory.mktemp("store"))
    store = LogStore(directory, max_bytes, keep=10_000)
    follower = follow_from(directory, store.position())
    read = b""
    expected: list[bytes] = []
    for turn, lines in enumerate(script):
        if turn in reopened:
            store.close()
            store = LogStore(directory, max_bytes, keep=10_000)
        before = store.position()
        store.append(WEB, b"\n".join(lines) + b"\n", WALL)
        expected += lines
        assert messages(read_once(follow_from(directory, before))) == lines
        if turn % 3 == 0:
            read += read_all(follower)
    read += read_all(follower)
    store.close()
    follower.close()
    assert messages(read) == expected
    assert read == b"".join(read_segments(directory)) == b"".join(last(directory, ALL))
    for count in range(4):
        assert messages(b"".join(last(directory, count))) == expected[len(expected) - min(count, len(expected)) :]
    for content in read_segments(directory):
        assert content.endswith(b"\n") or not content
        assert len(content) <= max_bytes or content.count(b"\n") == 1


# Other people
