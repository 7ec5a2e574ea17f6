"""The log store under the hands of others: rename, truncate, replace and delete cost no later line."""

import os
import shutil

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from procman.logs.store import LogStore, Position, segment_path
from procman.logs.tail import follow_from, last
from tests.segments import PREFIX, WALL, WEB, messages, read_all, read_segments


@pytest.fixture
def directory(tmp_path) -> str:
    return str(tmp_path / "logs")


def rename(path: str) -> None:
    os.rename(path, path + ".old")


def truncate(path: str) -> None:
    os.truncate(path, 0)


def truncate_within_a_line(path: str) -> None:
    os.truncate(path, os.stat(path).st_size * 2 // 3)


def replace(path: str) -> None:
    rename(path)
    open(path, "wb").close()


def replace_by_a_copy(path: str) -> None:
    rename(path)
    shutil.copy(path + ".old", path)


def delete_all(path: str) -> None:
    for name in os.listdir(os.path.dirname(path)):
        os.unlink(os.path.join(os.path.dirname(path), name))
    os.rmdir(os.path.dirname(path))


INTRUSIONS = [rename, truncate, truncate_within_a_line, os.unlink, replace, replace_by_a_copy, delete_all]


@pytest.mark.parametrize("intrude", INTRUSIONS)
def test_an_outsider_at_the_current_segment_costs_no_later_line(directory, intrude):
    store = LogStore(directory)
    store.append(WEB, b"early 1\nearly 2\n", WALL)
    follower = follow_from(directory, Position(1, 0))
    assert messages(read_all(follower)) == [b"early 1", b"early 2"]
    intrude(segment_path(directory, 1))
    store.append(WEB, b"late 1\n", WALL)
    store.append(WEB, b"late 2\n", WALL)
    assert store.lost_lines == 0
    assert messages(b"".join(last(directory, 2))) == [b"late 1", b"late 2"]
    assert b"\0" not in b"".join(read_segments(directory))
    assert store.position().segment == 2


@pytest.mark.parametrize("intrude", INTRUSIONS)
def test_a_position_taken_after_an_outsider_came_is_where_the_next_line_stands(directory, intrude):
    store = LogStore(directory)
    store.append(WEB, b"early\n", WALL)
    intrude(segment_path(directory, 1))
    follower = follow_from(directory, store.position())
    store.append(WEB, b"late\n", WALL)
    assert read_all(follower) == PREFIX + b"late\n"


def test_copytruncate_every_day_does_not_push_real_segments_out(directory):
    store = LogStore(directory, max_bytes=2 * len(PREFIX), keep=3)
    store.append(WEB, b"early\n" + b"x" * len(PREFIX) + b"\n", WALL)
    for day in range(10):
        store.append(WEB, b"day %d\n" % day, WALL)
        truncate(segment_path(directory, store.position().segment))
    assert messages(b"".join(read_segments(directory)))[0] == b"early"


def test_a_renamed_segment_keeps_its_lines(directory):
    store = LogStore(directory)
    store.append(WEB, b"early\n", WALL)
    rename(segment_path(directory, 1))
    store.append(WEB, b"late\n", WALL)
    with open(segment_path(directory, 1) + ".old", "rb") as file:
        assert file.read() == PREFIX + b"early\n"


def test_a_line_that_somebody_else_appends_stays_and_is_ended(directory):
    store = LogStore(directory)
    store.append(WEB, b"one\n", WALL)
    with open(segment_path(directory, 1), "ab") as file:
        file.write(b"a mark by hand")
    store.append(WEB, b"two\n", WALL)
    assert read_segments(directory) == [PREFIX + b"one\n" + b"a mark by hand\n" + PREFIX + b"two\n"]


def test_a_segment_deleted_between_look_and_write_costs_nothing(directory, monkeypatch):
    store = LogStore(directory)
    store.append(WEB, b"early\n", WALL)
    follower = follow_from(directory, Position(1, 0))
    assert messages(read_all(follower)) == [b"early"]
    writev = os.writev
    victims = [segment_path(directory, 1)]

    def slow(fd, buffers):
        if victims:
            os.unlink(victims.pop())
        return writev(fd, buffers)

    monkeypatch.setattr(os, "writev", slow)
    store.append(WEB, b"late 1\nlate 2\n", WALL)
    assert store.lost_lines == 0
    assert messages(b"".join(read_segments(directory))) == [b"late 1", b"late 2"]
    assert messages(read_all(follower)) == [b"late 1", b"late 2"]


@given(st.lists(st.sampled_from([None, None, *INTRUSIONS]), max_size=12), st.integers(1, 300))
@example([truncate, truncate_within_a_line, rename], 1000)
def test_who_reads_along_sees_every_line_once_whatever_outsiders_do(tmp_path_factory, script, max_bytes):
    directory = str(tmp_path_factory.mktemp("store") / "logs")
    store = LogStore(directory, max_bytes)
    follower = follow_from(directory, store.position())
    for turn, intrude in enumerate(script):
        lines = [b"%d.%d" % (turn, number) for number in range(3)]
        store.append(WEB, b"\n".join(lines) + b"\n", WALL)
        assert messages(read_all(follower)) == lines
        if intrude:
            intrude(segment_path(directory, store.position().segment))
    store.close()
    follower.close()


# Crashes


@pytest.mark.parametrize("fragment", [b"2024-05-01T1", PREFIX + b"half a li", b"\0\0\0"])
def test_a_segment_torn_by_a_crash_is_ended_at_the_next_start(directory, fragment):
    store = LogStore(directory)
    store.append(WEB, b"one\n", WALL)
    store.close()
    with open(segment_path(directory, 1), "ab") as file:
        file.write(fragment)
    again = LogStore(directory)
    again.append(WEB, b"two\n", WALL)
    assert read_segments(directory) == [PREFIX + b"one\n" + fragment + b"\n" + PREFIX + b"two\n"]


# The disk
