"""Which processes are a dyno's when the number of its root may be another's."""

import os
import subprocess
from pathlib import Path

import pytest

from procman.core.model import DynoName
from procman.supervisor import proctable
from procman.supervisor.belonging import has_lost_number, is_marked, writes_to
from procman.supervisor.child import Child
from procman.supervisor.inherited import Inherited
from procman.supervisor.proctable import Process, Table

ROOT, START = 100, 7
ITS_OWN = Process(ROOT, 1, ROOT, ROOT, START, "S")
ANOTHERS = Process(ROOT, 1, ROOT, ROOT, START + 9, "S")
LEFT_IN_ITS_SESSION = Process(101, 1, ROOT, ROOT, START + 1, "S")
LEFT_AS_A_ZOMBIE = LEFT_IN_ITS_SESSION._replace(state="Z")
ELSEWHERE = Process(102, 1, 102, 102, START + 1, "S")


def child(ended: bool = False, inherited: bool = False) -> Child:
    made = Child(DynoName("web", 1), 1, ROOT, [])
    made.start, made.ended = START, ended
    made.inherited = Inherited(ROOT, None, None) if inherited else None
    return made


@pytest.mark.parametrize(
    ("ended", "inherited", "rows", "lost"),
    [
        (False, False, [ITS_OWN], False),
        (True, False, [LEFT_IN_ITS_SESSION], False),
        (True, False, [LEFT_AS_A_ZOMBIE], False),
        (True, False, [ELSEWHERE], True),
        (True, False, [ANOTHERS], True),
        (False, True, [ITS_OWN], False),
        (False, True, [ANOTHERS], True),
        (False, True, [LEFT_IN_ITS_SESSION], True),  # or has come into another's
    ],
)
def test_a_number_is_lost_once_it_may_be_anybodys(ended, inherited, rows, lost):
    each = child(ended, inherited)
    assert has_lost_number(each, Table(rows), {ROOT: each}) is lost


def test_a_number_that_was_lost_stays_so():
    each = child(ended=True)
    tables = [[LEFT_IN_ITS_SESSION], [], [LEFT_IN_ITS_SESSION]]
    assert [has_lost_number(each, Table(rows), {ROOT: each}) for rows in tables] == [False, True, True]


def test_a_number_that_a_later_dyno_has_is_lost():
    each, later = child(ended=True), child()
    assert has_lost_number(each, Table([LEFT_IN_ITS_SESSION]), {ROOT: later})


def test_a_process_is_known_by_the_log_pipe_that_it_writes_to(tmp_path: Path):
    pipe, other = tmp_path / "web.1.1.out", tmp_path / "web.2.1.out"
    os.mkfifo(pipe)
    end = os.open(pipe, os.O_RDWR)
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=end) as process:
        os.close(end)
        assert writes_to(process.pid, [str(other), str(pipe)])
        assert not writes_to(process.pid, [str(other)])
    assert not writes_to(process.pid, [str(pipe)]), "it has gone"


def test_who_was_known_by_his_marks_is_still_known_on_his_way_out():
    """When a process ends, the kernel takes its environment and its descriptors first."""
    each, nobody = child(), ELSEWHERE._replace(pid=2**22 + 1)  # a number that no process has: it shows nothing
    each.token = b"PROCMAN_RUN=1-1/web.1/1\0"
    assert not is_marked(Table([nobody]), nobody.pid, each)
    each.strays = frozenset({(nobody.pid, nobody.start)})
    assert is_marked(Table([nobody]), nobody.pid, each)
    another = nobody._replace(start=nobody.start + 1)
    assert not is_marked(Table([another]), another.pid, each), "its number is another's by now"


def test_a_token_is_found_in_an_environment_that_is_read_once(monkeypatch):
    reads = []

    def environ_of(pid: int) -> bytes:
        reads.append(pid)
        return b"HOME=/\0PROCMAN_RUN=1-1/web.1/12\0PORT=5000\0"

    monkeypatch.setattr(proctable, "environ_of", environ_of)
    table = Table([ELSEWHERE])
    found = [run for run in (1, 2, 12) if table.bears_token(ELSEWHERE.pid, b"PROCMAN_RUN=1-1/web.1/%d\0" % run)]
    assert found == [12]
    assert reads == [ELSEWHERE.pid]
