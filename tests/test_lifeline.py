"""The lifeline by itself: what it does when it hears no more, and what of it cannot be had."""

import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from procman.supervisor import lifeline
from procman.supervisor.lifeline import WORDS, Lifeline
from procman.supervisor.proctable import command_of, read_process
from tests.harness import DEADLINE_S

TOKEN = f"PROCMAN_TEST_LIFELINE={os.getpid()}/".encode()
NOBODY = 10_000_000  # above all pids there can be


@pytest.fixture
def sessions() -> Iterator[list[subprocess.Popen[bytes]]]:
    """Three processes, each with a session of its own."""
    made = [subprocess.Popen(["sleep", "1000"], start_new_session=True) for _ in range(3)]
    yield made
    for process in made:
        process.kill()
        process.wait()


def begin(line: Lifeline, process: subprocess.Popen[bytes]) -> None:
    """Tell of a session."""
    row = read_process(process.pid)
    assert row
    line.add(row.pid, row.start)


def tell_much(line: Lifeline) -> None:
    """Of sessions of which nothing is left."""
    for pid in range(NOBODY, NOBODY + WORDS):
        line.add(pid, 1)
        line.drop(pid)


def leave(line: Lifeline) -> None:
    """As one that is killed; returns when the lifeline has done what it has to."""
    os.close(line._pipe)
    handle = os.pidfd_open(line.pid)
    assert select.select([handle], [], [], DEADLINE_S)[0]
    os.close(handle)
    os.waitpid(line.pid, 0)


def ends(sessions: list[subprocess.Popen[bytes]]) -> list[int | None]:
    """Tell of two, and that the second has ended, and leave; minus the signal that the first was ended by."""
    line = Lifeline(TOKEN)
    begin(line, sessions[0])
    begin(line, sessions[1])
    line.drop(sessions[1].pid)
    leave(line)
    return [sessions[0].wait(DEADLINE_S), sessions[1].poll(), sessions[2].poll()]


@pytest.fixture(params=["sh", "dash", "bash", "zsh", "busybox"])
def shell(request, monkeypatch):
    """Each of those that /bin/sh can be."""
    path = shutil.which(request.param)
    assert path, f"not installed: {request.param} (`make parts` does it)"
    monkeypatch.setattr(lifeline, "SHELL", path)


def test_it_ends_what_has_not_ended(sessions, shell):
    assert ends(sessions) == [-signal.SIGTERM, None, None]


def test_without_an_interpreter_the_shell_does_it(sessions, shell, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    assert ends(sessions) == [-signal.SIGKILL, None, None]


def test_without_its_package_the_shell_does_it(sessions, shell, monkeypatch, tmp_path):
    monkeypatch.setattr(lifeline, "HERE", str(tmp_path / "lifeline.py"))
    assert ends(sessions) == [-signal.SIGKILL, None, None]


def test_without_a_shell_it_waits_itself(sessions, monkeypatch):
    monkeypatch.setattr(lifeline, "SHELL", "/nowhere/sh")
    assert ends(sessions) == [-signal.SIGTERM, None, None]


@pytest.mark.parametrize("program", ["/bin/sh", "/nowhere/sh"])
def test_it_does_nothing_when_all_is_done(sessions, monkeypatch, program):
    monkeypatch.setattr(lifeline, "SHELL", program)
    line = Lifeline(TOKEN)
    begin(line, sessions[0])
    line.release()
    assert sessions[0].poll() is None


def test_one_that_has_been_told_much_is_replaced_by_one_that_knows_the_same(sessions):
    line = Lifeline(TOKEN)
    begin(line, sessions[0])
    first = line.pid
    tell_much(line)
    assert line.pid != first
    assert read_process(first) is None
    leave(line)
    assert [sessions[0].wait(DEADLINE_S), sessions[1].poll()] == [-signal.SIGTERM, None]


def test_where_there_can_be_no_other_the_worn_one_stays(sessions, monkeypatch):
    def refuse() -> int:
        raise BlockingIOError

    line = Lifeline(TOKEN)
    begin(line, sessions[0])
    first = line.pid
    monkeypatch.setattr(os, "fork", refuse)
    tell_much(line)
    assert line.pid == first
    leave(line)
    assert sessions[0].wait(DEADLINE_S) == -signal.SIGTERM


def test_while_it_waits_it_is_no_interpreter_and_can_be_known_by_its_name():
    line = Lifeline(TOKEN)
    line.start()
    deadline = time.monotonic() + DEADLINE_S
    while not command_of(line.pid).startswith("procman lifeline"):
        assert time.monotonic() < deadline
    assert "python" not in Path(f"/proc/{line.pid}/maps").read_text()
    line.release()


@pytest.mark.parametrize(
    ("name", "value"), [("told", "+1 1"), ("SHELLOPTS", "nounset"), ("SHELLOPTS", "noexec"), ("IFS", "x")]
)
def test_what_the_environment_says_to_shells_it_does_not_hear(sessions, shell, monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    assert ends(sessions) == [-signal.SIGTERM, None, None]


def test_a_shell_that_does_not_wait_is_done_without(sessions, monkeypatch):
    monkeypatch.setattr(lifeline, "SHELL", "/bin/false")
    line = Lifeline(TOKEN)
    begin(line, sessions[0])
    for _ in range(lifeline.SHELL_TRIES):
        assert os.waitpid(line.pid, 0)[1] == 1 << 8
        line.ended()
    leave(line)
    assert sessions[0].wait(DEADLINE_S) == -signal.SIGTERM


def test_one_that_is_stopped_is_replaced_like_any_other(sessions):
    line = Lifeline(TOKEN)
    begin(line, sessions[0])
    first = line.pid
    os.kill(first, signal.SIGSTOP)
    tell_much(line)
    assert line.pid != first
    leave(line)
    assert sessions[0].wait(DEADLINE_S) == -signal.SIGTERM
