"""`procman forever`, with real processes: what forever's users believe in, and each of its faults put right.

The numbers are those of "Broken or dangerous in it" in our notes on forever; docs/forever.md lists them too.
"""

import json
import os
import re
import select
import shutil
import signal
import socket
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from tests.harness import DEADLINE_S, Running

SERVER = """
const http = require("http");
const server = http.createServer((request, response) => response.end(`pid ${process.pid}\\n`));
server.on("error", (error) => { console.error(error.message); process.exit(1); });
server.listen(process.env.PORT, () => console.log(`listening on ${process.env.PORT}`));
process.on("SIGTERM", () => { console.log("closing"); server.close(() => process.exit(0)); });
"""
STEADY = "echo up $$; exec sleep 1000\n"
npm = pytest.mark.skipif(not shutil.which("npm"), reason="npm is not installed")
node = pytest.mark.skipif(not shutil.which("node"), reason="node is not installed")


def script(workshop, text: str, name: str = "app.sh") -> str:
    """An executable in the workshop's directory; returns how it is named there."""
    path = workshop.directory / name
    path.write_text(text if name.endswith((".js", ".py")) else f"#!/bin/sh\n{text}")
    if not name.endswith((".js", ".py")):
        path.chmod(0o755)
    return name


class Forever:
    """`procman forever` in a workshop; what was started is stopped at the end."""

    def __init__(self, workshop):
        self.workshop = workshop
        self.state = workshop.directory / ".local/state/procman/apps"

    def __call__(self, *args: str, **options):
        return self.workshop.call("forever", *args, **options)

    def run(self, *args: str, **options) -> Running:
        return self.workshop.procman("forever", *args, **options)

    def list(self) -> list[dict]:
        return json.loads(self("list", "--json").stdout)["processes"]

    def follow(self, uid: str) -> Running:
        """Its log, from the first line on."""
        return self.run("logs", uid, "-n", "100000", "-f")

    def home(self, uid: str) -> Path:
        return self.state / f"forever-{uid}"


@pytest.fixture
def forever(workshop):
    tool = Forever(workshop)
    yield tool
    tool("stopall")


def gone(pid: int) -> bool:
    """Whether a process ends, waited for."""
    try:
        handle = os.pidfd_open(pid)
    except OSError:
        return True
    try:
        return bool(select.select([handle], [], [], DEADLINE_S)[0])
    finally:
        os.close(handle)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] not in "ZX"
    except OSError:
        return False


def fetch(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}", timeout=DEADLINE_S) as answer:
        return answer.read().decode()


def can_bind(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("0.0.0.0", port))
        except OSError:
            return False
        return True


# -- 1 to 15 ------------------------------------------------------------------------------------------------------


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
    script(workshop, "trap 'echo asked; exit 0' TERM; echo up; while :; do sleep 1000 & wait; done\n")
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
    assert not alive(row["forever"])
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
    traps = 'for s in TERM INT; do trap "echo got $s; exit" $s; done'
    script(workshop, f"{traps}; echo up; while :; do sleep 1000 & wait; done\n")
    for flags, said in ((), "TERM"), (("--killSignal", "SIGINT"), "INT"), (("--killSignal=2",), "INT"):
        running = forever.run(*flags, "app.sh")
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
    assert forever("start", "--uid", "shop", "app.sh").returncode == 0
    (row,) = forever.list()
    os.kill(row["forever"], signal.SIGKILL)
    assert gone(row["forever"])
    assert gone(row["pid"])
    assert workshop.wait_until_gone() == []
    assert forever("list").stdout == "No forever processes running\n"
    assert forever("stop", "shop").returncode == 1
    assert forever("start", "--uid", "shop", "app.sh").returncode == 0
    assert len(forever.list()) == 1


