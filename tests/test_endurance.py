"""What only shows with time: nothing wakes an idle procman, and nothing grows. ``benchmarks.soak`` is the long run."""

import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks.soak import soak
from procman.control.client import Client
from tests.harness import DEADLINE_S
from tests.proc import children, command

LONG_S = 300.0  # what is only to be done after so long wakes nobody meanwhile
# How the kernel calls what a thread may wait in, by number: the place and the unit of the timeout among its arguments,
# or nothing where there is none. A futex's is behind a pointer: without one, it is waited for ever.
CALLS = {
    "x86_64": {0: None, 202: (3, "pointer"), 232: (3, "ms"), 281: (3, "ms")},
    "aarch64": {63: None, 98: (3, "pointer"), 22: (3, "ms")},
}[os.uname().machine]  # read, futex, epoll_wait (not on aarch64), epoll_pwait


def patience(pid: int) -> float:
    """Seconds for which a process will not wake by itself, by the kernel's word; 0 for one that does something now."""
    return min(patience_of(task) for task in Path(f"/proc/{pid}/task").iterdir())


def patience_of(task: Path) -> float:
    """The same of a thread."""
    try:
        number, *arguments = (task / "syscall").read_text().split()
    except OSError:  # it ends
        return 0.0
    if number == "running" or int(number) not in CALLS:
        return 0.0
    timeout = CALLS[int(number)]
    if timeout is None:
        return float("inf")
    place, unit = timeout
    value = int(arguments[place], 16)
    if unit == "pointer":
        return 0.0 if value else float("inf")
    return float("inf") if value & 0xFFFFFFFF == 0xFFFFFFFF else value / 1000


def test_nothing_wakes_an_idle_formation(workshop):
    """A hundred dynos, one that waits for its next try, somebody who follows the log, and an unread half line."""
    workshop.procfile("w: echo ready; exec sleep 1000\nbad: exit 1\npartial: printf half; exec sleep 1000\n")
    running = workshop.start("-m", "w=98", "--restart", "bad=heroku", "--name", "idle")
    running.wait_for_all(*(rf"w\.{number} +\| ready\n" for number in range(1, 99)), r"Next try in 10 min")
    path = str(workshop.directory / ".local/state/procman/apps/idle/control.sock")
    with Client(path) as follower, Client(path) as client:
        follower.socket.sendall(b'{"verb":"follow"}\n')
        assert follower.socket.recv(4096)
        assert len(client.call("ps")["dynos"]) == 100
        (lifeline,) = (pid for pid in children(running.pid) if "lifeline" in command(pid))
        deadline = time.monotonic() + DEADLINE_S
        while min(patience(running.pid), patience(lifeline)) < LONG_S:  # until the last of it has been said
            assert time.monotonic() < deadline, "it never comes to rest"
            for fd in select.select([follower.socket, running.fd], [], [], 0.02)[0]:
                assert os.read(fd if isinstance(fd, int) else fd.fileno(), 4096)
    running.finish(signal.SIGTERM)


def test_the_kernel_is_understood_when_it_tells_for_how_long_one_waits():
    """Of processes that do nothing but wait, in ways that are known."""
    waits = {
        "os.read(0, 1)": float("inf"),
        "selectors.DefaultSelector().select(None)": float("inf"),
        "selectors.EpollSelector().select(777)": 777.0,
        "signal.sigtimedwait([10], 400)": 0.0,  # not one that procman may be in
    }
    for words, seconds in waits.items():
        program = f"import os, selectors, signal; print(flush=True); {words}"
        with subprocess.Popen([sys.executable, "-c", program], stdin=-1, stdout=-1) as process:
            assert process.stdout and process.stdin
            process.stdout.readline()
            deadline = time.monotonic() + DEADLINE_S
            while (found := patience(process.pid)) != seconds and time.monotonic() < deadline:
                select.select([], [], [], 0.01)
            process.kill()
        assert found == seconds, words


@pytest.mark.slow
def test_restarts_and_lines_in_great_number(workshop):
    env = {**workshop.env, "XDG_STATE_HOME": str(workshop.directory / "state")}
    verdict = soak(workshop.directory, env, dynos=6, lives=60, lines=200)
    assert verdict.wrong == []
    assert (verdict.restarts, verdict.lines) == (360, 72_000)
    assert verdict.memory < verdict.warm + 1024
    assert verdict.descriptors <= verdict.held + 2  # a connection that is on its way out may still be there
    assert verdict.descriptors < 2 * 6 + 20


SOON_S = 20.0  # on a machine that is held up itself; a storm that held it up would do so for ever


def test_a_storm_of_deaths_holds_nobody_up(workshop):
    """Dynos that end as fast as they are started: procman still answers, and hears that it shall end."""
    workshop.procfile("w: exit 0\n")
    running = workshop.start("-m", "w=10", "--restart", "always", "--name", "storm", stdout=subprocess.DEVNULL)
    path = workshop.directory / ".local/state/procman/apps/storm/control.sock"
    handle = os.pidfd_open(running.pid)
    while not path.exists():
        assert not select.select([handle], [], [], 0.01)[0]
    restarts = 0
    while restarts < 1000:
        with Client(str(path), SOON_S) as client:
            restarts = sum(row["restarts"] for row in client.call("ps")["dynos"])
    running.signal(signal.SIGTERM)
    assert select.select([handle], [], [], SOON_S)[0]
    os.close(handle)
    assert running.finish() == 143


def test_the_history_of_a_crash_loop_stays_small_and_whole(tmp_path):
    from procman.supervisor.history import LIMIT, History

    path = tmp_path / "history"
    history = History(str(path))
    path.write_bytes(b"\xff torn " + b"x" * (LIMIT - 50))  # what a power cut left
    for run in range(10_000):
        history.add({"dyno": f"w.{run % 2}", "run": run, "words": "exited with status 1", "status": 1})
    assert path.stat().st_size <= LIMIT + 200
    assert path.stat().st_mode & 0o777 == 0o600
    runs = [life["run"] for life in history.lives("w.1")]
    assert runs == list(range(runs[0], 10_000, 2))
    assert len(runs) > 1000
    assert os.listdir(tmp_path) == ["history"]
