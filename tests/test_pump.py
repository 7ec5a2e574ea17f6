"""The pump: the reader before the disk, and turns lent only in a flood."""

import os

import pytest

from procman.core.model import DynoName
from procman.logs.formats import TextFormat
from procman.logs.output import Output
from procman.logs.sink import Sink, widen_pipe
from procman.supervisor.loop import Loop
from procman.supervisor.pump import BATCH, Pump

LINE = b"a line of the flood\n"


class Store:
    """Notes what the reader had when the lines had to be stored, and what was lent."""

    def __init__(self, reader: int) -> None:
        self.reader = reader
        self.lines: list[bytes] = []
        self.shown: list[bytes] = []
        self.lent = 0

    def append(self, source, data, wall):
        self.lines.append(data)

    def settle(self):
        try:
            self.shown.append(os.read(self.reader, 1 << 20))
        except BlockingIOError:
            self.shown.append(b"")

    def lend(self, work):
        self.lent += 1
        work()
        return True


def wide_pipe() -> tuple[int, int]:
    """One that holds a flood."""
    reader, writer = os.pipe()
    widen_pipe(writer, 4 * BATCH)
    return reader, writer


class Rig:
    """One dyno's pipe, pumped."""

    def __init__(self) -> None:
        self.loop = Loop()
        reader, self.out = wide_pipe()
        os.set_blocking(reader, False)
        self.store = Store(reader)
        self.sink = Sink(self.out)
        output = Output(TextFormat(5, timestamps=False), self.sink, store=self.store)
        self.pump = Pump(self.loop, output, lambda: None)
        self.fd, self.dyno = wide_pipe()
        os.set_blocking(self.fd, False)
        self.streams = self.pump.add(DynoName("web", 1), [(self.fd, "stdout")])

    def write(self, data: bytes) -> None:
        """The dyno writes; the loop turns once."""
        assert os.write(self.dyno, data) == len(data)
        self.loop.turn()

    def close(self) -> None:
        """Give all back."""
        os.close(self.dyno)
        self.pump.drain(self.streams, lambda: None)
        self.pump._inputs.close()
        self.loop.close()
        self.sink.close()
        for fd in (self.sink.hangup_fd, self.store.reader, self.out):
            if fd is not None:
                os.close(fd)


@pytest.fixture
def rig():
    before = {*os.listdir("/proc/self/fd")}
    made = Rig()
    yield made
    made.close()
    assert {*os.listdir("/proc/self/fd")} <= before


def test_a_line_is_shown_before_it_is_stored(rig):
    rig.write(b"first\n")
    assert rig.store.lines == [b"first\n"]
    assert rig.store.shown == [b"web.1 | first\n"]


def test_only_a_flood_is_lent(rig):
    for _ in range(3):
        rig.write(b"a line\n")
    assert rig.store.lent == 0
    flood = LINE * (BATCH // len(LINE))
    rig.write(flood + LINE)  # that it is one, is seen when it has come
    assert rig.store.lent == 0
    rig.write(LINE)
    assert rig.store.lent == 1
    rig.write(LINE)
    assert rig.store.lent == 1
    assert b"".join(rig.store.lines).count(LINE) == flood.count(LINE) + 3


def test_a_glance_shows_and_stores_nothing_yet(rig):
    assert os.write(rig.dyno, b"early\n")
    rig.pump.glance()
    assert os.read(rig.store.reader, 100) == b"web.1 | early\n"
    assert (rig.store.lines, rig.store.shown) == ([b"early\n"], [])
