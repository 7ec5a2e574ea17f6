"""Quotas, limits and stop signals of `procman start`, by process type, on real processes."""

import os
import select
import signal
import sys
import time
from pathlib import Path

import pytest

from procman.core.model import DynoName
from procman.supervisor.bounds import Bounds, Confinement, place_of
from procman.supervisor.child import Command
from procman.supervisor.home import Home
from tests.formations import pids as pids_now
from tests.harness import DEADLINE_S
from tests.test_outliving import detach, end, kill, log, supervisor_of
from tests.test_upgrade_local import upgrade

GROUPS = Path("/sys/fs/cgroup")
# Grows when told to; so that what it has is looked at in between.
GROW = """\
import signal
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
kept = []
for size in SIZES:
    kept.append(b"x" * (size << 20))
    print("ready", sum(map(len, kept)) >> 20, flush=True)
    signal.sigwait([signal.SIGUSR1])
"""
R14, R15 = "Error R14 (Memory quota exceeded)", "Error R15 (Memory quota vastly exceeded)"
OURSELVES = (sys.executable, "-m", "procman")
# Whoever may make no control groups has none; root does without when there is nothing to make them in.
UNGROUPED = (
    ("unshare", "-m", "sh", "-c", f'mount -t tmpfs none {GROUPS} && exec "$@"', "sh", *OURSELVES)
    if os.geteuid() == 0
    else OURSELVES
)


def grow(shop, *sizes: int) -> None:
    """A program that holds so many megabytes, and more at each SIGUSR1."""
    (shop.directory / "grow.py").write_text(f"SIZES = {sizes}\n{GROW}")
    shop.procfile("worker: exec python3 grow.py\n")


def pids(shop) -> dict[str, int]:
    """By dyno, once there is a socket to ask at: a line of a dyno's may come before."""
    deadline = time.monotonic() + DEADLINE_S
    while not [*shop.directory.glob(".local/state/procman/apps/*/control.sock")] and time.monotonic() < deadline:
        select.select([], [], [], 0.01)
    return pids_now(shop)


def groups(shop) -> list[Path]:
    """Control groups of its formation that are left: other formations of that name may have some."""
    (path,) = shop.directory.glob(".local/state/procman/apps/*")
    place = place_of(Home(str(path.parent), path.name))
    return [*GROUPS.glob(f"procman/{place}"), *GROUPS.glob(f"*/procman/{place}")]


def limits_of(pid: int) -> dict[str, tuple[str, str]]:
    """Soft and hard limits, by the kernel's names."""
    rows = Path(f"/proc/{pid}/limits").read_text().splitlines()[1:]
    return {row[:25].strip(): (row[26:46].strip(), row[47:67].strip()) for row in rows}


def test_over_its_quota_a_dyno_is_told_and_over_twice_of_it_killed_and_started_again(workshop):
    grow(workshop, 60, 60)
    running = workshop.start("--memory", "worker=40M", program=UNGROUPED)
    running.wait_for("ready 60")
    running.wait_for(r"Process running mem=[67]\dM\(1\d\d\.\d%\)\n.* worker.1 \* Error R14")
    first = pids(workshop)["worker.1"]
    os.kill(first, signal.SIGUSR1)
    running.wait_for("State changed from up to crashed")  # perhaps before it says that it is ready
    running.wait_for("ready 60")
    assert pids(workshop)["worker.1"] != first
    assert running.finish(signal.SIGTERM) == 143
    said = running.system("worker.1")
    at = said.index(R15)
    assert said[at - 1].startswith("Process running mem=1")
    assert said[at + 1 : at + 3] == ["Stopping process with SIGKILL", "Process exited with status 137"]
    assert R14 in said[:at]


def test_where_there_are_control_groups_the_kernel_holds_the_quota_and_none_is_left(workshop):
    grow(workshop, 20, 100)
    running = workshop.start("--memory", "40M", "--limit", "nofile:99", "--name", "grouped")
    running.wait_for("ready 20")
    pid = pids(workshop)["worker.1"]
    assert limits_of(pid)["Max open files"] == ("99", "99")
    assert ("/worker.1." in Path(f"/proc/{pid}/cgroup").read_text()) == bool(groups(workshop))
    os.kill(pid, signal.SIGUSR1)
    running.wait_for("Error R15")
    running.wait_for("ready 20")
    assert running.finish(signal.SIGTERM) == 143
    assert "Process exited with status 137" in running.system("worker.1")
    assert groups(workshop) == []


def test_a_quota_goes_on_when_the_supervisor_is_killed_and_when_it_becomes_another_program(workshop):
    grow(workshop, 20, 100)
    quota = ("--memory", "40M")
    pid = detach(workshop, *quota)
    before = pids(workshop)
    kill(pid)
    detach(workshop, *quota)
    assert upgrade(workshop)["ok"]
    assert pids(workshop) == before
    handle = os.pidfd_open(before["worker.1"])
    os.kill(before["worker.1"], signal.SIGUSR1)
    assert select.select([handle], [], [], DEADLINE_S)[0]
    os.close(handle)
    assert workshop.call("restart", "worker").returncode == 0
    assert R15 in log(workshop)
    kept = pids(workshop)
    kill(supervisor_of(workshop))
    detach(workshop)
    assert pids(workshop) != kept, "without the quota it is another dyno"
    end(workshop)
    assert groups(workshop) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="needs control groups: root may make some")
