"""One contract for what the supervisor takes for processes: the fake ones and the kernel's keep it alike.

Each clause of the contract runs on both. The real processes are made by a fork of the test process, as they need a
subreaper that owns every child and every SIGCHLD; it waits for news from the kernel, never for time to pass.
"""

import errno
import os
import select
import signal
import traceback
from collections.abc import Callable
from typing import NamedTuple

import pytest

from procman.core.model import DynoName, Exit
from procman.supervisor.child import Child, Command
from procman.supervisor.processes import LocalProcesses, Processes
from procman.supervisor.proctable import Process, own_children, read_process, snapshot
from procman.supervisor.reaping import become_subreaper
from tests.fakes import FakeClock, FakeProcesses, Script

DEADLINE_S = 60.0  # for a broken test; a good one hears of everything at once
SIGTERM, SIGKILL = Exit(143, "SIGTERM"), Exit(137, "SIGKILL")


class Program(NamedTuple):
    """The same behaviour as a shell command and as a script of the fake."""

    command: str
    script: Script


PROGRAMS = {
    "talker": Program("echo hello; echo there >&2", Script(prints=b"hello\nthere\n", ends=Exit(0))),
    "failure": Program("exit 3", Script(ends=Exit(3))),
    "suicide": Program("kill -USR1 $$", Script(ends=Exit(138, "SIGUSR1"))),
    "waiter": Program("echo ready; exec sleep 1000", Script(prints=b"ready\n")),
    "ignorer": Program(
        "trap '' TERM; echo ready; while :; do sleep 1000; done", Script(prints=b"ready\n", on_term=None)
    ),
    "parent": Program(
        "trap '' TERM; sleep 1000 & trap - TERM; echo ready; exec sleep 1000",
        Script(prints=b"ready\n", offspring=(False,)),
    ),
    "deserter": Program(
        "trap '' TERM; (setsid sleep 1000 &); echo ready; exit 0",
        Script(prints=b"ready\n", ends=Exit(0), offspring=(False,)),
    ),
    "mild deserter": Program(
        "(setsid sleep 1000 &); echo ready; exit 0", Script(prints=b"ready\n", ends=Exit(0), offspring=(True,))
    ),
    "unstartable": Program(
        "true", Script(fails=FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), "/no/such/shell"))
    ),
}


class Bench:
    """Where a clause is tried: starts programs, hears of their ends, and waits for what must come."""

    processes: Processes

    def __init__(self) -> None:
        self.ends: dict[Child, Exit] = {}

    def wait(self) -> None:
        """Until there may be news."""
        raise NotImplementedError

    def start(self, program: str, run: int = 1) -> Child:
        return self.processes.spawn(DynoName(program, 1), run)

    def started(self, *programs: str) -> list[Child]:
        """Started, and each far enough to have said so."""
        children = [self.start(program) for program in programs]
        for child in children:
            self.read(child, b"ready\n")
        return children

    def read(self, child: Child, expected: bytes) -> None:
        (fd, _), *_ = child.outputs
        seen = b""
        while len(seen) < len(expected):
            assert select.select([fd], [], [], DEADLINE_S)[0], f"only {seen!r} came"
            seen += os.read(fd, 4096)
        assert seen == expected

    def end_of(self, child: Child) -> Exit:
        """How its root ended, as soon as it has."""
        self.hear()
        while child not in self.ends:
            self.wait()
            self.hear()
        return self.ends[child]

    def hear(self) -> None:
        for child, how in self.processes.ended():
            assert not child.ended, "its number is still its own while its end is handled"
            assert child not in self.ends, "an end is told once"
            self.ends[child] = how

    def wait_until_empty(self, child: Child) -> None:
        self.end_of(child)
        while child not in self.processes.emptied([child]):
            self.wait()
            self.hear()


