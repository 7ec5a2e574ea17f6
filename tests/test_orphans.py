"""Nothing survives: not a crash, not a stop, not procman's own death."""

import os
import re
import select
import signal
import sys
import time

import pytest

from procman.supervisor.proctable import command_of
from tests.harness import DEADLINE_S
from tests.proc import is_alive

FAMILY = "a: exec python $CHILDREN/family.py\n"
KINDS = {"same-session", "own-session", "daemon", "orphan", "bare-daemon"}


def members(running) -> dict[str, int]:
    """Kind to pid, as the family printed them."""
    running.wait_for("family ready")
    return {kind: int(pid) for kind, pid in re.findall(r"\| ([a-z-]+) (\d+)\n", running.text())}


def test_a_stop_ends_every_kind_of_descendant(workshop):
    workshop.procfile(FAMILY)
    running = workshop.start("-t", "0.2")
    pids = members(running)
    assert set(pids) == KINDS
    assert running.finish(signal.SIGINT) == 130
    assert not [kind for kind, pid in pids.items() if is_alive(pid)]
    assert any(line.startswith("Error R12") for line in running.system("a.1"))


def test_every_process_of_the_dyno_gets_sigterm(workshop):
    polite = "python $CHILDREN/polite.py"
    workshop.procfile(f"a: {polite} child & setsid {polite} far & exec {polite} root\n")
    running = workshop.start("-t", "20")
    for _ in range(3):
        running.wait_for(r"\| (child|far|root) ready\n")
    assert running.finish(signal.SIGTERM) == 143
    assert sorted(line for line in running.lines("a.1") if "-term" in line) == ["child-term", "far-term", "root-term"]
    assert not any("R12" in line for line in running.system("a.1"))


def test_leftovers_of_a_crash_are_gone_before_the_next_life(workshop):
    workshop.procfile("a: exec python $CHILDREN/family.py crash\n")
    running = workshop.start()
    pids = members(running)
    running.wait_for("Starting process with command")
    named = {kind: pid for kind, pid in pids.items() if kind != "bare-daemon"}
    assert not [kind for kind, pid in named.items() if is_alive(pid)]
    running.finish(signal.SIGTERM)
    assert not is_alive(pids["bare-daemon"])


def test_the_lifeline_ends_all_when_procman_is_killed(workshop):
    workshop.procfile(FAMILY)
    running = workshop.start()
    pids = members(running)
    assert running.finish(signal.SIGKILL) == 137
    assert workshop.wait_until_gone() == []
    assert not [kind for kind, pid in pids.items() if is_alive(pid) and kind != "bare-daemon"]
    if is_alive(pids["bare-daemon"]):
        os.kill(pids["bare-daemon"], signal.SIGKILL)  # no parent, no session, no token: only its dyno's stop finds it


def test_a_terminal_that_closes_ends_all(workshop):
    workshop.procfile("a: exec python $CHILDREN/stubborn.py\n")
    running = workshop.start("-t", "0.1", columns=80)
    running.wait_for("ready")
    os.close(running.terminal)
    running.terminal = running.fd = None
    assert running.finish(signal.SIGHUP) in {129, 141}


def lifeline_of(running, dynos: set[int]) -> int:
    children = open(f"/proc/{running.pid}/task/{running.pid}/children").read().split()
    (lifeline,) = {int(pid) for pid in children} - dynos
    deadline = time.monotonic() + DEADLINE_S
    while "lifeline" not in command_of(lifeline):  # until then it has our descriptors
        assert time.monotonic() < deadline
    return lifeline


def test_a_killed_lifeline_is_replaced(workshop):
    workshop.procfile("a: echo ready $$; exec sleep 1000\n")
    running = workshop.start()
    dyno = int(running.wait_for(r"ready (\d+)")[1])
    lifeline = lifeline_of(running, {dyno})
    handle = os.pidfd_open(lifeline)
    os.kill(lifeline, signal.SIGKILL)
    assert select.select([handle], [], [], 20)[0]
    os.kill(dyno, signal.SIGKILL)  # its restart is the sign that procman has heard of both
    dyno = int(running.wait_for(r"ready (\d+)")[1])
    os.close(handle)
    assert lifeline_of(running, {dyno}) != lifeline
    running.finish(signal.SIGKILL)
    assert workshop.wait_until_gone() == []


def test_the_next_start_sweeps_what_a_double_kill_left(workshop):
    workshop.procfile("a: echo ready $$; exec sleep 1000\n")
    running = workshop.start()
    dyno = int(running.wait_for(r"ready (\d+)")[1])
    os.kill(lifeline_of(running, {dyno}), signal.SIGSTOP)
    lifeline = lifeline_of(running, {dyno})
    running.finish(signal.SIGKILL)
    os.kill(lifeline, signal.SIGKILL)
    assert is_alive(dyno)
    second = workshop.start()
    second.wait_for(rf"Ended 1 process that an earlier procman \(pid {running.pid}\) left behind")
    second.wait_for(r"ready (\d+)")
    assert not is_alive(dyno)
    second.finish(signal.SIGTERM)


def test_a_living_neighbour_is_not_swept(workshop, tmp_path):
    workshop.procfile("a: echo ready $$; exec sleep 1000\n")
    first = workshop.start()
    dyno = int(first.wait_for(r"ready (\d+)")[1])
    second = workshop.start("--name", "second")
    second.wait_for("ready")
    assert is_alive(dyno)
    second.finish(signal.SIGTERM)
    first.finish(signal.SIGTERM)


def test_a_grandchild_that_holds_the_output_delays_nothing(workshop):
    workshop.procfile("a: setsid sleep 1000 & echo life; exit 1\n")
    running = workshop.start("--restart", "max=1")
    assert running.finish() == 1
    assert running.lines("a.1") == ["life"] * 2


def test_dynos_inherit_three_descriptors_and_default_signals(workshop):
    (workshop.directory / "look.py").write_text(
        "import os\n"
        "fds = [n for n in os.listdir('/proc/self/fd') if os.path.exists('/proc/self/fd/' + n)]\n"
        "print('fds', sorted(fds), flush=True)\n"
        "print(*(l.strip() for l in open('/proc/self/status') if l.startswith('SigBlk')), flush=True)\n"
    )
    workshop.procfile(f"a: grep -E 'Sig(Blk|Ign)' /proc/self/status; exec {sys.executable} look.py\n")
    reader, writer = os.pipe()
    os.set_inheritable(reader, True)
    try:
        running = workshop.start("--restart", "never")
        assert running.finish() == 0
    finally:
        os.close(reader)
        os.close(writer)
    lines = running.lines("a.1")
    masks = {name: int(value, 16) for name, value in (line.split(":\t") for line in lines if line.startswith("Sig"))}
    assert masks["SigBlk"] == 0
    assert masks["SigIgn"] & 0x7FFF_FFFF == 0  # 32 and 33 are the C library's own and nobody's to reset
    assert "fds ['0', '1', '2']" in lines


@pytest.mark.slow
def test_many_dynos_stop_together(workshop):
    workshop.procfile("a: trap '' TERM; echo ready; while :; do sleep 1000; done\n")
    running = workshop.start("-m", "a=50", "-t", "1")
    for _ in range(50):
        running.wait_for("ready")
    running.signal(signal.SIGTERM)
    assert running.finish() == 143
    assert running.text().count("Process exited with status") == 50