def test_6_the_same_script_or_uid_twice_is_refused_and_the_first_named(forever, workshop):
    script(workshop, STEADY)
    assert forever("start", "--uid", "one", "app.sh").returncode == 0
    (row,) = forever.list()
    again = forever("start", "app.sh")
    assert again.returncode == 1
    assert again.stderr.startswith(
        f"procman: cannot start app.sh: app.sh (uid one) runs already (forever pid {row['forever']})\n"
    )
    assert "--uid" in again.stderr
    shutil.copy(workshop.directory / "app.sh", workshop.directory / "other.sh")
    assert "app.sh (uid one) runs already" in forever("start", "--uid", "one", "other.sh").stderr
    assert [entry["pid"] for entry in forever.list()] == [row["pid"]]
    assert forever("start", "--uid", "two", "app.sh").returncode == 0
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
        assert forever("start", "--uid", uid, "-l", f"{uid}.log", "app.sh").returncode == 0
    assert forever("stop", "dead").returncode == 0
    other = forever.state / "other-app/log"
    other.mkdir(parents=True)
    (other / "log.000001").write_text("theirs\n")
    cleaned = forever("cleanlogs")
    path = forever.home("dead") / "log/log.000001"
    assert cleaned.stdout.startswith(f"Deleted {path}\n1 log files deleted, ")
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
    forever("start", "--uid", "shop", "--id", "mine", "app.sh")
    heading, line = forever("list", "--plain").stdout.splitlines()
    assert heading.split() == ["UID", "COMMAND", "SCRIPT", "FOREVER", "PID", "ID", "LOGFILE", "UPTIME"]
    assert re.fullmatch(r"\[0\]  shop  -  +app\.sh  +\d+  +\d+  +mine  \S+/forever-shop/log  0:0:0:\d+\.\d{3}", line)


