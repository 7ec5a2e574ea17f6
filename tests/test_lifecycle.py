"""Starts, crashes, restarts and ends of real dynos, by real signals."""

import os
import re
import signal

import pytest

from procman.supervisor.supervisor import is_echo

# Prints, when it is told to stop, a line after the time in which a Ctrl-C would be an echo; and stays.
OUTSTAYING = "trap 'sleep 0.2; echo still here' TERM; echo ready; while :; do sleep 1000 & wait; done"


def test_every_dyno_gets_its_environment(workshop, port):
    workshop.procfile(
        "web: echo web=$PORT $DYNO $PS $PYTHONUNBUFFERED; exec sleep 1000\n"
        "worker: echo worker=$PORT $DYNO $WEB_PORT; exec sleep 1000\n"
    )
    running = workshop.start("-p", str(port), "-m", "web=2")
    for _ in range(3):
        running.wait_for(r"\| (web|worker)=\d")
    running.finish(signal.SIGTERM)
    assert f"web={port} web.1 web.1 1" in running.lines("web.1")
    assert f"web={port + 1} web.2 web.2 1" in running.lines("web.2")
    assert f"worker={port + 100} worker.1 {port}" in running.lines("worker.1")


def test_a_crashed_dyno_is_back_at_once_on_the_same_port(workshop, port):
    workshop.procfile("web: echo life $PORT $$; exec sleep 1000\n")
    running = workshop.start("-p", str(port))
    first = running.wait_for(r"life (\d+) (\d+)")
    os.kill(int(first[2]), signal.SIGKILL)
    second = running.wait_for(r"life (\d+) (\d+)")
    assert (first[1], second[1]) == (str(port).encode(),) * 2
    assert first[2] != second[2]
    assert running.finish(signal.SIGINT) == 130
    said = running.system("web.1")
    assert "Process exited with status 137" in said
    assert "Process was killed by SIGKILL" in said
    assert "State changed from starting to crashed" in said
    assert "State changed from crashed to starting" in said


def test_the_second_crash_waits_and_says_why_and_how_long(workshop):
    workshop.procfile("worker: exit 3\n")
    running = workshop.start()
    found = running.wait_for(r"Next try in 0\.[456] s: exited with status 3, crash 2 in a row")
    assert found
    running.wait_for(r"Next try in [01]\.\d s: exited with status 3, crash 3 in a row")
    assert running.finish(signal.SIGTERM) == 143


def test_exit_0_is_a_crash_too(workshop):
    workshop.procfile("worker: echo life; exit 0\n")
    running = workshop.start()
    running.wait_for("life")
    running.wait_for("State changed from up to crashed")
    running.wait_for("life")
    running.finish(signal.SIGTERM)


@pytest.mark.parametrize(
    ("signum", "status"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGQUIT, 131)],
)
def test_a_signal_stops_everything_gracefully(workshop, signum, status):
    trap = "trap 'echo bye; exit 0' TERM; echo ready; while :; do sleep 1000 & wait; done"
    workshop.procfile(f"a: {trap}\nb: exec sleep 1000\n")
    running = workshop.start()
    running.wait_for(r"a\.1 .*\| ready")
    assert running.finish(signum) == status
    assert running.lines("a.1")[-1] == "bye"
    assert "Process exited with status 0" in running.system("a.1")
    assert "Process exited with status 143" in running.system("b.1")
    closing = running.system("procman")
    assert "stopping a.1 and b.1, up to 10 s" in closing[0]
    assert closing[-1] == f"{signum.name} received; exit status {status}"


def test_what_ignores_sigterm_is_killed_after_the_grace(workshop):
    workshop.procfile("a: exec python $CHILDREN/stubborn.py\n")
    running = workshop.start("-t", "0.2")
    running.wait_for("ready")
    assert running.finish(signal.SIGINT) == 130
    said = running.system("a.1")
    assert "Error R12 (Exit timeout) -> At least one process failed to exit within 0.2 seconds of SIGTERM" in said
    assert "Stopping remaining processes with SIGKILL" in said
    assert "Process exited with status 137" in said


