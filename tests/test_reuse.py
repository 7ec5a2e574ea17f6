"""Segments that are written over in a flood: nobody reads a line of before, half a line, or one twice."""

import errno
import os
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from procman.logs import store, tail
from procman.logs.reuse import end_in, end_path
from procman.logs.segment import size_of
from procman.logs.store import LogStore, Position, segment_path, segments
from procman.logs.tail import end, follow_from, last
from procman.logs.unread import unread
from tests.segments import ALL, PREFIX, WALL, WEB, messages, read_all, read_once

LINE = len(PREFIX) + 4  # as stored
BATCH = 5  # lines of a flood
SEGMENT = 4 * BATCH * LINE


class Killed(BaseException):
    """The supervisor's end, wherever it stands."""


@pytest.fixture(autouse=True)
def small_floods(monkeypatch) -> None:
    monkeypatch.setattr(store, "FLOOD", BATCH * 4)


@pytest.fixture
def directory(tmp_path) -> str:
    return str(tmp_path / "logs")


class Writer:
    """Numbered lines, all of the same length, into segments of four batches, of which three are kept."""

    def __init__(self, directory: str) -> None:
        self.directory = directory
        self.written: list[bytes] = []
        self.store = LogStore(directory, SEGMENT, keep=3)

    def write(self, count: int) -> None:
        lines = [b"%03d" % number for number in range(len(self.written), len(self.written) + count)]
        self.store.append(WEB, b"".join(line + b"\n" for line in lines), WALL)
        self.written += lines

    def flood(self, batches: int) -> None:
        for _ in range(batches):
            self.write(BATCH)

    def open_again(self) -> None:
        """By another, after this one was killed."""
        self.store = LogStore(self.directory, SEGMENT, keep=3)

    def kept(self) -> list[bytes]:
        return messages(b"".join(last(self.directory, ALL)))


@pytest.fixture
def writer(directory) -> Iterator[Writer]:
    one = Writer(directory)
    yield one
    one.store.close()


def inodes(directory: str) -> set[int]:
    return {os.lstat(segment_path(directory, number)).st_ino for number in segments(directory)}


def is_tail_of(lines: list[bytes], written: list[bytes]) -> bool:
    return lines == written[len(written) - len(lines) :]