@pytest.mark.skipif(os.getuid() != 0 or not shutil.which("unshare"), reason="needs a pid namespace")
def test_9_as_pid_1_it_obeys_and_leaves_no_zombies(forever, workshop):
    script(
        workshop,
        "trap 'exit 0' TERM\n"
        "for i in 1 2 3 4 5; do sh -c 'exec 3>&- ; : &'; done\n"
        "while grep -l '^State:.Z' /proc/[0-9]*/status 2> /dev/null; do :; done; echo clean\n"
        "while :; do sleep 1000 & wait; done\n",
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
        assert forever("start", "--uid", uid, "app.sh").returncode == 0
    assert forever("stop", "1").stdout == "Stopped app.sh (uid b)\n"
    assert [(row["index"], row["uid"]) for row in forever.list()] == [(0, "a"), (2, "c")]
    assert forever("stop", "2").stdout == "Stopped app.sh (uid c)\n"
    assert forever("start", "--uid", "d", "app.sh").returncode == 0
    assert [(row["index"], row["uid"]) for row in forever.list()] == [(0, "a"), (3, "d")]
    assert forever("stop", "2").returncode == 1


def test_12_what_a_killed_monitor_leaves_is_in_nobodys_way(forever, workshop):
    script(workshop, STEADY)
    assert forever("start", "--uid", "shop", "app.sh").returncode == 0
    (row,) = forever.list()
    os.kill(row["forever"], signal.SIGKILL)
    assert gone(row["forever"])
    assert workshop.wait_until_gone() == []
    assert (forever.home("shop") / "control.sock").exists()
    for action in (["list"], ["stopall"], ["restartall"], ["logs"]):
        answer = forever(*action)
        assert (answer.returncode, answer.stdout, answer.stderr) == (0, "No forever processes running\n", "")
    assert forever("start", "--uid", "shop", "app.sh").returncode == 0
    assert forever("stop", "shop").returncode == 0


def test_13_names_are_made_of_the_scripts(forever, workshop):
    script(workshop, STEADY)
    names = []
    for _ in range(2):
        started = forever("start", "app.sh")
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


# -- what goes in and comes out -----------------------------------------------------------------------------------


@node
def test_by_suffix_by_command_and_by_itself(forever, workshop):
    script(workshop, "console.log('node', process.argv.slice(2).join())", "a.js")
    script(workshop, "import sys; print('python', *sys.argv[1:])", "b.py")
    script(workshop, "echo sh $1; exit 3\n", "c.sh")
    (workshop.directory / "www").write_text("#!/usr/bin/env node\nconsole.log('www')\n")
    (workshop.directory / "note.txt").write_text("not a program\n")

    def once(*words: str):
        answer = forever("-m", "1", *words)
        return answer.returncode, answer.stdout

    assert once("a.js", "-x", "--", "1") == (0, "node -x,--,1\n")
    assert once("b.py", "1") == (0, "python 1\n")
    assert once("c.sh", "$HOME x") == (3, "sh $HOME x\n")
    assert once("www") == (0, "www\n")
    assert once("-c", "node --no-warnings", "a.js", "1") == (0, "node 1\n")
    assert once("-c", "cat", "note.txt") == (0, "not a program\n")
    assert once("--", "sh", "-c", "exit 4") == (4, "")
    for words, status, said in [
        (["note.txt"], 1, "cannot run"),
        (["missing.js"], 1, "cannot run missing.js: no such file"),
        (["-c", "missing-command", "a.js"], 127, "cannot run missing-command: command not found"),
        (["--", "missing-command"], 127, "cannot run missing-command: command not found"),
        (["stat", "a.js"], 2, "did you mean 'start'?"),
    ]:
        answer = forever(*words)
        assert (answer.returncode, answer.stdout) == (status, "")
        assert said in answer.stderr


def test_the_environment_is_passed(forever, workshop):
    script(workshop, "env | grep -E '^(PORT|DYNO|NAME)=' | sort; pwd; cut -d' ' -f6,7 /proc/self/stat\n")
    answer = forever("-m", "1", "app.sh", env={"PORT": "4321", "DYNO": "web.7", "NAME": "a b"})
    assert answer.stdout.splitlines()[:4] == ["DYNO=web.7", "NAME=a b", "PORT=4321", str(workshop.directory)]
    without = {**workshop.env}
    del without["PORT"]
    workshop.env = without
    assert "PORT" not in forever("-m", "1", "app.sh").stdout


def test_stdout_and_stderr_stay_apart_and_procmans_own_lines_are_on_stderr(forever, workshop):
    script(workshop, "echo out; echo err >&2; printf unfinished\n")
    answer = forever("-m", "1", "app.sh")
    assert answer.stdout == "out\nunfinished\n"
    lines = answer.stderr.splitlines()
    assert "err" in lines
    assert all(line.startswith("procman: ") for line in lines if line != "err")


def test_in_one_place_the_order_is_kept(forever, workshop):
    script(workshop, "for i in 1 2 3; do echo out $i; echo err $i >&2; done\n")
    both = workshop.directory / "both"
    with both.open("wb") as file:
        merged = ("sh", "-c", f'exec {sys.executable} -m procman "$@" 2>&1', "sh")
        running = forever.run("-m", "1", "app.sh", program=merged, stdout=file)
        assert running.finish() == 0
    lines = [line for line in both.read_text().splitlines() if not line.startswith("procman: ")]
    assert lines == [f"{where} {number}" for number in (1, 2, 3) for where in ("out", "err")]


def test_files_get_what_is_theirs(forever, workshop):
    script(workshop, "echo out; echo err >&2\n")
    answer = forever("-m", "1", "-s", "-l", "all.log", "-o", "out.log", "-e", "err.log", "app.sh")
    assert answer.returncode == 0
    assert answer.stdout == ""
    assert "err\n" not in answer.stderr.replace("procman", "")
    read = {name: (workshop.directory / f"{name}.log").read_text() for name in ("all", "out", "err")}
    assert (read["out"], read["err"]) == ("out\n", "err\n")
    lines = read["all"].splitlines()
    assert sorted(line for line in lines if not line.startswith("procman: ")) == ["err", "out"]
    assert any(line.startswith("procman: Starting process") for line in lines)


def test_one_file_for_both_and_one_that_cannot_be(forever, workshop):
    script(workshop, "echo out; echo err >&2\n")
    answer = forever("-m", "1", "-o", "x.log", "-e", "x.log", "-l", "missing/all.log", "app.sh")
    assert answer.returncode == 0
    assert sorted((workshop.directory / "x.log").read_text().split()) == ["err", "out"]
    assert "missing/all.log: No such file or directory" in answer.stderr
    assert forever("-m", "1", "-o", "/dev/null", "app.sh").returncode == 0


def test_a_log_that_is_moved_away_goes_on_under_its_name(forever, workshop):
    for gate in ("first", "second"):  # one each: a reader of the next must not meet the writer of the last
        os.mkfifo(workshop.directory / gate)
    script(workshop, "echo one; read x < first; echo two; read x < second; echo three; exit 0\n")
    running = forever.run("-m", "1", "-o", "app.log", "app.sh")
    log = workshop.directory / "app.log"
    running.wait_for("^one$")
    log.rename(workshop.directory / "moved.log")
    (workshop.directory / "first").write_text("\n")
    running.wait_for("^two$")
    log.unlink()
    (workshop.directory / "second").write_text("\n")
    assert running.finish() == 0
    assert ((workshop.directory / "moved.log").read_text(), log.read_text()) == ("one\n", "three\n")


def test_the_pid_file_follows_the_lives(forever, workshop):
    script(workshop, "echo up $$ $(cat /dev/null); exec sleep 1000\n")
    running = forever.run("--pidFile", "app.pid", "app.sh")
    path = workshop.directory / "app.pid"
    first = int(running.wait_for(r"^up (\d+)")[1])
    assert forever("list").returncode == 0  # a turn of its loop has passed
    assert int(path.read_text()) == first
    os.kill(first, signal.SIGKILL)
    second = int(running.wait_for(r"^up (\d+)")[1])
    assert forever("list").returncode == 0
    assert int(path.read_text()) == second
    running.finish(signal.SIGTERM)
    assert not path.exists()


def test_the_whole_tree_is_killed(forever, workshop):
    script(workshop, "setsid sh -c 'echo far $$; exec sleep 1000' & sleep 1000 & " + STEADY)
    running = forever.run("-t", "app.sh")
    running.wait_for(r"far \d+(?s:.*)^up|^up(?s:.*)far \d+")
    assert running.finish(signal.SIGTERM) == 143
    assert workshop.processes() == []


def test_directories(forever, workshop):
    (workshop.directory / "src").mkdir()
    (workshop.directory / "run").mkdir()
    script(workshop, "pwd; basename $0\n", "src/app.sh")
    here = workshop.directory
    assert forever("-m", "1", "--sourceDir", "src", "app.sh").stdout == f"{here}/src\napp.sh\n"
    found = forever("-m", "1", "--sourceDir", "src", "--workingDir", "run", "app.sh").stdout
    assert found == f"{here}/run\napp.sh\n"
    assert forever("--workingDir", "none", "src/app.sh").returncode == 1


def test_a_life_longer_than_min_uptime_is_followed_at_once(forever, workshop):
    script(workshop, "sleep 0.05; " + STEADY)
    running = forever.run("--minUptime", "20", "--spinSleepTime", "1000000", "app.sh")
    for _ in range(5):  # with the pause, the second would never come
        os.kill(int(running.wait_for(r"^up (\d+)")[1]), signal.SIGKILL)
    running.wait_for("^up ")
    running.finish(signal.SIGTERM)


def test_a_shorter_one_after_the_pause(forever, workshop):
    script(workshop, "echo up; exit 1\n")
    running = forever.run("--minUptime", "60000", "--spinSleepTime", "300", "app.sh")
    began = time.monotonic()
    for _ in range(3):
        running.wait_for("^up$")
    assert time.monotonic() - began > 0.55
    running.finish(signal.SIGTERM)
    assert running.errors().count("Next try in 0.3 s: exited with status 1") >= 2


def test_watch_restarts_on_change_and_not_for_what_is_ignored(forever, workshop):
    pytest.importorskip("watchfiles")
    script(workshop, STEADY)
    (workshop.directory / ".foreverignore").write_text("# ours\n*.tmpl\n")
    running = forever.run("-w", "--watchIgnore", "cache/**", "-l", "/dev/stdout", "-s", "app.sh")
    running.wait_for(r"procman: .*[Ww]atch")
    (workshop.directory / "cache").mkdir()
    (workshop.directory / "cache/x").write_text("1")
    (workshop.directory / "x.tmpl").write_text("1")
    (workshop.directory / "y.txt").write_text("1")
    running.wait_for(r"procman: (y\.txt) changed: restarting")
    running.wait_for("^up ")
    running.finish(signal.SIGTERM)
    assert running.text().count("changed: restarting") == 1


# -- in the background --------------------------------------------------------------------------------------------


def test_start_tells_what_it_started(forever, workshop):
    script(workshop, STEADY)
    started = forever("start", "--uid", "shop", "app.sh", "--port", "1")
    assert started.returncode == 0
    (row,) = forever.list()
    assert started.stdout == (
        f"Started app.sh: uid shop, index 0, name forever-shop, forever pid {row['forever']}, pid {row['pid']}, "
        f"log {forever.home('shop')}/log\n"
    )
    assert row["running"]
    command = Path(f"/proc/{row['pid']}/cmdline").read_text()
    assert command.startswith("sleep")


def test_start_fails_when_it_does_not_come_up_and_goes_on_trying(forever, workshop):
    script(workshop, "test -e ready || { echo no database; exit 9; }; " + STEADY)
    started = forever("start", "--uid", "shop", "--spinSleepTime", "50", "app.sh")
    assert (started.returncode, started.stdout) == (1, "")
    assert started.stderr.startswith(
        "procman: app.sh (uid shop) does not stay up: exited with status 9; it is tried again until it does\n"
    )
    log = forever.follow("shop")
    log.wait_for("app.1.: no database")
    (workshop.directory / "ready").write_text("")
    log.wait_for("app.1.: up")
    assert forever("stop", "shop").returncode == 0
    assert log.finish() == 0


def test_start_fails_when_nothing_will_run(forever, workshop):
    script(workshop, "exit 9\n")
    assert forever("start", "app.js").returncode == 1
    started = forever("start", "-m", "1", "--uid", "once", "app.sh")
    assert started.returncode == 1
    assert "exited with status 9" in started.stderr
    assert workshop.wait_until_gone() == []


def test_one_is_found_by_every_name_it_has(forever, workshop):
    script(workshop, STEADY)
    script(workshop, STEADY, "other.sh")
    assert forever("start", "--uid", "other", "other.sh").returncode == 0
    for name in ("uid", "id", "index", "pid", "forever", "script", "path"):
        assert forever("start", "--uid", "one", "--id", "mine", "app.sh").returncode == 0
        row = {**forever.list()[-1], "path": str(workshop.directory / "app.sh")}
        stopped = forever("stop", str(row[name]))
        assert stopped.stdout == "Stopped app.sh (uid one)\n", name
        assert not alive(row["pid"])
        assert not alive(row["forever"])
    missing = forever("stop", "nothing")
    assert missing.returncode == 1
    assert "there are other" in missing.stderr
    assert [row["uid"] for row in forever.list()] == ["other"]
    assert forever("stopbypid", str(forever.list()[0]["pid"])).returncode == 0


def test_restart_and_restartall(forever, workshop):
    script(workshop, STEADY)
    for uid in ("a", "b"):
        forever("start", "--uid", uid, "app.sh")
    before = {row["uid"]: row for row in forever.list()}
    assert forever("restart", "a").stdout == "Restarted app.sh (uid a)\n"
    middle = {row["uid"]: row for row in forever.list()}
    assert middle["a"]["pid"] != before["a"]["pid"]
    assert middle["b"]["pid"] == before["b"]["pid"]
    assert forever("restartall").returncode == 0
    after = {row["uid"]: row for row in forever.list()}
    assert {after[uid]["pid"] for uid in "ab"}.isdisjoint({middle[uid]["pid"] for uid in "ab"})
    assert [after[uid]["forever"] for uid in "ab"] == [before[uid]["forever"] for uid in "ab"]
    assert forever("stopall").stdout == "Stopped app.sh (uid a)\nStopped app.sh (uid b)\n"


def test_logs(forever, workshop):
    script(workshop, "for i in 1 2 3 4 5; do echo line $i; done; " + STEADY)
    forever("start", "--uid", "shop", "app.sh")
    assert f"[0]  shop  {forever.home('shop')}/log" in forever("logs").stdout
    log = forever.follow("0")
    log.wait_for("app.1.: up")
    assert len(forever("logs", "-n", "3", "app.sh").stdout.splitlines()) == 3
    assert forever("stopall").returncode == 0
    assert log.finish() == 0
    assert re.findall(r"line \d", log.text()) == [f"line {number}" for number in range(1, 6)]
    assert "line 1" in forever("logs", "shop").stdout  # of one that has ended, too
    assert "shop" not in forever("logs").stdout


def test_a_formation_like_any_other(forever, workshop):
    script(workshop, STEADY)
    forever("start", "--uid", "shop", "app.sh")
    assert "forever-shop" in workshop.call("list").stdout
    assert "exec ./app.sh" in workshop.call("ps", "--name", "forever-shop").stdout
    assert workshop.call("reload", "--name", "forever-shop").returncode == 1
    assert workshop.call("scale", "--name", "forever-shop", "app=2").returncode == 1
    assert workshop.call("shutdown", "--name", "forever-shop").returncode == 0


def test_state_elsewhere(forever, workshop):
    script(workshop, STEADY)
    place = workshop.directory / "place"
    assert forever("start", "-p", "place", "--uid", "shop", "-l", "x.log", "app.sh").returncode == 0
    assert forever.list() == []
    assert "shop" in forever("list", "-p", "place").stdout
    assert "shop" in forever("list", env={"FOREVER_ROOT": str(place)}).stdout
    assert (place / "x.log").exists()
    assert forever("stopall", "-p", "place").returncode == 0


def test_a_home_that_cannot_be_written_keeps_nothing_from_running(forever, workshop):
    script(workshop, "echo life\n")
    answer = forever("-m", "1", "app.sh", env={"XDG_STATE_HOME": "/dev/null/state"})
    assert (answer.returncode, answer.stdout) == (0, "life\n")


# -- flags and files ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--minuptime", "5", "app.sh"], "cannot use --minuptime: forever has no such flag\n  hint: --minUptime?"),
        (["-m", "none", "app.sh"], "cannot use -m none"),
        (["-m", "0", "app.sh"], "cannot use -m 0"),
        (["--minUptime", "1s", "app.sh"], "cannot use --minUptime 1s: milliseconds are wanted"),
        (["--killSignal", "SIGNOT", "app.sh"], "cannot use --killSignal SIGNOT: no such signal"),
        (["--uid", "a/b", "app.sh"], "cannot use --uid 'a/b'"),
        (["--uid", "12", "app.sh"], "cannot use --uid '12'"),
        (["-l"], "cannot use -l: FILE is missing"),
        (["--append=maybe", "app.sh"], "cannot use --append=maybe"),
        (["stop"], "cannot stop: who is meant?"),
        (["start"], "no script is named"),
        (["stopbypid", "shop"], "a process id is wanted"),
    ],
)
def test_misuse_is_refused_with_a_hint(forever, workshop, words, said):
    script(workshop, STEADY)
    answer = forever(*words)
    assert answer.returncode == 2
    assert said in answer.stderr
    assert answer.stdout == ""


