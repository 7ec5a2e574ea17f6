"""The log store on disks that refuse: what is lost is counted, and logging resumes."""

import errno
import os
import resource
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from procman.logs.line import parse_line
from procman.logs.store import LogStore, Position, segment_path, segments
from procman.logs.tail import follow_from, last
from tests.segments import WALL, WEB, batches, in_a_child, losses, messages, mount_small_disk, read_all, read_segments


@pytest.fixture
def directory(tmp_path) -> str:
    return str(tmp_path / "logs")


def fill(directory: str) -> None:
    """Write until the disk is full, free it, write on; then every line is there or counted."""
    mount_small_disk(directory, "256k")
    with open(f"{directory}/filler", "wb") as filler:
        filler.write(bytes(64 << 10))
    store = LogStore(f"{directory}/logs", max_bytes=100 << 10)
    sent = []

    def send(count: int) -> None:
        lines = [b"%d" % number for number in range(len(sent), len(sent) + count)]
        sent.extend(lines)
        store.append(WEB, b"\n".join(lines) + b"\n", WALL)

    while not store.lost_lines:
        send(100)
    send(1000)
    full = b"".join(read_segments(store.directory))
    assert full.endswith(b"\n")
    assert messages(full) + sent[len(messages(full)) :] == sent
    assert store.lost_lines == len(sent) - len(messages(full))
    assert store.lost_bytes == sum(len(line) + 1 for line in sent[len(messages(full)) :])
    gap = (store.lost_lines, store.lost_bytes, b"No space left on device")
    os.unlink(f"{directory}/filler")
    resumed = len(sent)
    send(3)
    assert store.lost_lines == store.lost_bytes == 0
    after = b"".join(read_segments(store.directory))
    assert after.startswith(full)
    assert b"\0" not in after
    assert losses(after) == [gap]
    assert messages(after)[-3:] == sent[resumed:]
    assert parse_line(after[len(full) :].split(b"\n")[0]).ps == "procman"  # told where the gap is


def test_a_full_disk_costs_counted_lines_and_logging_resumes(tmp_path):
    in_a_child(lambda: fill(str(tmp_path)))


def limit_size(directory: str) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
    store = LogStore(directory, keep=1000)
    numbers = [b"%d" % number for number in range(200)]
    for number in numbers[:100]:
        store.append(WEB, number + b"\n", WALL)
    store.append(WEB, b"\n".join(numbers[100:]) + b"\n", WALL)
    assert store.lost_lines == 0
    contents = read_segments(directory)
    assert all(900 < len(content) <= 1000 and content.endswith(b"\n") for content in contents[:-1])
    assert messages(b"".join(contents)) == numbers
    store.append(WEB, b"x" * 2000 + b"\n", WALL)
    store.append(WEB, b"short\n", WALL)
    assert losses(b"".join(read_segments(directory))) == [(1, 2001, b"File too large")]
    assert messages(last(directory, 1)[0]) == [b"short"]


def test_a_limit_on_the_size_of_files_only_makes_smaller_segments(directory):
    in_a_child(lambda: limit_size(directory))


def test_a_store_without_descriptors_resumes_when_there_are_some(directory):
    def body() -> None:
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, limit[1]))
        store = LogStore(directory)
        store.append(WEB, b"one\n", WALL)
        assert (store.lost_lines, store.trouble) == (1, "Too many open files")
        resource.setrlimit(resource.RLIMIT_NOFILE, limit)
        store.append(WEB, b"two\n", WALL)
        text = b"".join(read_segments(directory))
        assert losses(text) == [(1, 4, b"Too many open files")]
        assert messages(text) == [b"two"]

    in_a_child(body)


def test_rotation_without_descriptors_goes_on_in_the_old_segment(directory):
    def body() -> None:
        store = LogStore(directory, max_bytes=60)
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, limit[1]))
        store.append(WEB, b"one\ntwo\n", WALL)
        store.append(WEB, b"three\n", WALL)
        resource.setrlimit(resource.RLIMIT_NOFILE, limit)
        assert segments(directory) == [1]
        store.append(WEB, b"four\n", WALL)
        assert segments(directory) == [1, 2]
        assert messages(b"".join(read_segments(directory))) == [b"one", b"two", b"three", b"four"]
        assert store.lost_lines == 0

    in_a_child(body)


