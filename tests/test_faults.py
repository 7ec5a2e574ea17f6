"""Faults of the host are one dyno's trouble, named and tried again: never a neighbour's, and never the supervisor's."""

import errno
import json
import os
import re
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.formations import SLEEP, begin, rows
from tests.harness import Workshop

GOOD = f"good: {SLEEP}\n"
ALONE = ("unshare", "--mount", "sh", "-c", 'mkdir -p "$DISK" && mount -t tmpfs -o size=256k none "$DISK" && exec "$@"')
OURSELVES = (sys.executable, "-m", "procman")


def program(shop: Workshop, name: str, text: bytes, mode: int = 0o755) -> None:
    path = shop.directory / name
    path.write_bytes(text)
    path.chmod(mode)


BAD = {
    "missing program": ("exec ./missing", 127, os.strerror(errno.ENOENT)),
    "no execute permission": ("exec ./plain", 126, os.strerror(errno.EACCES)),
    "a directory": ("exec ./folder", 126, os.strerror(errno.EISDIR) + "|" + os.strerror(errno.EACCES)),
    "wrong format": ("exec ./format", 126, os.strerror(errno.ENOEXEC)),
    "bad interpreter": ("exec ./interpreter", 127, "bad interpreter|required file not found|not found"),
    "missing directory": ("cd ./nowhere && exec sleep 1000", 1, os.strerror(errno.ENOENT) + "|can't cd"),
    "arguments over the limit": (
        "exec /bin/true $(head -c 3000000 /dev/zero | tr '\\0' x)", 126, os.strerror(errno.E2BIG)
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_what_a_shell_cannot_execute_is_that_dynos_trouble_alone(workshop, case):
    command, status, words = BAD[case]
    program(workshop, "plain", b"text\n", 0o644)
    program(workshop, "format", b"\x7fELF" + bytes(60))
    program(workshop, "interpreter", b"#!/no/such/interpreter\n")
    (workshop.directory / "folder").mkdir()
    running = begin(workshop, f"{GOOD}bad: {command}\n", dynos=1)
    running.wait_for(rf"bad\.1 +\| .*({words})")
    running.wait_for(rf"bad\.1 +\* Process exited with status {status}")
    running.wait_for(rf"bad\.1 +\* Next try in .* exited with status {status}")
    found = rows(workshop)
    assert (found["bad.1"]["status"], found["good.1"]["restarts"]) == (status, 0)
    assert f"exited with status {status}" in workshop.call("ps", "bad.1").stdout
    assert re.search(words, workshop.call("explain", "bad.1").stdout)
    running.wait_for(rf"bad\.1 +\* Process exited with status {status}")  # it was tried again
    assert running.finish(signal.SIGTERM) == 143


@pytest.mark.parametrize("where", ["command", "environment"])
def test_what_cannot_even_be_spawned_is_named_with_its_errno(workshop, where):
    """A string of more than 128 KiB is refused by the kernel."""
    long = "x" * (140 << 10)
    text = f"bad: exec sleep 1000 # {long}\n" if where == "command" else f"bad: LONG={long} exec env\n"
    running = begin(workshop, f"{GOOD}{text}", dynos=1)
    words = rf"cannot start /\S+: {os.strerror(errno.E2BIG)}"
    running.wait_for(rf"bad\.1 +\* Next try in .*{words}")
    running.wait_for(rf"bad\.1 +\* Next try in .*{words}")
    assert re.search(words, workshop.call("ps", "bad.1").stdout)
    assert re.search(rf"bad.1 is crashed: .*{words}", workshop.call("explain", "bad.1").stdout)
    assert rows(workshop)["good.1"]["restarts"] == 0
    assert running.finish(signal.SIGTERM) == 143


def test_without_descriptors_a_dyno_waits_for_some_and_its_neighbours_do_not_notice(workshop):
    running = begin(workshop, f"{GOOD}other: {SLEEP}\n")
    before = rows(workshop)
    used = len(os.listdir(f"/proc/{running.pid}/fd"))
    soft, hard = resource.prlimit(running.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(running.pid, resource.RLIMIT_NOFILE, (used - 2, hard))
    os.kill(before["other.1"]["pid"], signal.SIGKILL)
    running.wait_for(rf"other\.1 +\* Next try in .*cannot start .*: {os.strerror(errno.EMFILE)}")
    resource.prlimit(running.pid, resource.RLIMIT_NOFILE, (soft, hard))
    running.wait_for(r"other\.1 +\| ready")
    assert rows(workshop)["good.1"]["pid"] == before["good.1"]["pid"]
    assert running.finish(signal.SIGTERM) == 143


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody with few processes")
def test_without_pids_a_dyno_waits_for_some_and_its_neighbours_do_not_notice(workshop):
    """As another user, with as many processes as there are: fork fails, and works again later."""
    stranger = 61_000 + os.getpid() % 1_000  # nobody else's processes count
    for place in (workshop.directory, *workshop.directory.parents[:3]):
        place.chmod(0o755)
    os.chown(workshop.directory, stranger, stranger)
    become = ("setpriv", "--reuid", str(stranger), "--regid", str(stranger), "--clear-groups")

    def limit(words: str) -> None:
        subprocess.run([*become, "prlimit", "--pid", str(running.pid), f"--nproc={words}"], check=True)

    running = begin(workshop, f"{GOOD}other: {SLEEP}\n", program=(*become, *OURSELVES))
    before = rows(workshop)
    soft, _ = resource.getrlimit(resource.RLIMIT_NPROC)  # which it has inherited
    limit("1:")
    os.kill(before["other.1"]["pid"], signal.SIGKILL)
    running.wait_for(rf"other\.1 +\* Next try in .*cannot start .*: {os.strerror(errno.EAGAIN)}")
    limit("unlimited:" if soft == resource.RLIM_INFINITY else f"{soft}:")
    running.wait_for(r"other\.1 +\| ready")
    assert rows(workshop)["good.1"]["pid"] == before["good.1"]["pid"]
    assert running.finish(signal.SIGTERM) == 143


@pytest.mark.skipif(
    subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode != 0,
    reason="no mounts of our own",
)
def test_a_full_disk_costs_lines_that_are_counted_and_nothing_else(workshop):
    """The state lies on a tmpfs of 256 KiB, in mounts of the test's own, which grows later."""
    disk = workshop.directory / "disk"
    gate = workshop.directory / "gate"
    os.mkfifo(gate)
    flood = "echo ready; read x < gate; python3 $CHILDREN/write.py count 5000 w; echo flooded; exec sleep 1000"
    state = {"DISK": str(disk), "XDG_STATE_HOME": str(disk)}
    running = begin(workshop, f"{GOOD}flood: {flood}\n", program=(*ALONE, "sh", *OURSELVES), env=state)
    inside = ("nsenter", "--mount", "--target", str(running.pid), "--wd=" + str(workshop.directory))
    gate.write_text("\n")
    running.wait_for(r"flood\.1 +\| flooded")
    asked = subprocess.run(
        [*inside, *OURSELVES, "ps"], env={**workshop.env, **state}, capture_output=True, text=True, check=True
    )
    assert re.search(rf"The log lacks \d+ lines: {os.strerror(errno.ENOSPC)}", asked.stdout + asked.stderr)
    good = int(re.search(r"good\.1 +\| ready (\d+)", running.text())[1])
    os.kill(good, signal.SIGKILL)
    running.wait_for(r"good\.1 +\| ready")
    subprocess.run([*inside, "mount", "-o", "remount,size=8m", str(disk)], check=True)
    good = int(re.findall(r"good\.1 +\| ready (\d+)", running.text())[-1])
    os.kill(good, signal.SIGKILL)
    running.wait_for(r"good\.1 +\| ready")
    shown = subprocess.run(
        [*inside, *OURSELVES, "logs", "-n", "10000"],
        env={**workshop.env, **state}, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    (lost,) = re.findall(rf"(\d+) lines \(\d+ bytes\) of log were lost: {os.strerror(errno.ENOSPC)}", shown)
    assert re.search(r"of log were lost(.|\n)*app\[good.1\]: ready", shown), "and it goes on"
    assert running.finish(signal.SIGTERM) == 143
    assert len(running.lines("flood.1")) == 5_002, "whoever watches has seen them all"
    assert int(lost) + len(re.findall(r"app\[flood.1\]: w \d+ \.+$", shown, re.MULTILINE)) >= 5_000


@pytest.mark.skipif(
    subprocess.run(["unshare", "--pid", "--fork", "true"], capture_output=True, check=False).returncode != 0,
    reason="no pid namespaces",
)
@pytest.mark.parametrize(("signum", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_as_pid_1_it_reaps_orphans_forwards_the_signal_and_ends_right(workshop, signum, status):
    orphans = "for i in 1 2 3 4 5; do (setsid sh -c 'exit 3' &) ; done"
    look = "while grep -lqs '^State:.Z' /proc/[0-9]*/status; do :; done; echo clean"
    polite = "trap 'echo heard; exit 0' TERM; sleep 1000 & echo ready; while :; do wait; done"
    workshop.procfile(f"a: {orphans}; {look}; {polite}\n")
    namespace = ("unshare", "--pid", "--fork", "--mount-proc", "--kill-child", *OURSELVES)
    running = workshop.start(program=namespace)
    running.wait_for(r"a\.1 +\| clean")
    running.wait_for(r"a\.1 +\| ready")
    (first,) = Path(f"/proc/{running.pid}/task/{running.pid}/children").read_text().split()
    assert re.search(r"^NSpid:\s+\d+\s+1$", Path(f"/proc/{first}/status").read_text(), re.MULTILINE)
    os.kill(int(first), signum)
    assert running.finish() == status  # unshare has that of its child
    assert running.lines("a.1") == ["clean", "ready", "heard"]
    assert workshop.wait_until_gone() == []


def test_children_are_born_clean_whatever_their_parents_were_like(workshop):
    """Signals ignored and blocked, descriptors and limits left open: nothing of it reaches a dyno."""
    (workshop.directory / "look.py").write_text(
        "import json, os, re\n"
        "said = dict(re.findall(r'^(Sig(?:Blk|Ign|Cgt)):\\t(\\w+)$', open('/proc/self/status').read(), re.M))\n"
        "fds = {n: os.readlink(f'/proc/self/fd/{n}') for n in os.listdir('/proc/self/fd') if n in '012' or "
        "os.path.exists(f'/proc/self/fd/{n}')}\n"
        "print(json.dumps({**said, 'fds': fds, 'sid': os.getsid(0), 'pid': os.getppid(), 'me': os.getpid()}))\n"
    )
    (workshop.directory / "rude.py").write_text(
        "import os, signal, sys\n"
        "for each in (signal.SIGPIPE, signal.SIGHUP, signal.SIGUSR1, signal.SIGQUIT): signal.signal(each, 1)\n"
        "signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGCHLD, signal.SIGWINCH})\n"
        "[os.set_inheritable(os.open('/dev/zero', os.O_RDONLY), True) for _ in range(9)]\n"
        "os.execv(sys.executable, [sys.executable, '-m', 'procman', *sys.argv[1:]])\n"
    )
    workshop.procfile("a: exec python3 -S look.py\n")
    running = workshop.start("--restart", "never", program=(sys.executable, "rude.py"))
    assert running.finish() == 0
    found = json.loads(running.lines("a.1")[0])
    assert int(found["SigBlk"], 16) == 0
    ignored = int(found["SigIgn"], 16) & 0x7FFF_FFFF
    assert ignored & ~(1 << signal.SIGPIPE - 1 | 1 << signal.SIGXFSZ - 1) == 0, "python itself ignores two"
    fds = found["fds"]
    assert fds["0"] == "/dev/null"
    assert fds["1"] == fds["2"] != "/dev/null"
    assert set(fds) == {"0", "1", "2"}
    assert found["sid"] == found["me"]


def test_a_wall_clock_that_jumps_alters_timestamps_and_nothing_else(workshop):
    """What tells the time of day is moved in the supervisor, forwards and back; monotonic time goes on as it is."""
    clock = workshop.directory / "clock"
    clock.write_text("0")
    (workshop.directory / "jump.py").write_text(
        "import runpy, sys, time\n"
        "real, path = time.time, sys.argv.pop(1)\n"
        "time.time = lambda: real() + float(open(path).read() or 0)\n"
        "runpy.run_module('procman', run_name='__main__', alter_sys=True)\n"
    )
    program = (sys.executable, "jump.py", str(clock))
    running = begin(workshop, f"a: {SLEEP}\nb: {SLEEP}\n", program=program)
    for at, days in enumerate((400, -400, 0)):
        clock.write_text(str(days * 86_400))
        before = rows(workshop)
        assert before["a.1"]["state"] == "up"
        os.kill(before["a.1"]["pid"], signal.SIGKILL)
        running.wait_for(r"a\.1 +\| ready")
        after = rows(workshop)
        assert after["b.1"]["pid"] == before["b.1"]["pid"]
        assert after["a.1"]["restarts"] == at + 1
    years = set(re.findall(r"^(\d{4})-", workshop.call("logs", "-n", "1000").stdout, re.MULTILINE))
    assert len(years) == 3, "it was really moved"
    waits = [float(line) for line in re.findall(r"a\.1 +\* Next try in ([\d.]+) s", running.text())]
    assert len(waits) == 2
    assert max(waits) < 2, "cool-offs are those of a row of crashes within seconds"
    assert running.finish(signal.SIGTERM) == 143
