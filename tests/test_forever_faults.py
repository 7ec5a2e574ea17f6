"""Each of forever's faults, by its number in docs/forever.md, put right."""

import os
import re
import shutil
import signal
import sys
from pathlib import Path

import pytest

from tests.forever import STEADY, gone, node, script
from tests.proc import is_alive

OBEYING = """
import os, signal
def obey(signum, _):
    os.write(1, f"got {signal.Signals(signum).name[3:]}\\n".encode())
    os._exit(0)
for told in (signal.SIGTERM, signal.SIGINT):
    signal.signal(told, obey)
os.write(1, b"up\\n")
signal.pause()
"""


def test_1_short_lives_are_not_the_end(forever, workshop):
    script(workshop, "echo x >> lives; [ $(wc -l < lives) -ge 4 ] || { echo short; exit 1; }; " + STEADY)
    running = forever.run("./app.sh", "--spinSleepTime")  # behind the script, flags are the script's
    running.wait_for("^up ")
    assert running.text().count("short") == 3
    assert running.finish(signal.SIGTERM) == 143
    errors = running.errors()
    assert "Next try in" in errors
    assert "app.sh --spinSleepTime" in errors


def test_1_the_exit_comes_when_it_was_told_to_give_up(forever, workshop):
    script(workshop, "echo life; exit 7\n")
    running = forever.run("-m", "3", "--minUptime", "0", "app.sh")
    assert running.finish() == 7
    assert running.text() == "life\n" * 3
    assert "Not restarted (policy -m 3): exited with status 7" in running.errors()


def test_1_the_last_status_counts(forever, workshop):
    script(workshop, "echo x >> lives; [ $(wc -l < lives) -eq 2 ]\n")
    running = forever.run("-m2", "app.sh")
    assert running.finish() == 0


@pytest.mark.parametrize(("signum", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 129)])
def test_2_signals_stop_the_program_gracefully(forever, workshop, signum, status):
    script(workshop, "trap 'echo asked; exit 0' TERM; sleep 1000 & echo up; while :; do wait; done\n")
    running = forever.run("app.sh")
    running.wait_for("^up$")
    assert running.finish(signum) == status
    assert running.text() == "up\nasked\n"


def test_2_what_does_not_listen_is_killed_after_the_grace(forever, workshop):
    script(workshop, "trap 'echo no' TERM; echo up; while :; do sleep 1000 & wait; done\n")
    running = forever.run("--killTTL", "200", "app.sh")
    running.wait_for("^up$")
    assert running.finish(signal.SIGTERM) == 143
    assert "no" in running.text()
    assert "Error R12 (Exit timeout)" in running.errors()


def test_2_the_same_signal_from_several_sides_hurries_nobody(forever, workshop):
    """Whoever stops a chain of processes signals each of them, and some pass it on."""
    asked = "trap 'echo asked; read x < fifo; echo done; exit 0' TERM"
    script(workshop, f"{asked}; echo up; while :; do sleep 1000 & wait; done\n")
    os.mkfifo(workshop.directory / "fifo")
    running = forever.run("app.sh")
    running.wait_for("^up$")
    running.signal(signal.SIGTERM)
    running.wait_for("^asked$")
    running.signal(signal.SIGTERM)
    assert forever("list").returncode == 0  # it has seen the second one
    (workshop.directory / "fifo").write_text("\n")
    assert running.finish() == 143
    assert running.text() == "up\nasked\ndone\n"


def test_2_other_signals_are_the_programs(forever, workshop):
    script(workshop, "trap 'echo hello' USR2; echo up; while :; do sleep 1000 & wait; done\n")
    running = forever.run("app.sh")
    running.wait_for("^up$")
    running.signal(signal.SIGUSR2)
    running.wait_for("^hello$")
    assert running.finish(signal.SIGTERM) == 143


