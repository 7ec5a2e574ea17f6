"""The log store: every line whole, once and in order, whatever the disk and other people do to its files."""

import ctypes
import errno
import os
import re
import resource
import shutil
import stat
import subprocess
import traceback
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from procman.core.model import DynoName
from procman.logs.formats import Source
from procman.logs.store import LogStore, Position, segment_path, segments
from procman.logs.tail import follow_from, last, parse_line

WEB = Source(DynoName("web", 1), "app")
WORKER = Source(DynoName("worker", 2), "app", "stderr")
KEEPER = Source(DynoName("web", 1), "heroku", "system")
WALL = 1714557600.5
PREFIX = b"2024-05-01T10:00:00.500000+00:00 app[web.1]: "
ALL = 1 << 30  # more lines than any test writes
LOST = re.compile(rb"(\d+) lines? \((\d+) bytes\) of log were lost: (.+)")

lines_of_bytes = st.binary(max_size=12).map(lambda text: text.replace(b"\n", b"\r"))
batches = st.lists(st.lists(lines_of_bytes, min_size=1, max_size=6))


def read_segments(directory) -> list[bytes]:
    """The bytes of each segment, oldest first."""
    contents = []
    for number in segments(str(directory)):
        with open(segment_path(str(directory), number), "rb") as file:
            contents.append(file.read())
    return contents


def read_all(follower) -> bytes:
    """All there is for now."""
    return b"".join(iter(follower.read, b""))


def messages(text: bytes) -> list[bytes]:
    """What web.1 said, of whole stored lines."""
    parsed = [parse_line(line) for line in text.split(b"\n")[:-1]]
    return [line.message for line in parsed if (line.source, line.ps) == ("app", "web.1")]


def losses(text: bytes) -> list[tuple[int, int, bytes]]:
    """Lines, bytes and reason of each gap that the log tells of."""
    parsed = [parse_line(line) for line in text.split(b"\n")[:-1]]
    said = [LOST.fullmatch(line.message) for line in parsed if (line.source, line.ps) == ("heroku", "procman")]
    return [(int(found[1]), int(found[2]), found[3]) for found in said if found]


def in_a_child(body: Callable[[], None]) -> None:
    """Run what changes limits or mounts of its process in a fork, and pass on how it failed."""
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            body()
        except BaseException:  # noqa: BLE001, RUF100 - all of it belongs to the parent
            os.write(writing, traceback.format_exc().encode()[-4000:])
        finally:
            os._exit(0)
    os.close(writing)
    with open(reading, "rb") as pipe:
        failure = pipe.read().decode()
    os.waitpid(pid, 0)
    if failure.rstrip().endswith("_NoMountError"):
        pytest.skip("may not mount a file system")
    assert not failure, failure


class _NoMountError(Exception):
    pass


def mount_small_disk(path: str, size: str) -> None:
    """A tmpfs that only this process and its children see."""
    new_mounts, new_user = 0x00020000, 0x10000000
    libc = ctypes.CDLL(None)
    if libc.unshare(new_mounts) and libc.unshare(new_mounts | new_user):
        raise _NoMountError
    # What is mounted here shall not spread to where it came from.
    for command in (["mount", "--make-rprivate", "/"], ["mount", "-t", "tmpfs", "-o", f"size={size}", "none", path]):
        if subprocess.run(command, capture_output=True, check=False).returncode:
            raise _NoMountError


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
    assert messages(read_all(follow_from(directory, Position(1, 0)))) == [b"before", long, b"after"]


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
        assert messages(read_all(follow_from(directory, before))) == lines
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
        truncate(segment_path(directory, 1))
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