@pytest.mark.parametrize("words", [["config"], ["set", "a", "b"], ["clear", "a"], ["columns", "add", "id"]])
def test_what_there_is_no_more_says_so_in_one_line(forever, words):
    answer = forever(*words)
    assert answer.returncode == 1
    assert len(answer.stderr.splitlines()) == 1
    assert answer.stderr.startswith(f"procman: cannot use {words[0]}: ")


def test_flags_stand_before_the_action_too_and_switches_bundle(forever, workshop):
    script(workshop, "echo life\n")
    (workshop.directory / "x.log").write_text("before\n")
    assert forever("-dvas", "-ox.log", "--no-colors", "--plain", "-m2", "app.sh").stdout == ""
    assert (workshop.directory / "x.log").read_text() == "before\nlife\nlife\n"
    script(workshop, STEADY)
    assert forever("--uid", "shop", "start", "app.sh").returncode == 0
    assert forever("-n", "1", "logs", "shop").returncode == 0


@pytest.mark.parametrize("words", [["--help"], ["-h"], ["help"], [], ["start", "--help"]])
def test_help_names_every_action_and_flag(forever, words):
    from procman.cli.forever.flags import ACTIONS, TABLE

    answer = forever(*words)
    assert answer.returncode == 0
    assert not [word for word in (*ACTIONS, *TABLE) if word not in answer.stdout]


