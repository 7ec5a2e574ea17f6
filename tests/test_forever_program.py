"""What a program under `procman forever` gets, and where what it prints goes."""

import os
import signal
import sys
import time

from tests.forever import STEADY, node, script


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
    assert forever("list").returncode == 0  # a turn of its loop has passed: what was shown is written
    log.rename(workshop.directory / "moved.log")
    (workshop.directory / "first").write_text("\n")
    running.wait_for("^two$")
    assert forever("list").returncode == 0
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
    began = time.monotonic()
    running = forever.run("--minUptime", "60000", "--spinSleepTime", "300", "app.sh")
    for _ in range(3):
        running.wait_for("^up$")
    assert time.monotonic() - began > 0.55
    running.finish(signal.SIGTERM)
    assert running.errors().count("Next try in 0.3 s: exited with status 1") >= 2


def test_watch_restarts_on_change_and_not_for_what_is_ignored(forever, workshop):
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


def test_watch_does_not_restart_for_what_procman_writes_itself(forever, workshop):
    script(workshop, STEADY)
    apart = ("sh", "-c", f'exec {sys.executable} -m procman "$@" 2>&1 >out.txt', "sh")
    running = forever.run("-w", "-l", "all.txt", "--pidFile", "pid.txt", "app.sh", program=apart)
    running.wait_for(r"procman: .*[Ww]atch")
    for name in ("y.txt", "z.txt"):
        (workshop.directory / name).write_text("1")
        running.wait_for(rf"procman: {name} changed: restarting")
        running.wait_for("procman: Starting process")
    running.finish(signal.SIGTERM)
    assert running.text().count("changed: restarting") == 2
    assert all("up " in (workshop.directory / name).read_text() for name in ("out.txt", "all.txt"))