@pytest.mark.parametrize("action", [("stop", "spin"), ("stopall",)])
def test_3_a_spinning_process_is_stopped(forever, workshop, action):
    script(workshop, "echo round; exit 1\n")
    started = forever("start", "--uid", "spin", "--minUptime", "0", "app.sh")
    assert started.returncode == 0
    (row,) = forever.list()
    stopped = forever(*action)
    assert (stopped.returncode, stopped.stdout) == (0, "Stopped app.sh (uid spin)\n")
    assert not is_alive(row["forever"])
    assert workshop.processes() == []
    assert forever.list() == []


def test_3_so_is_one_that_waits_for_its_next_try(forever, workshop):
    script(workshop, "exit 1\n")
    assert forever("start", "--uid", "slow", "--spinSleepTime", "1000000", "app.sh").returncode == 1
    (row,) = forever.list()
    assert row["state"].startswith("crashed: exited with status 1, next try in ")
    assert forever("stop", "slow").returncode == 0
    assert workshop.processes() == []


def test_3_and_a_restart_does_not_wait_for_it(forever, workshop):
    script(workshop, "echo x >> lives; [ $(wc -l < lives) -ge 2 ] || exit 1; " + STEADY)
    assert forever("start", "--uid", "slow", "--spinSleepTime", "1000000", "app.sh").returncode == 1
    assert forever("restart", "slow").stdout == "Restarted app.sh (uid slow)\n"
    assert forever.list()[0]["running"]


def test_4_the_first_signal_is_sigterm_or_what_was_asked_for(forever, workshop):
    script(workshop, OBEYING, "app.py")
    for flags, said in ((), "TERM"), (("--killSignal", "SIGINT"), "INT"), (("--killSignal=2",), "INT"):
        running = forever.run(*flags, "app.py")
        running.wait_for("^up$")
        running.finish(signal.SIGTERM)
        assert running.text() == f"up\ngot {said}\n"
        assert f"Stopping all processes with SIG{said}" in running.errors()


def test_4_another_signal_is_followed_by_sigkill_too(forever, workshop):
    script(workshop, "trap '' INT; " + STEADY)
    running = forever.run("--killSignal", "int", "--killTTL", "100", "app.sh")
    running.wait_for("^up ")
    assert running.finish(signal.SIGTERM) == 143
    assert "within 0.1 seconds of SIGINT" in running.errors()


def test_5_a_killed_monitor_leaves_nothing_and_can_be_started_again(forever, workshop):
    script(workshop, "sleep 1000 & " + STEADY)
    assert forever.begin("--uid", "shop", "app.sh").returncode == 0
    (row,) = forever.list()
    os.kill(row["forever"], signal.SIGKILL)
    assert gone(row["forever"])
    assert gone(row["pid"])
    assert workshop.wait_until_gone() == []
    assert forever("list").stdout == "No forever processes running\n"
    assert forever("stop", "shop").returncode == 1
    assert forever.begin("--uid", "shop", "app.sh").returncode == 0
    assert len(forever.list()) == 1


def test_6_the_same_script_or_uid_twice_is_refused_and_the_first_named(forever, workshop):
    script(workshop, STEADY)
    assert forever.begin("--uid", "one", "app.sh").returncode == 0
    (row,) = forever.list()
    again = forever.begin("app.sh")
    assert again.returncode == 1
    assert again.stderr.startswith(
        f"procman: cannot start app.sh: app.sh (uid one) runs already (forever pid {row['forever']})\n"
    )
    assert "--uid" in again.stderr
    shutil.copy(workshop.directory / "app.sh", workshop.directory / "other.sh")
    assert "app.sh (uid one) runs already" in forever.begin("--uid", "one", "other.sh").stderr
    assert [entry["pid"] for entry in forever.list()] == [row["pid"]]
    assert forever.begin("--uid", "two", "app.sh").returncode == 0
    assert [entry["uid"] for entry in forever.list()] == ["one", "two"]
    assert forever("stop", "app.sh").stdout == "Stopped app.sh (uid one)\nStopped app.sh (uid two)\n"