class FakeBench(Bench):
    def __init__(self) -> None:
        super().__init__()
        self.clock = FakeClock()
        scripts = {DynoName(name, 1): program.script for name, program in PROGRAMS.items()}
        self.processes = self.fake = FakeProcesses(self.clock, scripts)

    def wait(self) -> None:
        assert self.fake.next_news() < float("inf"), "waits for ever"
        self.clock.jump(self.fake.next_news())


class LocalBench(Bench):
    def __init__(self) -> None:
        super().__init__()
        self.token = f"PROCMAN_CONTRACT={os.getpid()}"
        assert become_subreaper()  # from the start: an orphan of the first dyno that is too quick ends unheard, else
        self.news, writer = os.pipe()
        os.set_blocking(writer, False)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda signum, frame: None)
        self.processes = LocalProcesses(self.command, self.token)

    def command(self, dyno: DynoName) -> Command:
        shell = "/no/such/shell" if dyno.process_type == "unstartable" else "/bin/sh"
        return Command(PROGRAMS[dyno.process_type].command, {"PATH": os.environ["PATH"]}, shell)

    def wait(self) -> None:
        assert select.select([self.news], [], [], DEADLINE_S)[0], "no news"
        os.read(self.news, 4096)

    def left(self) -> list[Process]:
        """Whoever is alive and ours. (Zombies go with the test's fork.)"""
        children, token = own_children() or [], self.token.encode()
        table = snapshot()
        rows = table.rows.values()
        return [row for row in rows if row.alive and (row.pid in children or table.bears_token(row.pid, token))]


def try_locally(clause: Callable[[Bench], None]) -> None:
    """In a fork, which says what went wrong. Nothing may be left after the release."""
    reader, writer = os.pipe()
    pid = os.fork()
    if not pid:
        status = 1
        try:
            bench = LocalBench()
            try:
                clause(bench)
            finally:
                bench.processes.release()
            assert not bench.left()
            status = 0
        except BaseException:  # whatever it is, the parent is told
            os.write(writer, traceback.format_exc().encode())
        finally:
            os._exit(status)
    os.close(writer)
    with open(reader, "rb") as told:
        trouble = told.read().decode()
    assert os.waitpid(pid, 0)[1] == 0, trouble


# -- the contract --


def output_is_delivered(bench: Bench) -> None:
    child = bench.start("talker")
    bench.read(child, b"hello\nthere\n")
    assert bench.end_of(child) == Exit(0)


def output_outlives_its_writer(bench: Bench) -> None:
    child = bench.start("talker")
    bench.wait_until_empty(child)
    bench.read(child, b"hello\nthere\n")


def the_status_is_the_roots(bench: Bench) -> None:
    assert bench.end_of(bench.start("failure")) == Exit(3)


def a_signal_is_told_by_name_and_as_128_and_more(bench: Bench) -> None:
    assert bench.end_of(bench.start("suicide")) == Exit(138, "SIGUSR1")


def sigterm_is_honoured(bench: Bench) -> None:
    (child,) = bench.started("waiter")
    bench.processes.terminate([child])
    assert bench.end_of(child) == SIGTERM


def sigterm_may_be_ignored_but_not_sigkill(bench: Bench) -> None:
    (child,) = bench.started("ignorer")
    bench.processes.terminate([child])
    bench.processes.kill([child])
    assert bench.end_of(child) == SIGKILL
    bench.wait_until_empty(child)


def signals_go_to_those_named_only(bench: Bench) -> None:
    one, two, three = bench.started("waiter", "waiter", "waiter")
    bench.processes.terminate([one, three])
    assert [bench.end_of(one), bench.end_of(three)] == [SIGTERM, SIGTERM]
    bench.hear()
    assert two not in bench.ends
    bench.processes.kill([two])
    assert bench.end_of(two) == SIGKILL


def what_runs_is_not_empty(bench: Bench) -> None:
    (child,) = bench.started("waiter")
    assert bench.processes.emptied([child]) == []
    assert not child.ended


