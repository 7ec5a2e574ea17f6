"""The holder keeps log pipes open for the next supervisor: from before a dyno is made until all was read."""

import contextlib
import os
import signal
import time
from collections.abc import Iterator

from procman.core.model import DynoName
from procman.supervisor.child import Command
from procman.supervisor.ends import open_fifo
from procman.supervisor.holder import Holder
from procman.supervisor.processes import LocalProcesses
from tests.harness import DEADLINE_S
from tests.test_proctable import sleeping

WORKER = DynoName("worker", 1)


def test_a_pipe_is_held_from_the_moment_it_is_handed_over(tmp_path):
    """Also while the holder does not get to look: here it stands still, and all others who had the pipe have gone."""
    path = str(tmp_path / "a pipe,\nso to speak")
    os.mkfifo(path)
    holder = Holder()
    os.kill(holder.pid, signal.SIGSTOP)
    os.waitpid(holder.pid, os.WUNTRACED)
    holder.hold([path])
    fd = os.open(path, os.O_RDWR)
    os.write(fd, b"words\n")
    os.close(fd)
    os.close(holder.pack()["pipe"])
    assert in_pipe(path) == b"words\n"
    os.kill(holder.pid, signal.SIGCONT)
    kill_and_reap(holder.pid)


def test_a_holder_lets_go_of_what_never_began_and_of_what_ended(tmp_path):
    """Of three pipes it keeps the one whose dyno is there: then it stays, when it is left alone."""
    paths = [str(tmp_path / name) for name in "abc"]
    for path in paths:
        os.mkfifo(path)
    with sleeping({}) as dyno, sleeping({}) as other:
        holder = Holder()
        for path in paths:
            holder.hold([path])
        holder.let_go(paths[:1])
        holder.add(dyno, 0, paths[1:2])
        holder.add(other, 0, paths[2:])
        holder.drop(other)
        holder.let_go(paths[2:])
        wait_until_held(holder.pid, paths[1:2])
        kill_and_reap(holder.pid)
        holder.start()  # it is told all of it again, as after somebody killed it
        wait_until_held(holder.pid, paths[1:2])
        kill_and_reap(holder.pid)


def wait_until_held(pid: int, paths: list[str]) -> None:
    """Nothing tells of what another process has open but a look."""
    folder, deadline = os.path.dirname(paths[0]), time.monotonic() + DEADLINE_S
    while sorted(link for link in links(pid) if link.startswith(folder)) != paths:
        assert time.monotonic() < deadline, list(links(pid))
        os.sched_yield()


def links(pid: int) -> Iterator[str]:
    for fd in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(FileNotFoundError):
            yield os.readlink(f"/proc/{pid}/fd/{fd}")


def in_pipe(path: str) -> bytes:
    fd = open_fifo(path)
    try:
        return os.read(fd, 4096)
    except BlockingIOError:
        return b""
    finally:
        os.close(fd)


def kill_and_reap(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def test_what_an_empty_dyno_wrote_stays_in_its_pipe_until_it_was_read(tmp_path):
    """In a fork, which becomes the parent of whoever has none."""
    pid = os.fork()
    if not pid:
        status = 1
        try:
            processes = LocalProcesses(lambda dyno: Command("echo words", {}), "PROCMAN_RUN=1-2", pipes=str(tmp_path))
            child = processes.spawn(WORKER, 1)
            os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
            assert [each for each, _ in processes.ended()] == [child]
            assert processes.emptied([child]) == [child]
            os.close(child.outputs[0][0])
            assert in_pipe(child.pipes[0]) == b"words\n", "its holder has it still"
            processes.clear(child)
            assert os.listdir(tmp_path) == []
            processes.release()
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(pid, 0)[1] == 0