def test_6_two_starts_at_the_same_moment(forever, workshop):
    script(workshop, STEADY)
    both = [forever.run("start", "app.sh") for _ in range(2)]
    assert sorted(one.finish() for one in both) == [0, 1]
    assert len(forever.list()) == 1


def test_6_in_the_foreground_namesakes_get_numbers(forever, workshop):
    script(workshop, STEADY)
    both = [forever.run("app.sh") for _ in range(2)]
    for one in both:
        one.wait_for("^up ")
    uids = sorted(row["uid"] for row in forever.list())
    assert uids[1] == f"{uids[0]}-2"
    for one in both:
        assert one.finish(signal.SIGTERM) == 143


def test_7_cleanlogs_deletes_the_logs_of_the_dead_says_so_and_spares_all_others(forever, workshop):
    script(workshop, "echo words; " + STEADY)
    for uid in ("dead", "living"):
        assert forever.begin("--uid", uid, "-l", f"{uid}.log", "app.sh").returncode == 0
    assert forever("stop", "dead").returncode == 0
    other = forever.state / "other-app/log"
    other.mkdir(parents=True)
    (other / "log.000001").write_text("theirs\n")
    cleaned = forever("cleanlogs")
    path = forever.home("dead") / "log/log.000001"
    assert cleaned.stdout.startswith(f"Deleted {path}\n1 log file deleted, ")
    assert not path.exists()
    assert "words" in (forever.home("living") / "log/log.000001").read_text()
    assert "words" in (workshop.directory / "dead.log").read_text()
    assert (other / "log.000001").exists()
    assert forever("cleanlogs").stdout == "No logs of ended processes\n"


@node
def test_8_log_files_are_rotated_and_lose_nothing(forever, workshop):
    lines = 400_000
    script(
        workshop,
        f"let text = ''; for (let i = 0; i < {lines}; i++) text += `line ${{i}} ${{'x'.repeat(50)}}\\n`;"
        "process.stdout.write(text); process.exitCode = 5;",
        "burst.js",
    )
    running = forever.run("-m", "1", "-s", "-o", "out.log", "burst.js")
    assert running.finish() == 5
    assert running.text() == ""
    names = ["out.log.2", "out.log.1", "out.log"]
    texts = [(workshop.directory / name).read_text() for name in names]
    assert not (workshop.directory / "out.log.3").exists()
    assert max(map(len, texts)) <= 10 << 20
    assert [int(line.split()[1]) for text in texts for line in text.splitlines()] == list(range(lines))


def test_8_there_are_always_the_same_columns(forever, workshop):
    assert forever("columns", "reset").returncode == 1
    script(workshop, STEADY)
    forever.begin("--uid", "shop", "--id", "mine", "app.sh")
    heading, line = forever("list", "--plain").stdout.splitlines()
    assert heading.split() == ["UID", "COMMAND", "SCRIPT", "FOREVER", "PID", "ID", "LOGFILE", "UPTIME"]
    assert re.fullmatch(r"\[0\]  shop  -  +app\.sh  +\d+  +\d+  +mine  \S+/forever-shop/log  0:0:0:\d+\.\d{3}", line)


@pytest.mark.skipif(os.getuid() != 0 or not shutil.which("unshare"), reason="needs a pid namespace")
def test_9_as_pid_1_it_obeys_and_leaves_no_zombies(forever, workshop):
    script(
        workshop,
        "trap 'exit 0' TERM\n"
        "for i in 1 2 3 4 5; do sh -c 'exec 3>&- ; : &'; done\n"
        "while grep -l '^State:.Z' /proc/[0-9]*/status 2> /dev/null; do :; done\n"
        "sleep 1000 & echo clean; while :; do wait; done\n",
    )
    namespace = ("unshare", "--pid", "--fork", "--mount-proc", "--kill-child", sys.executable, "-m", "procman")
    running = forever.run("app.sh", program=namespace)
    running.wait_for("^clean$")
    (first,) = Path(f"/proc/{running.pid}/task/{running.pid}/children").read_text().split()
    os.kill(int(first), signal.SIGTERM)
    assert gone(int(first))
    running.finish()
    assert "SIGTERM received; exit status 143" in running.errors()


