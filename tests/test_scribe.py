"""The scribe: through at once on a healthy disk; on one that stalls, bounded, counted, in order, and back by itself."""

import select
import signal
import threading

import pytest

from procman.core.model import DynoName
from procman.logs.formats import Source
from procman.logs.scribe import NOTE, REST_S, Scribe
from procman.logs.store import LogStore
from tests.fakes import FakeClock

WEB = Source(DynoName("web", 1), "app", "stdout")
WORKER = Source(DynoName("worker", 1), "app", "stdout")
DEADLINE_S = 60.0


class Disk:
    """A keeper whose disk stalls until it is freed."""

    def __init__(self) -> None:
        self.free = threading.Event()
        self.free.set()
        self.entered = threading.Event()
        self.kept: list[object] = []
        self.closed = threading.Event()

    def append(self, source, data, wall):
        self.entered.set()
        assert self.free.wait(DEADLINE_S)
        self.kept.append(data)

    def lose(self, source, lines, size, why):
        self.kept.append((source, lines, size, why))

    def close(self):
        self.closed.set()


def stalled(disk: Disk, limit: int = 1 << 20, clock=None) -> Scribe:
    """A scribe whose first batch is stuck."""
    scribe = Scribe(disk, limit, patience=0.0, clock=(clock or FakeClock()).now)
    disk.free.clear()
    scribe.append(WEB, b"first\n", 0.0)
    scribe.settle()
    assert disk.entered.wait(DEADLINE_S)
    return scribe


def wait_for_news(scribe: Scribe) -> None:
    assert select.select([scribe.fileno()], [], [], DEADLINE_S)[0], "the loop was not told"
    scribe.heed()


def test_what_was_handed_over_is_written_when_the_turn_ends():
    disk = Disk()
    scribe = Scribe(disk, patience=DEADLINE_S)
    for number in range(1000):
        scribe.append(WEB, b"%d\n" % number, 0.0)
        scribe.settle()
        assert disk.kept[-1] == b"%d\n" % number
    assert not scribe.waiting


def test_a_turn_that_reads_more_than_may_wait_loses_nothing_on_a_healthy_disk():
    disk = Disk()
    scribe = Scribe(disk, limit=10 * NOTE, patience=DEADLINE_S)
    for _ in range(100):
        scribe.append(WEB, b"x" * NOTE + b"\n", 0.0)
    scribe.settle()
    assert len(disk.kept) == 100
    assert scribe.losses()[1:] == (0, 0, "")


def test_nobody_waits_for_a_disk_that_stalls_and_all_comes_in_order_when_it_goes_on():
    disk = Disk()
    scribe = stalled(disk)
    for number in range(100):
        scribe.append(WEB, b"%d\n" % number, 0.0)
        scribe.settle()  # returns, though nothing is written
    assert disk.kept == []
    assert scribe.waiting > 100 * NOTE
    disk.free.set()
    wait_for_news(scribe)
    assert disk.kept == [b"first\n", *(b"%d\n" % number for number in range(100))]


def test_what_does_not_fit_is_counted_and_told_of_in_its_place():
    disk = Disk()
    scribe = stalled(disk, limit=4 * NOTE)
    for text in (b"fits\n", b"fits too\n"):
        scribe.append(WEB, text, 0.0)
    scribe.append(WEB, b"x" * NOTE + b"\n", 0.0)
    scribe.append(WORKER, b"small, but behind a gap\n" * 2, 0.0)
    scribe.do(lambda: disk.kept.append("a note that fits"))
    assert scribe.losses()[1:] == (3, NOTE + 1 + 48, "the disk was too slow")
    disk.free.set()
    wait_for_news(scribe)
    scribe.append(WEB, b"after\n", 0.0)
    scribe.close()
    assert disk.closed.wait(DEADLINE_S)
    disk_says = [entry for entry in disk.kept if entry != "a note that fits"]
    assert disk_says == [
        b"first\n",
        b"fits\n",
        b"fits too\n",
        (WEB, 1, NOTE + 1, "the disk was too slow"),
        (WORKER, 2, 48, "the disk was too slow"),
        b"after\n",
    ]
    assert scribe.losses()[1:] == (0, 0, "")


def test_memory_is_bounded_whatever_comes():
    disk = Disk()
    scribe = stalled(disk, limit=100_000)
    for _ in range(10_000):
        scribe.append(WEB, b"y" * 99 + b"\n", 0.0)
        scribe.do(lambda: None)
    assert scribe.waiting <= 100_000
    written = scribe.losses().lines
    disk.free.set()
    wait_for_news(scribe)
    assert written + len(disk.kept) - 1 == 10_000


def test_the_loop_waits_again_only_a_while_after_the_queue_was_empty():
    disk, clock = Disk(), FakeClock()
    scribe = stalled(disk, clock=clock)
    disk.free.set()
    wait_for_news(scribe)
    scribe.append(WEB, b"at once afterwards\n", 0.0)
    scribe.settle()
    wait_for_news(scribe)  # not waited for, so the loop is told
    clock.jump(REST_S + 1)
    disk.entered.clear()
    disk.free.clear()
    scribe.append(WEB, b"trusted again\n", 0.0)
    scribe.settle()  # waits (no time at all, in this test), and finds that it stalls
    assert disk.entered.wait(DEADLINE_S)
    scribe.append(WEB, b"and behind it\n", 0.0)
    disk.free.set()
    wait_for_news(scribe)
    assert disk.kept[-2:] == [b"trusted again\n", b"and behind it\n"]