def test_a_json_file(forever, workshop):
    script(workshop, "echo $WHO $*; exec sleep 1000\n")
    (workshop.directory / "all.json").write_text(
        """
        [  // two of them: "app.sh" twice
          {
            "uid": "a", "script": "app.sh", "args": ["--url", "http://x//y"], /* not a comment: // */
            "env": {"WHO": "first"}, "minUptime": 0, "killSignal": "SIGINT", "max": 10,
            "append": true, "logFile": "a.log", "watch": false, "killTree": true
          },
          {"uid": "b", "script": "app.sh", "workingDir": "."}
        ]
        """
    )
    assert forever("start", "all.json").returncode == 0
    assert [row["uid"] for row in forever.list()] == ["a", "b"]
    log = forever.follow("a")
    log.wait_for("app.1.: first --url http://x//y$")
    refused = forever("all.json")
    assert (refused.returncode, "cannot run 2 programs in the foreground" in refused.stderr) == (1, True)
    forever("stopall")
    assert "SIGINT" in (workshop.directory / "a.log").read_text()
    (workshop.directory / "one.json").write_text('{"script": "app.sh", "args": "x", "max": 1}')
    script(workshop, "echo $*; exit 6\n")
    answer = forever("one.json", "y")
    assert (answer.returncode, answer.stdout) == (6, "x y\n")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{\n  "script": "a",\n  "minuptime": 5\n}', "x.json:3: no such key as 'minuptime'\n  hint: minUptime?"),
        ('{"script": "a",\n "append": "yes"}', "x.json:2: true or false is wanted for 'append'"),
        ('{"script": "a",\n "max": true}', "x.json:2: a number is wanted for 'max'"),
        ('{"uid": "a"}', "x.json: an object without 'script'"),
        ('{"script": "a"\n "uid": "b"}', "x.json:2: not JSON"),
        ("[]", "x.json: an object, or an array of objects, is wanted"),
    ],
)
def test_a_mistake_in_a_json_file_is_shown_with_its_line(forever, workshop, text, said):
    (workshop.directory / "x.json").write_text(text)
    answer = forever("start", "x.json")
    assert answer.returncode == 1
    assert said in answer.stderr