def test_a_second_ctrl_c_kills_at_once(workshop):
    workshop.procfile(f"a: {OUTSTAYING}\n")
    running = workshop.start("-t", "1h")
    running.wait_for("ready")
    running.signal(signal.SIGINT)
    running.wait_for(r"\| still here")  # longer than an echo takes
    assert running.finish(signal.SIGINT) == 130
    assert "Stopping remaining processes with SIGKILL" in running.system("a.1")


def test_a_signal_that_means_nothing_to_it_ends_nothing(workshop):
    workshop.procfile("a: echo ready; exec sleep 1000\n")
    running = workshop.start()
    running.wait_for("ready")
    running.signal(signal.SIGUSR1)
    running.wait_for("SIGUSR1 received, and left at that; to a dyno: procman kill --signal USR1 DYNO\n")
    assert running.finish(signal.SIGTERM) == 143


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGHUP])  # of SIGINT the echo is over in a tenth of a second
def test_the_same_stop_from_several_sides_hurries_nobody(workshop, signum):
    """Whoever stops a chain of processes signals each link, and some pass it on: docker, npm, a shell, procman."""
    workshop.procfile("a: trap 'echo asked; read x < fifo; echo done; exit 0' TERM; echo ready; sleep 1000 & wait\n")
    os.mkfifo(workshop.directory / "fifo")
    running = workshop.start("-t", "1h")
    running.wait_for("ready")
    for _ in range(3):
        running.signal(signum)
    running.wait_for(r"\| asked")
    assert workshop.call("ps").returncode == 0  # all three have been seen
    (workshop.directory / "fifo").write_text("\n")
    assert running.finish() == 128 + signum
    assert running.lines("a.1") == ["ready", "asked", "done"]


@pytest.mark.parametrize(
    ("signum", "seconds", "echo"),
    [
        (signal.SIGINT, 0.05, True),
        (signal.SIGINT, 0.15, False),
        (signal.SIGTERM, 0.9, True),
        (signal.SIGTERM, 1.1, False),
        (signal.SIGHUP, 0.9, True),
        (signal.SIGQUIT, 1.1, False),
    ],
)
def test_only_what_comes_a_moment_later_is_the_same_stop_once_more(signum, seconds, echo):
    assert is_echo(signum, seconds) is echo


def test_whoever_waits_is_told_for_whom(workshop):
    workshop.procfile("a: exec python $CHILDREN/stubborn.py\nb: exec sleep 1000\n")
    running = workshop.start("-t", "b=1", "-t", "a=60")
    running.wait_for("ready")
    running.signal(signal.SIGINT)
    assert running.wait_for(r"Still waiting for a\.1, up to 5\d s; Ctrl-C kills at once")
    running.finish(signal.SIGINT)


def test_stopped_processes_are_continued_to_hear_sigterm(workshop):
    workshop.procfile("a: echo ready $$; exec sleep 1000\n")
    running = workshop.start("-t", "1h")
    pid = int(running.wait_for(r"ready (\d+)")[1])
    os.kill(pid, signal.SIGSTOP)
    assert running.finish(signal.SIGTERM) == 143


@pytest.mark.parametrize(
    ("command", "status"), [("exit 3", 3), ("kill -KILL $$", 137), ("no-such-command-here", 127), ("exit 0", 0)]
)
def test_foreman_policy_ends_all_with_the_first_exit(workshop, command, status):
    workshop.procfile(f"a: exec sleep 1000\nb: {command}\n")
    running = workshop.start("--restart", "foreman")
    assert running.finish() == status
    assert re.fullmatch(rf"b\.1 (exited|killed) .*; exit status {status}", running.system("procman")[-1])
    assert "Process exited with status 143" in running.system("a.1")


def test_exit_with_names_the_type_whose_end_counts(workshop):
    workshop.procfile("a: exit 7\nb: trap 'exit 4' USR1; echo ready; kill -USR1 $$; sleep 1000\nc: exec sleep 1000\n")
    running = workshop.start("--exit-with", "b", "--restart", "a=never")
    assert running.finish() == 4