def test_a_flood_goes_round_in_the_files_that_are_there(writer, directory):
    writer.flood(12)
    before = inodes(directory)
    writer.flood(90)
    assert (inodes(directory), segments(directory)) == (before, [24, 25, 26])
    assert writer.kept() == writer.written[-50:], "two whole segments, and half a one"
    assert os.path.getsize(segment_path(directory, 26)) == SEGMENT
    assert (size_of(directory, 26), end(directory)) == (SEGMENT // 2, Position(26, SEGMENT // 2))
    assert writer.store.position() == writer.store.place() == end(directory)


def test_whoever_reads_along_reads_every_line_once(writer, directory):
    follower = follow_from(directory, writer.store.position())
    read = b""
    for _ in range(100):
        writer.flood(1)
        read += read_all(follower)
    assert messages(read) == writer.written
    assert follower.position() == end(directory)
    follower.close()


@pytest.mark.parametrize("how", ["a small line", "the end", "a gap"])
def test_after_the_flood_a_segment_is_like_any_other(writer, directory, how):
    writer.flood(30)
    assert os.path.exists(end_path(directory))
    if how == "a small line":
        writer.write(1)
    elif how == "the end":
        writer.store.close()
    else:
        writer.store.lose(WEB, 1, 4, "the disk was too slow")
        writer.flood(1)
    assert not os.path.exists(end_path(directory))
    with open(segment_path(directory, segments(directory)[-1]), "rb") as file:
        text = file.read()
    assert is_tail_of(messages(text), writer.written)
    assert is_tail_of(writer.kept(), writer.written)


def test_the_oldest_stays_what_it_is_where_it_is_linked_or_old(writer, directory, tmp_path):
    writer.flood(12)
    oldest = segment_path(directory, 1)
    os.link(oldest, tmp_path / "a copy")
    linked = (tmp_path / "a copy").read_bytes()
    writer.flood(4)
    assert (tmp_path / "a copy").read_bytes() == linked
    oldest = segment_path(directory, 2)
    os.utime(oldest, (0, 0))
    fd = os.open(oldest, os.O_RDONLY)
    writer.flood(4)
    assert os.fstat(fd).st_nlink == 0, "deleted, as ever"
    os.close(fd)
    assert writer.kept() == writer.written[-3 * 4 * BATCH :]


def test_what_is_written_over_before_it_was_read_is_told_of_as_deleted(writer, directory, monkeypatch):
    monkeypatch.setattr(tail, "BLOCK", 2 * LINE)
    writer.flood(12)
    follower = follow_from(directory, Position(1, 0))
    first = follower.read()
    writer.flood(1)  # over the segment that it has open
    told = follower.read()
    assert messages(first) == writer.written[:2]
    assert told.endswith(b"Missed segment 1 from byte %d on and segment 2 of the log: deleted unread\n" % (2 * LINE))
    assert messages(read_all(follower)) == writer.written[8 * BATCH :], "the second is written over next"
    follower.close()


def test_also_where_it_has_been_deleted_since(writer, directory, monkeypatch):
    monkeypatch.setattr(tail, "BLOCK", 2 * LINE)
    writer.flood(12)
    follower = follow_from(directory, Position(1, 0))
    first = follower.read()
    writer.flood(1)
    for _ in range(13):  # no flood any more: segments are deleted as ever
        writer.write(1)
        writer.write(3)
        writer.write(1)
    assert 4 not in segments(directory)
    told = follower.read()
    assert messages(first) == writer.written[:2]
    assert b"Missed segment 1 from byte %d on and segments" % (2 * LINE) in told
    assert is_tail_of(messages(read_all(follower)), writer.written)
    follower.close()


@pytest.mark.parametrize("harm", [os.unlink, lambda path: os.truncate(path, 0)])
def test_an_outsider_right_before_a_write_costs_no_later_line(writer, directory, monkeypatch, harm):
    writer.flood(14)
    real, path = os.pwritev, segment_path(directory, 4)

    def late(fd, buffers, offset):
        monkeypatch.setattr(os, "pwritev", real)
        harm(path)
        return real(fd, buffers, offset)

    monkeypatch.setattr(os, "pwritev", late)
    writer.flood(1)
    assert writer.kept() == [*writer.written[4 * BATCH : 12 * BATCH], *writer.written[-BATCH:]]
    writer.flood(20)
    assert is_tail_of(writer.kept(), writer.written)


def test_while_a_segment_could_not_be_cut_none_is_written_over(writer, directory, monkeypatch):
    def refusing(*_words):
        raise OSError(errno.EIO, "Input/output error")

    writer.flood(14)
    with monkeypatch.context() as patched:
        patched.setattr(os, "ftruncate", refusing)
        writer.write(1)
        writer.flood(5)
        assert end_in(directory, 4) == 2 * BATCH * LINE
        assert is_tail_of(writer.kept(), writer.written)
    writer.flood(30)
    assert is_tail_of(writer.kept(), writer.written)


def test_looking_back_ends_where_a_segment_has_become_another(writer, directory, monkeypatch):
    monkeypatch.setattr(tail, "BLOCK", 2 * LINE)
    writer.flood(12)
    batches = tail.batches_backwards(directory, Position(1, SEGMENT))
    seen = [next(batches)]
    writer.flood(4)
    seen += batches
    assert messages(b"".join(seen)) == writer.written[4 * BATCH - 1 : 4 * BATCH]


def test_what_is_unread_is_counted_without_the_lines_of_before(writer, directory):
    writer.flood(13)
    assert unread([directory], (Position(2, 0),)) == 2 * SEGMENT + BATCH * LINE


@pytest.mark.parametrize("place", ["pwritev", "pwrite", "rename", "ftruncate", "unlink"])
@pytest.mark.parametrize("done", [True, False])
def test_a_kill_at_any_moment_leaves_whole_lines_and_no_old_ones(writer, directory, monkeypatch, place, done):
    """``done``: right behind the call, or right before it."""
    writer.flood(12)
    real, calls = getattr(os, place), [0]
    for nth in range(1, 7):
        calls[0] = 0

        def deadly(*words, nth=nth):
            calls[0] += 1
            result = real(*words) if done or calls[0] != nth else None
            if calls[0] == nth:
                raise Killed
            return result

        before = len(writer.written)
        with monkeypatch.context() as patched:
            patched.setattr(os, place, deadly)
            try:
                writer.flood(9)
            except Killed:
                pass
        # Of the batch that was under way all or nothing counts.
        under_way = [b"%03d" % number for number in range(len(writer.written), len(writer.written) + BATCH)]
        kept = writer.kept()
        assert len(kept) >= 2 * 4 * BATCH
        assert is_tail_of(kept, writer.written) or is_tail_of(kept, writer.written + under_way)
        if kept[-1] == under_way[-1]:
            writer.written += under_way
        assert messages(read_once(follow_from(directory, Position(segments(directory)[0], 0)))) == kept
        writer.open_again()
        assert writer.kept() == kept
        writer.write(1)
        assert is_tail_of(writer.kept(), writer.written)
        assert len(writer.written) > before
        writer.flood(12)
        assert is_tail_of(writer.kept(), writer.written)


def test_half_a_write_counts_for_nothing_and_is_made_again(writer, directory, monkeypatch):
    writer.flood(13)
    real = os.pwritev

    def half(fd, buffers, offset):
        return real(fd, [b"".join(buffers)[: LINE + 3]], offset)

    with monkeypatch.context() as patched:
        patched.setattr(os, "pwritev", half)
        writer.flood(1)
    assert writer.kept() == writer.written[-50:]


@pytest.mark.parametrize("place", ["pwritev", "rename", "ftruncate"])
def test_a_disk_that_refuses_that_costs_no_line(writer, directory, monkeypatch, place):
    def refusing(*_words):
        raise OSError(errno.EIO, "Input/output error")

    writer.flood(13 if place != "rename" else 12)
    with monkeypatch.context() as patched:
        patched.setattr(os, place, refusing)
        writer.flood(6)
        writer.write(1)
    writer.write(1)
    writer.flood(3)
    assert is_tail_of(writer.kept(), writer.written)
    assert writer.store.lost_lines == 0


@pytest.mark.parametrize("trap", ["fifo", "directory", "link", "words", "nothing"])
def test_nothing_in_the_place_of_end_holds_anybody_up(writer, directory, tmp_path, trap):
    path = end_path(directory)
    if trap == "fifo":
        os.mkfifo(path)
    elif trap == "directory":
        os.mkdir(path)
    elif trap == "link":
        os.symlink(tmp_path / "elsewhere", path)
    else:
        (tmp_path / "logs/end").write_text("7 of nine\n" if trap == "words" else "")
    assert end_in(directory, 1) is None
    writer.flood(40)
    assert is_tail_of(writer.kept(), writer.written)
    assert not (tmp_path / "elsewhere").exists()


def test_a_record_read_while_it_is_written_is_read_again(writer, directory, monkeypatch):
    writer.flood(13)
    real, torn = os.pread, [b"%020d %020d  %020d %020d\n" % (4, 100, 4, 900)]
    monkeypatch.setattr(os, "pread", lambda fd, size, offset: torn.pop() if torn else real(fd, size, offset))
    assert end_in(directory, 4) == BATCH * LINE
    assert torn == []


moves = st.lists(
    st.sampled_from(["flood", "many", "line", "follow", "look", "kill", "close", "delete", "rename", "empty"]),
    max_size=40,
)


@given(moves)
def test_whatever_happens_meanwhile_lines_come_once_and_in_order(tmp_path_factory, script):
    directory = str(tmp_path_factory.mktemp("logs"))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(store, "FLOOD", BATCH * 4)
        patched.setattr(tail, "BLOCK", 7 * LINE)
        writer = Writer(directory)
        follower = follow_from(directory, writer.store.position())
        read: list[bytes] = []
        told = False
        for move in script:
            if move in ("flood", "many"):
                writer.flood(1 if move == "flood" else 13)
            elif move == "line":
                writer.write(1)
            elif move == "follow":
                data = follower.read()
                read += messages(data)
                told = told or b"deleted unread" in data
            elif move == "look":
                assert is_tail_of(messages(b"".join(last(directory, 5))), writer.written) or told
            elif move in ("kill", "close"):
                if move == "close":
                    writer.store.close()
                writer.open_again()
            else:
                # By an outsider. Not at once with a kill: nobody cuts what has no name.
                path = segment_path(directory, writer.store.place().segment)
                told = True
                if move == "delete" and os.path.exists(path):
                    os.unlink(path)
                elif move == "rename" and os.path.exists(path):
                    os.rename(path, f"{path}.old")
                elif os.path.exists(path):
                    os.truncate(path, 0)
                writer.write(1)
        data = read_all(follower)
        told = told or b"deleted unread" in data
        read += messages(data)
        assert read == sorted(set(read)), "once, and in order"
        assert read == writer.written or told
        follower.close()
        writer.store.close()
