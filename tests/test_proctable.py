"""Processes by their environment: one that has lost it, has none, or is just getting another."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator

from procman.supervisor.inherited import find
from procman.supervisor.proctable import Table, environ_of, environs_in, read_process, snapshot
from tests.harness import DEADLINE_S


def test_a_dyno_that_has_no_token_any_more_is_the_one_that_was_noted(tmp_path):
    """It has written its title over its environment; or is just becoming another program."""
    token = b"PROCMAN_RUN=1-2/worker.1/1\0"
    for env, wanted in ({}, True), ({"PROCMAN_RUN": "1-2/worker.1/1"}, True), ({"PROCMAN_RUN": "3-4/other"}, False):
        with sleeping(env) as pid:
            found = find(pid, read_process(pid).start, token, str(tmp_path / "nothing"))
            assert (found.handle is not None) == wanted
            found.close()


@contextlib.contextmanager
def sleeping(env: dict[str, str]) -> Iterator[int]:
    """A process with this environment, which it has a moment after it was made: that is what this is about."""
    with subprocess.Popen(["/bin/sleep", "1000"], env=env) as process:
        try:
            while env and not environ_of(process.pid):
                os.sched_yield()
            yield process.pid
        finally:
            process.kill()


def test_who_is_born_without_an_environment_is_not_waited_for_and_who_gets_one_is():
    with subprocess.Popen(["/bin/sleep", "1000"], env={}) as bare:
        began = time.monotonic()
        assert environs_in(Table([read_process(bare.pid)]), began + 60) == {bare.pid: b""}
        assert time.monotonic() - began < 30
        bare.kill()
    for number in range(100):  # posix_spawn returns in the very moment in which one has become the other
        pid = os.posix_spawn("/bin/sleep", ["sleep", "1000"], {"NUMBER": str(number)})
        try:
            found = environs_in(Table([read_process(pid)]), time.monotonic() + 60)
        finally:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        assert found == {pid: b"NUMBER=%d\0" % number}


def test_who_is_just_becoming_another_program_is_looked_at_again():
    """Until he has an environment, but not without end."""
    with sleeping({}) as bare, sleeping({"B": "2"}) as other:
        answers = {bare: iter(lambda: b"", None), other: iter([b"", b"", b"A=1\0"])}
        read = lambda pid: next(answers[pid]) if pid in answers else b"B=2\0"  # noqa: E731
        found = environs_in(snapshot(), time.monotonic() + DEADLINE_S, read, {other}.__contains__)
        assert (found[bare], found[other]) == (b"", b"A=1\0")
        assert environs_in(snapshot(), time.monotonic(), lambda pid: b"", {bare}.__contains__)[bare] == b""