def test_the_end_does_not_wait_for_ever():
    disk = Disk()
    scribe = stalled(disk)
    scribe.close(patience=0.0)
    assert not disk.closed.is_set()
    disk.free.set()
    assert disk.closed.wait(DEADLINE_S)


def test_without_a_thread_it_is_done_here():
    def refuse(*_):
        raise RuntimeError("can't start new thread")

    disk = Disk()
    scribe = Scribe(disk, start=refuse)
    scribe.append(WEB, b"a line\n", 0.0)
    scribe.settle()
    assert disk.kept == [b"a line\n"]


def test_a_task_does_not_wait_for_somebody_who_settles():
    done = threading.Event()
    Scribe(None).do(done.set)
    assert done.wait(DEADLINE_S)


def test_a_mistake_in_a_task_costs_no_later_line():
    disk = Disk()
    scribe = Scribe(disk, patience=DEADLINE_S)
    scribe.do(lambda: 1 / 0)
    scribe.append(WEB, b"a line\n", 0.0)
    scribe.settle()
    assert disk.kept == [b"a line\n"]


def test_its_thread_takes_no_signals():
    masks = []
    scribe = Scribe(None, patience=DEADLINE_S)
    scribe.do(lambda: masks.append(signal.pthread_sigmask(signal.SIG_BLOCK, [])))
    scribe.settle()
    assert {signal.SIGTERM, signal.SIGCHLD, signal.SIGINT} <= masks[0]


def test_a_gap_is_told_of_by_the_store_in_the_log(tmp_path):
    store = LogStore(str(tmp_path / "log"))
    store.lose(WEB, 3, 42, "the disk was too slow")
    store.append(WEB, b"a line\n", 0.0)
    store.close()
    text = (tmp_path / "log" / "log.000001").read_text()
    assert "heroku[procman]: 3 lines (42 bytes) of log were lost: the disk was too slow\n" in text.splitlines(True)[0]
    assert text.endswith("app[web.1]: a line\n")


def test_the_loop_is_told_once_of_a_batch_that_nobody_waited_for():
    disk = Disk()
    scribe = Scribe(disk, patience=0.0, clock=FakeClock().now, start=lambda work, arguments: None)
    scribe.append(WEB, b"first\n", 0.0)
    scribe.settle()  # the disk stalls
    scribe._empty()
    scribe.append(WEB, b"second\n", 0.0)
    scribe._empty()
    scribe.settle()  # for a while nobody waits
    wait_for_news(scribe)
    scribe.settle()
    assert not select.select([scribe.fileno()], [], [], 0)[0], "a loop that is told whenever it looks never rests"


def test_what_the_loop_lends_is_done_by_the_thread_and_written_when_it_is_back():
    disk, threads = Disk(), []
    scribe = Scribe(disk, patience=DEADLINE_S)

    def work() -> None:
        for number in range(3):
            scribe.append(WEB, b"%d\n" % number, 0.0)
            scribe.settle()
            threads.append((threading.get_ident(), disk.kept[-1]))

    assert scribe.lend(work)
    assert [text for _, text in threads] == [b"0\n", b"1\n", b"2\n"]
    assert threading.get_ident() not in {thread for thread, _ in threads}
    assert not scribe.waiting


def test_what_is_said_after_the_last_settle_of_lent_work_keeps_its_place():
    disk = Disk()
    scribe = Scribe(disk, patience=DEADLINE_S)

    def work() -> None:
        scribe.settle()
        scribe.append(WEB, b"the reader has gone\n", 0.0)

    assert scribe.lend(work)
    assert disk.kept == [b"the reader has gone\n"]
    scribe.append(WEB, b"after that\n", 0.0)
    scribe.settle()
    assert disk.kept == [b"the reader has gone\n", b"after that\n"]


def test_the_loop_takes_back_what_it_lent_when_the_disk_stalls():
    disk, done = Disk(), []
    disk.free.clear()

    def work(number: int) -> None:
        scribe.append(WEB, b"%d\n" % number, 0.0)
        done.append(f"read {number}")
        scribe.settle()
        done.append(f"shown {number}")

    while not done:  # else the thread had not begun, and never will
        scribe = Scribe(disk, patience=0.001, clock=FakeClock().now)
        assert not scribe.lend(lambda: work(1))
    assert done == ["read 1"]
    assert scribe.lend(lambda: work(2)), "the thread hangs: it is done here"
    assert done == ["read 1", "read 2", "shown 2"]
    disk.free.set()
    wait_for_news(scribe)
    assert disk.kept == [b"1\n", b"2\n"]
    assert done == ["read 1", "read 2", "shown 2"], "the thread went on with what was not its own any more"
    assert not scribe.waiting


def test_what_was_lent_and_not_begun_is_not_done_later():
    disk, done = Disk(), []
    scribe = Scribe(disk, patience=0.0, clock=FakeClock().now, start=lambda work, arguments: None)
    assert not scribe.lend(lambda: done.append("too late"))
    scribe._empty()
    assert done == []


def test_a_mistake_in_what_was_lent_is_the_lenders():
    scribe = Scribe(Disk(), patience=DEADLINE_S)
    with pytest.raises(ZeroDivisionError):
        scribe.lend(lambda: 1 / 0)
    assert scribe.lend(lambda: None)