# -- the story that forever comes from ----------------------------------------------------------------------------


@pytest.fixture
def shop(workshop):
    """package.json, Procfile and app.js of the book."""
    files = {
        "package.json": '{"name": "shop", "version": "1.0.0", "scripts": {"production": "procman forever app.js"}}\n',
        "Procfile": "web: npm run production\n",
        "app.js": (
            'const fs = require("fs");\n'
            'fs.appendFileSync("lives", ".");\n'
            'const life = fs.readFileSync("lives").length;\n'
            "console.log(`life ${life}`);\n"
            'if (life <= 2) { console.error("no database"); process.exit(1); }\n' + SERVER
        ),
    }
    for name, text in files.items():
        (workshop.directory / name).write_text(text)
    workshop.env |= {"npm_config_update_notifier": "false", "npm_config_loglevel": "error"}
    return workshop


@npm
def test_the_origin_story(shop):
    port = int(shop.env["PORT"])
    running = shop.start()
    running.wait_for("life 1")
    with socket.socket() as occupant:
        occupant.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        occupant.bind(("0.0.0.0", port))
        occupant.listen()
        running.wait_for("life 2")
        running.wait_for("EADDRINUSE")
    for _ in range(2):  # the one may be seen before the other
        running.wait_for(rf"web\.1 +(\| listening on {port}|\* State changed from starting to up)")
    assert fetch(port).startswith("pid ")
    assert running.finish(signal.SIGTERM) == 143
    assert "closing" in running.lines("web.1"), running.text()
    assert running.system("web.1").count("Process exited with status 143") == 1
    assert not any("R12" in line for line in running.system("web.1"))
    assert shop.processes() == []
    assert can_bind(port)