def an_end_is_told_once(bench: Bench) -> None:
    child = bench.start("failure")
    bench.end_of(child)
    assert child.ended
    assert list(bench.processes.ended()) == []


def a_dyno_is_empty_when_its_stubborn_child_is_gone(bench: Bench) -> None:
    (child,) = bench.started("parent")
    bench.processes.terminate([child])
    assert bench.end_of(child) == SIGTERM
    assert bench.processes.emptied([child]) == []
    bench.processes.kill([child])
    bench.wait_until_empty(child)


def a_dyno_is_empty_when_one_that_left_its_session_is_gone(bench: Bench) -> None:
    (child,) = bench.started("deserter")
    assert bench.end_of(child) == Exit(0)
    bench.processes.terminate([child])
    assert bench.processes.emptied([child]) == []
    bench.processes.kill([child])
    bench.wait_until_empty(child)


def sigterm_reaches_one_that_left_its_session(bench: Bench) -> None:
    (child,) = bench.started("mild deserter")
    bench.end_of(child)
    assert bench.processes.emptied([child]) == []
    bench.processes.terminate([child])
    bench.wait_until_empty(child)


def only_the_empty_are_emptied(bench: Bench) -> None:
    full, running = bench.started("parent", "waiter")
    done = bench.start("failure")
    bench.end_of(done)
    assert bench.processes.emptied([full, done, running]) == [done]


def what_cannot_start_is_an_os_error(bench: Bench) -> None:
    before = os.listdir("/dev/fd")
    with pytest.raises(FileNotFoundError) as refusal:
        bench.start("unstartable")
    assert refusal.value.strerror == os.strerror(errno.ENOENT)
    assert os.listdir("/dev/fd") == before
    assert list(bench.processes.ended()) == []


def each_life_bears_its_name_and_run(bench: Bench) -> None:
    first, second = bench.start("waiter", run=1), bench.start("waiter", run=2)
    assert [(str(child.dyno), child.run) for child in (first, second)] == [("waiter.1", 1), ("waiter.1", 2)]
    assert first.pid != second.pid


def the_dead_may_be_signalled_without_harm(bench: Bench) -> None:
    child = bench.start("failure")
    bench.wait_until_empty(child)
    bench.processes.terminate([child])
    bench.processes.kill([child])
    assert list(bench.processes.ended()) == []


def a_release_ends_all(bench: Bench) -> None:
    bench.started("waiter", "ignorer", "parent", "deserter")  # try_locally looks for what is left


CONTRACT = [
    output_is_delivered,
    output_outlives_its_writer,
    the_status_is_the_roots,
    a_signal_is_told_by_name_and_as_128_and_more,
    sigterm_is_honoured,
    sigterm_may_be_ignored_but_not_sigkill,
    signals_go_to_those_named_only,
    what_runs_is_not_empty,
    an_end_is_told_once,
    a_dyno_is_empty_when_its_stubborn_child_is_gone,
    a_dyno_is_empty_when_one_that_left_its_session_is_gone,
    sigterm_reaches_one_that_left_its_session,
    only_the_empty_are_emptied,
    what_cannot_start_is_an_os_error,
    each_life_bears_its_name_and_run,
    the_dead_may_be_signalled_without_harm,
    a_release_ends_all,
]


@pytest.mark.parametrize("clause", CONTRACT, ids=lambda clause: clause.__name__)
def test_fake_processes(clause):
    bench = FakeBench()
    clause(bench)
    bench.processes.release()


@pytest.mark.parametrize("clause", CONTRACT, ids=lambda clause: clause.__name__)
def test_local_processes(clause):
    try_locally(clause)


# -- what only real processes can show --


def test_each_dyno_leads_a_session_and_news_need_no_polling():
    def clause(bench):
        (child,) = bench.started("waiter")
        assert read_process(child.pid).session == child.pid
        assert bench.processes.recheck_s() == float("inf")

    try_locally(clause)