def test_10_it_costs_less_memory_than_forever_does(forever, workshop):
    script(workshop, STEADY)
    running = forever.run("app.sh")
    child = int(running.wait_for(r"^up (\d+)")[1])
    assert forever.list()  # its control socket has been used
    pids = [running.pid, *map(int, Path(f"/proc/{running.pid}/task/{running.pid}/children").read_text().split())]
    kilobytes = sum(
        int(re.search(r"^Pss: +(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)[1])
        for pid in pids
        if pid != child
    )
    assert kilobytes < 24 << 10
    running.finish(signal.SIGTERM)


def test_11_an_index_never_comes_to_mean_another(forever, workshop):
    script(workshop, STEADY)
    for uid in ("a", "b", "c"):
        assert forever.begin("--uid", uid, "app.sh").returncode == 0
    assert forever("stop", "1").stdout == "Stopped app.sh (uid b)\n"
    assert [(row["index"], row["uid"]) for row in forever.list()] == [(0, "a"), (2, "c")]
    assert forever("stop", "2").stdout == "Stopped app.sh (uid c)\n"
    assert forever.begin("--uid", "d", "app.sh").returncode == 0
    assert [(row["index"], row["uid"]) for row in forever.list()] == [(0, "a"), (3, "d")]
    assert forever("stop", "2").returncode == 1


def test_12_what_a_killed_monitor_leaves_is_in_nobodys_way(forever, workshop):
    script(workshop, STEADY)
    assert forever.begin("--uid", "shop", "app.sh").returncode == 0
    (row,) = forever.list()
    os.kill(row["forever"], signal.SIGKILL)
    assert gone(row["forever"])
    assert workshop.wait_until_gone() == []
    assert (forever.home("shop") / "control.sock").exists()
    for action in (["list"], ["stopall"], ["restartall"], ["logs"]):
        answer = forever(*action)
        assert (answer.returncode, answer.stdout, answer.stderr) == (0, "No forever processes running\n", "")
    assert forever.begin("--uid", "shop", "app.sh").returncode == 0
    assert forever("stop", "shop").returncode == 0


def test_13_names_are_made_of_the_scripts(forever, workshop):
    script(workshop, STEADY)
    names = []
    for _ in range(2):
        started = forever.begin("app.sh")
        names.append(re.search(r"uid (app-[0-9a-f]{8}), index 0, name forever-app-", started.stdout)[1])
        forever("stopall")
    assert names[0] == names[1]


def test_14_nothing_is_warned_of(forever, workshop):
    script(workshop, STEADY)
    for words in (["start", "app.sh"], ["list"], ["restart", "app.sh"], ["logs", "app.sh"], ["stop", "app.sh"]):
        answer = forever(*words)
        assert (answer.returncode, answer.stderr) == (0, "")
        assert answer.stdout


@pytest.mark.parametrize("flag", ["-l", "-o", "-e"])
def test_15_an_existing_log_is_no_reason_not_to_start(forever, workshop, flag):
    log = workshop.directory / "app.log"
    log.write_text("before\n")
    script(workshop, "echo out; echo err >&2\n")
    assert forever("-m", "1", flag, "app.log", "app.sh").returncode == 0
    text = log.read_text()
    assert "before" not in text
    assert (workshop.directory / "app.log.1").read_text() == "before\n"
    assert forever("-m", "1", "-a", flag, "app.log", "app.sh").returncode == 0
    assert log.read_text() == text * 2
    assert not (workshop.directory / "app.log.2").exists()
