"""What a killed supervisor had read and not written: wherever the kill came, nothing is written twice or never."""

import os

import pytest

from procman.core.model import DynoName
from procman.logs.formats import Source
from procman.logs.store import LogStore, segment_path
from procman.supervisor.owed import SIZE, Owed, Witness, cut_torn

WEB, OTHER = Source(DynoName("web", 1, 5), "app"), Source(DynoName("web", 2, 5), "app")
CHUNK = b"one\ntwo\nthree\nfo"


@pytest.fixture
def bench(tmp_path):
    return Bench(tmp_path)


class Bench:
    """A log, a FIFO with a chunk in it, and the note about it."""

    def __init__(self, folder):
        self.path = str(folder / "web.1.out")
        os.mkfifo(self.path)
        self.dyno = os.open(self.path, os.O_RDWR)
        self.fd = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK)
        self.directory = str(folder / "log")
        self.store = LogStore(self.directory)
        self.witness = Witness(self.directory, self.store.place, lambda: False)

    def look(self, begun: bytes = b"") -> bytes:
        """As a supervisor does before it writes."""
        os.write(self.dyno, CHUNK)
        owed = self.witness.owed(self.path)
        owed.end(begun)
        chunk = self.witness.look(self.fd)
        owed.begin(chunk, self.store.place())
        owed.close()
        return chunk

    def write(self, begun: bytes = b"") -> None:
        """And then all of it, which is noted, but for the line that it begins."""
        self.look(begun)
        self.store.append(WEB, begun + CHUNK[: -len(b"fo")], 0.0)
        owed = self.witness.owed(self.path)
        owed.written(b"fo")
        owed.close()

    def next_one(self) -> bytes:
        """What the next supervisor has to write: the line that was begun, and what is in the pipe."""
        owed = self.witness.owed(self.path)
        begun = self.witness.settle(owed, self.fd, WEB)
        owed.close()
        return begun + self.in_pipe()

    def in_pipe(self) -> bytes:
        try:
            return os.read(self.fd, 1 << 20)
        except BlockingIOError:
            return b""


def test_looking_takes_nothing_and_taking_takes_so_much(bench):
    assert bench.look() == CHUNK
    assert bench.witness.look(bench.fd) == CHUNK
    bench.witness.take(bench.fd, 8)
    assert bench.in_pipe() == b"three\nfo"
    with pytest.raises(BlockingIOError):
        bench.witness.look(bench.fd)
    os.close(bench.dyno)
    assert bench.witness.look(bench.fd) == b""


def test_killed_before_the_write_all_is_still_to_be_written(bench):
    bench.look(b"ze")
    bench.store.append(OTHER, b"one\n", 0.0)
    assert bench.next_one() == b"ze" + CHUNK


def test_killed_behind_the_write_only_the_begun_line_is_left(bench):
    bench.look(b"ze")
    bench.store.append(WEB, b"zeone\ntwo\nthree\n", 0.0)
    assert bench.next_one() == b"fo"


def test_killed_between_the_write_and_the_taking_it_is_taken(bench):
    bench.write(b"ze")
    assert bench.next_one() == b"fo"


def test_killed_behind_the_taking_nothing_more_is_taken(bench):
    bench.write()
    bench.witness.take(bench.fd, len(CHUNK))
    os.write(bench.dyno, b"ur\nfive\nanything\n")
    assert bench.next_one() == b"four\nfive\nanything\n"


def test_the_next_one_may_be_killed_just_as_well(bench):
    """Between its own taking and all that it does then."""
    bench.look(b"ze")
    bench.store.append(WEB, b"zeone\ntwo\n", 0.0)
    owed = bench.witness.owed(bench.path)
    assert bench.witness.settle(owed, bench.fd, WEB) == b""
    owed.close()
    assert bench.next_one() == b"three\nfo"


def test_killed_within_the_write_the_rest_is_left(bench):
    bench.look()
    bench.store.append(WEB, b"one\ntwo\n", 0.0)
    with open(segment_path(bench.directory, 1), "ab") as file:
        file.write(b"1970-01-01T00:00:00.000000+00:00 app[web.1]: thr")
    cut_torn(bench.directory)
    assert bench.next_one() == b"three\nfo"
    with open(segment_path(bench.directory, 1), "rb") as file:
        assert file.read().endswith(b"app[web.1]: two\n")


def test_lines_of_a_namesake_and_lines_from_before_do_not_count(bench):
    bench.store.append(WEB, b"one\n", 0.0)
    bench.look()
    bench.store.append(WEB, b"something else\n", 0.0)
    bench.store.append(WEB, b"one\n", 0.0)
    bench.store.append(WEB, b"something else\n", 0.0)
    assert bench.next_one() == b"two\nthree\nfo"


def test_what_was_written_may_be_in_the_next_segment(tmp_path):
    bench = Bench(tmp_path)
    bench.store = LogStore(bench.directory, max_bytes=120)
    bench.store.append(OTHER, b"x" * 60 + b"\n", 0.0)
    bench.witness.place = bench.store.place
    bench.look()
    bench.store.append(WEB, b"one\ntwo\nthree\n", 0.0)
    assert len(os.listdir(bench.directory)) > 1
    assert bench.next_one() == b"fo"


def test_a_begun_line_too_long_for_the_note_is_not_kept(tmp_path):
    owed = Owed(str(tmp_path / "note"))
    owed.end(b"x" * SIZE)
    assert owed.read().rest == b""
    owed.end(b"x" * 1000)
    owed.begin(b"chunk", (3, 7))
    assert owed.read()[:4] == (5, (3, 7), b"x" * 1000, False)
    owed.written(b"y" * 10)
    assert owed.read()[:4] == (5, (3, 7), b"y" * 10, True)
    owed.taken()
    assert owed.read()[:4] == (0, (0, 0), b"y" * 10, False)
    owed.close()


@pytest.mark.parametrize("text", [b"", b"whole\n", b"no line at all"])
def test_what_is_not_torn_is_left_as_it_is(tmp_path, text):
    (tmp_path / "log.000001").write_bytes(text)
    cut_torn(str(tmp_path))
    cut_torn(str(tmp_path / "nowhere"))
    assert (tmp_path / "log.000001").read_bytes() == text