def test_a_kill_by_hand_is_no_want_of_memory_whatever_was_killed_for_it_elsewhere(workshop):
    grow(workshop, 20, 100)
    running = workshop.start("--memory", "40M", "-m", "worker=2", "--restart", "never")
    running.wait_for_all(r"worker\.1 +\| ready 20", r"worker\.2 +\| ready 20")
    if not groups(workshop):
        pytest.skip("no control groups can be made here")
    first, second = (pids(workshop)[name] for name in ("worker.1", "worker.2"))
    running.signal(signal.SIGSTOP)  # so that both kills are seen at once, the one by hand first
    handles = [os.pidfd_open(pid) for pid in (first, second)]
    os.kill(first, signal.SIGKILL)
    os.kill(second, signal.SIGUSR1)
    for handle in handles:
        assert select.select([handle], [], [], DEADLINE_S)[0]
        os.close(handle)
    running.signal(signal.SIGCONT)
    assert running.finish(None) == 137
    assert "Process was killed by SIGKILL" in running.system("worker.1")
    assert "Process was killed by SIGKILL (out of memory)" in running.system("worker.2")


def test_limits_are_in_force_for_their_type_before_the_program_runs(workshop):
    workshop.procfile(
        "web: exec sh -c 'echo ready $(ulimit -n) $(ulimit -c); exec sleep 1000'\n"
        "worker: sleep 1000 & echo ready $(ulimit -n); wait\n"
    )
    (workshop.directory / ".procman.toml").write_text("[limit.web]\nnofile = 321\ncore = 0\nfsize = '10M'\n")
    running = workshop.start("--no-tty")
    running.wait_for_all("ready 321 0", r"worker.1.* ready")
    before = pids(workshop)
    found, free, own = limits_of(before["web.1"]), limits_of(before["worker.1"]), limits_of(running.pid)
    assert found["Max open files"] == ("321", "321")
    assert found["Max file size"] == ("10485760", "10485760")
    assert free["Max file size"] == own["Max file size"] != found["Max file size"]
    assert found["Max processes"] == own["Max processes"]
    (workshop.directory / ".procman.toml").write_text("[limit.web]\nnofile = 123\n")
    assert workshop.call("reload").returncode == 0
    running.wait_for("ready 123")
    assert pids(workshop)["worker.1"] == before["worker.1"]
    assert running.finish(signal.SIGTERM) == 143
    started = [line for line in running.system("web.1") if line.startswith("Starting process")]
    assert all("prlimit" not in line for line in started)


HEED = """\
import signal
every = [signal.SIGINT, signal.SIGQUIT, signal.SIGTERM]
signal.pthread_sigmask(signal.SIG_BLOCK, every)
print("ready", flush=True)
print("got", signal.sigwait(every).name, flush=True)
"""


def test_a_stop_begins_with_the_signal_of_the_type_however_it_comes_about(workshop):
    (workshop.directory / "heed.py").write_text(HEED)
    workshop.procfile("".join(f"{name}: exec python3 heed.py\n" for name in ("web", "worker", "clock")))
    running = workshop.start("--stop-signal", "web=int,worker=SIGQUIT", "-m", "web=2")
    for _ in range(4):
        running.wait_for(r"\| ready")
    assert workshop.call("restart", "web.1").returncode == 0
    running.wait_for(r"web\.1 +\| ready")
    assert workshop.call("stop", "worker").returncode == 0
    assert workshop.call("scale", "web=1").returncode == 0
    assert running.finish(signal.SIGTERM) == 143
    assert running.lines("web.1") == ["ready", "got SIGINT", "ready", "got SIGINT"]
    assert running.lines("web.2") == ["ready", "got SIGINT"]
    assert running.lines("worker.1") == ["ready", "got SIGQUIT"]
    assert running.lines("clock.1") == ["ready", "got SIGTERM"]
    assert running.system("web.1").count("Stopping all processes with SIGINT") == 2
    assert "Stopping all processes with SIGQUIT" in running.system("worker.1")
    assert "Stopping all processes with SIGTERM" in running.system("clock.1")


def test_who_does_not_heed_its_stop_signal_is_told_of_that_one(workshop):
    workshop.procfile("web: trap '' INT; echo ready; while :; do sleep 1000; done\n")
    (workshop.directory / ".procman.toml").write_text("stop-signal = 2\ntimeout = '100ms'\n")
    running = workshop.start()
    running.wait_for("ready")
    assert running.finish(signal.SIGTERM) == 143
    r12 = "Error R12 (Exit timeout) -> At least one process failed to exit within 0.1 seconds of SIGINT"
    assert r12 in running.system("web.1")


def test_a_dyno_without_bounds_has_nothing_in_front_of_its_shell():
    command = Command("true", {})
    confinement = Confinement("none", lambda dyno: command, lambda dyno: Bounds())
    assert confinement.prepare(DynoName("web", 1), 1) is command


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("--stop-signal web=SIGTREM", "no signal 'SIGTREM': did you mean SIGTERM"),
        ("--stop-signal 99", "no signal '99'"),
        ("--stop-signal wbe=INT", "no process type 'wbe'"),
        ("--memory web=512", "'512' is not a size such as 512M or 1G"),
        ("--memory web=0M", "'0M' is no memory at all"),
        ("--memory wbe=1G", "no process type 'wbe' in Procfile: did you mean 'web'?"),
        ("--limit web=nofiles:10", "no limit 'nofiles': did you mean 'nofile'?"),
        ("--limit nofile", "'nofile' is not NAME:N, such as nofile:1024"),
        ("--limit nofile:1K", "'1K' is not a whole number, or unlimited"),
        ("--limit wbe=core:0", "no process type 'wbe'"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_starts(workshop, words, reason):
    workshop.procfile("web: echo started\n")
    done = workshop.call("start", *words.split())
    assert done.returncode in (1, 2)
    assert reason in done.stderr
    assert done.stdout == ""