@npm
def test_a_crash_of_the_serving_app_is_repaired(shop):
    (shop.directory / "lives").write_text("...")
    port = int(shop.env["PORT"])
    running = shop.start()
    for _ in range(3):  # in a row, each within a second
        running.wait_for(f"listening on {port}")
        os.kill(int(fetch(port).split()[1]), signal.SIGKILL)
    running.wait_for(f"listening on {port}")
    assert fetch(port)
    assert "Process exited" not in "".join(running.system("web.1"))
    running.finish(signal.SIGTERM)
    assert can_bind(port)


@npm
@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGKILL])
def test_npm_alone_is_signalled(shop, signum):
    (shop.directory / "lives").write_text("...")
    port = int(shop.env["PORT"])
    running = shop.procman("run", "production", program=("npm",))
    running.wait_for(f"listening on {port}")
    running.finish(signum)
    assert "closing" in running.text()
    assert shop.wait_until_gone() == []
    assert can_bind(port)


@npm
def test_procman_at_the_top_is_killed(shop):
    (shop.directory / "lives").write_text("...")
    running = shop.start()
    running.wait_for("listening on")
    running.finish(signal.SIGKILL)
    assert shop.wait_until_gone() == []
    assert can_bind(int(shop.env["PORT"]))


@npm
def test_two_web_dynos_of_the_same_script(shop):
    (shop.directory / "lives").write_text("...")
    running = shop.start("web=2")
    ports = {int(running.wait_for(r"listening on (\d+)")[1]) for _ in range(2)}
    assert len(ports) == 2
    running.finish(signal.SIGTERM)
    assert shop.processes() == []