def test_a_directory_that_cannot_be_made_loses_lines_but_raises_nothing(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    directory = str(tmp_path / "file" / "logs")
    store = LogStore(directory)
    store.append(WEB, b"one\ntwo\n", WALL)
    assert (store.lost_lines, store.lost_bytes) == (2, 8)
    assert store.trouble
    assert store.position() == Position(1, 0)
    os.unlink(tmp_path / "file")
    store.append(WEB, b"three\n", WALL)
    text = b"".join(read_segments(directory))
    assert [loss[:2] for loss in losses(text)] == [(2, 8)]
    assert messages(text) == [b"three"]


def test_closing_tells_of_a_gap(directory, monkeypatch):
    store = LogStore(directory)
    with monkeypatch.context() as patch:
        patch.setattr(os, "writev", lambda _fd, _buffers: refuse(errno.ENOSPC))
        store.append(WEB, b"one\n", WALL)
    store.close()
    assert losses(read_segments(directory)[0]) == [(1, 4, b"No space left on device")]


def test_a_torn_line_that_cannot_be_cut_off_is_ended(directory, monkeypatch):
    store = LogStore(directory)
    writev = os.writev
    with monkeypatch.context() as patch:
        patch.setattr(os, "writev", lambda fd, buffers: writev(fd, [b"".join(buffers)[:-2]]))
        patch.setattr(os, "write", lambda _fd, _data: refuse(errno.ENOSPC))
        patch.setattr(os, "ftruncate", lambda _fd, _size: refuse(errno.EIO))
        store.append(WEB, b"one\ntwo\n", WALL)
    assert (store.lost_lines, store.lost_bytes) == (1, 4)
    store.append(WEB, b"three\n", WALL)
    text = b"".join(read_segments(directory))
    assert [parse_line(line).message for line in text.split(b"\n")[:-1]] == [
        b"one",
        b"tw",
        b"1 line (4 bytes) of log were lost: No space left on device",
        b"three",
    ]


def test_a_file_truncated_while_the_disk_is_full_gets_no_hole(directory, monkeypatch):
    store = LogStore(directory)
    store.append(WEB, b"one\n", WALL)

    def full(_fd, _buffers):
        os.truncate(segment_path(directory, 1), 0)
        refuse(errno.ENOSPC)

    with monkeypatch.context() as patch:
        patch.setattr(os, "writev", full)
        patch.setattr(os, "write", lambda _fd, _data: refuse(errno.ENOSPC))
        store.append(WEB, b"two\n", WALL)
    store.append(WEB, b"three\n", WALL)
    text = b"".join(read_segments(directory))
    assert b"\0" not in text
    assert messages(text)[-1] == b"three"


def test_a_descriptor_gone_stale_is_opened_anew(directory, monkeypatch):
    store = LogStore(directory)
    store.append(WEB, b"one\n", WALL)
    stale = True
    opened, writev = os.open, os.writev

    def reopen(*args, **options):
        nonlocal stale
        stale = False
        return opened(*args, **options)

    monkeypatch.setattr(os, "open", reopen)
    monkeypatch.setattr(os, "writev", lambda fd, buffers: refuse(errno.ESTALE) if stale else writev(fd, buffers))
    store.append(WEB, b"two\n", WALL)
    assert store.lost_lines == 0
    assert messages(b"".join(read_segments(directory))) == [b"one", b"two"]


def refuse(number: int) -> int:
    raise OSError(number, os.strerror(number))


class WaywardDisk:
    """Takes part of some writes, and refuses others, by a script; then it is well."""

    def __init__(self, script: list[tuple[int, int | None]]) -> None:
        self.script = script
        self._write, self._writev = os.write, os.writev

    def writev(self, fd, buffers):
        return self.write(fd, b"".join(buffers))

    def write(self, fd, data):
        taken, trouble = self.script.pop() if self.script else (len(data), None)
        if trouble:
            raise OSError(trouble, os.strerror(trouble))
        return self._write(fd, bytes(data)[: max(taken, 1)])


troubles = st.sampled_from([None, errno.ENOSPC, errno.EIO, errno.EDQUOT, errno.EFBIG, errno.ESTALE])


@given(batches, st.integers(1, 400), st.lists(st.tuples(st.integers(1, 150), troubles), max_size=40))
def test_under_any_trouble_every_line_is_stored_whole_or_counted(tmp_path_factory, script, max_bytes, faults):
    directory = str(tmp_path_factory.mktemp("store"))
    disk = WaywardDisk(faults)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "write", disk.write)
        patch.setattr(os, "writev", disk.writev)
        store = LogStore(directory, max_bytes, keep=10_000)
        follower = follow_from(directory, Position(1, 0))
        numbered = iter(range(1 << 30))
        sent = []
        read = b""
        for lines in script:
            batch = [b"%d %s" % (next(numbered), line) for line in lines]
            sent += batch
            store.append(WEB, b"\n".join(batch) + b"\n", WALL)
            read += read_all(follower)
        lost = (store.lost_lines, store.lost_bytes)
        disk.script.clear()
        store.close()
        read += read_all(follower)
        follower.close()
    stored = messages(read)
    assert b"".join(read_segments(directory)) == read
    assert all(parse_line(line).time for line in read.split(b"\n")[:-1])  # nothing torn
    places = [sent.index(line) for line in stored]
    assert all(one < other for one, other in pairwise(places))
    missing = [line for line in sent if line not in stored]
    told = losses(read)
    assert sum(loss[0] for loss in told) == len(missing)
    assert sum(loss[1] for loss in told) == sum(len(line) + 1 for line in missing)
    assert bool(lost[0]) <= bool(told)