def test_never_ends_when_all_have_with_the_first_failure(workshop):
    workshop.procfile("a: exit 0\nb: exit 5\n")
    running = workshop.start("--restart", "never")
    assert running.finish() == 5


def test_on_failure_accepts_a_good_end(workshop):
    workshop.procfile("a: exit 0\n")
    running = workshop.start("--restart", "on-failure")
    assert running.finish() == 0
    assert "State changed from up to complete" in running.system("a.1")


def test_max_gives_up_after_so_many_restarts(workshop):
    workshop.procfile("a: echo life; exit 9\n")
    running = workshop.start("--restart", "max=1")
    assert running.finish() == 9
    assert running.lines("a.1") == ["life"] * 2


def test_heroku_policy_waits_ten_minutes_after_the_second_crash(workshop):
    workshop.procfile("a: exit 1\n")
    running = workshop.start("--restart", "heroku")
    running.wait_for("Next try in 10 min: exited with status 1, crash 2 in a row")
    running.finish(signal.SIGTERM)


def test_web_is_up_when_its_port_is_bound_and_not_before(workshop, port):
    os.mkfifo(workshop.directory / "go")
    workshop.procfile("web: exec python $CHILDREN/listen.py\n")
    running = workshop.start("-p", str(port))
    running.wait_for(r"web\.1 .*\| bound")
    assert not any("to up" in line for line in running.system("web.1"))
    (workshop.directory / "go").write_text("go")
    running.wait_for(r"web\.1 .*State changed from starting to up")
    running.finish(signal.SIGTERM)


def test_a_taken_port_names_its_holder_and_starts_nothing(workshop, port):
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        workshop.procfile("web: echo started\n")
        done = workshop.call("start", "-p", str(port))
    assert done.returncode == 1
    assert f"cannot start web.1: port {port} is taken by " in done.stderr
    assert f"(pid {os.getpid()})" in done.stderr
    assert done.stdout == ""


@pytest.mark.slow
def test_a_thousand_kills_are_a_thousand_restarts(workshop):
    workshop.procfile("a: echo life $$; exec sleep 1000\n")
    running = workshop.start("--restart", "always")
    lives = set()

    def footprint() -> tuple[int, int]:
        fds = len(os.listdir(f"/proc/{running.pid}/fd"))
        status = open(f"/proc/{running.pid}/status").read()
        return fds, int(re.search(r"VmRSS:\s+(\d+)", status)[1])

    early = None
    for count in range(1000):
        pid = int(running.wait_for(r"life (\d+)")[1])
        lives.add(pid)
        running.seen, running._read_to = b"", 0
        os.kill(pid, signal.SIGKILL)
        if count == 100:
            early = footprint()
    running.wait_for(r"life (\d+)")
    late = footprint()
    assert len(lives) == 1000
    assert late[0] <= early[0] + 2
    assert late[1] <= early[1] * 1.1 + 512, "kilobytes resident"
    children = open(f"/proc/{running.pid}/task/{running.pid}/children").read().split()
    assert len(children) == 2  # the dyno and the lifeline: no zombie
    running.finish(signal.SIGTERM)




@pytest.mark.slow
def test_dynos_that_end_together_keep_their_own_output(workshop):
    """A descriptor closed at one dyno's end may at once be another's: nothing may be closed by its number."""
    workshop.procfile("a: echo life $$; exec python -c 'import time; print(\"spoke\", flush=True); time.sleep(1000)'\n")
    running = workshop.start("-m", "a=8", "--restart", "always")
    for _ in range(6):
        pids = [int(running.wait_for(r"life (\d+)")[1]) for _ in range(8)]
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
    for _ in range(8):
        running.wait_for("spoke")
    running.finish(signal.SIGTERM)
    exits = [line for line in running.text().splitlines() if "exited with status" in line]
    assert {line.rpartition(" ")[2] for line in exits} == {"137", "143"}
