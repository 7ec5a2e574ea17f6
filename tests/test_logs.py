"""`procman logs`, `explain` and `start --watch`, from a second process or by a changed file."""

import json
import os
import re
import signal

from tests.harness import poll


def test_logs_shows_what_was_and_goes_on_with_what_comes(workshop):
    workshop.procfile("a: echo one; read x < go.a; echo two; exec sleep 1000\nb: echo other; exec sleep 1000\n")
    os.mkfifo(workshop.directory / "go.a")
    running = workshop.start()
    for _ in range(2):
        running.wait_for(r"(a\.1 .*\| one|b\.1 .*\| other)")
    shown = workshop.call("logs", "--dyno", "a.1", "--source", "app").stdout
    assert shown.endswith(" app[a.1]: one\n")
    assert shown.count("\n") == 1
    assert " app[b.1]: other\n" in workshop.call("logs", "--process-type", "b", "--grep", "oth").stdout
    assert workshop.call("logs", "a.1", "--source", "app").stdout == shown
    assert workshop.call("logs", "a", "a.7", "-s", "app").stdout == shown
    assert workshop.call("logs", "all").stdout == workshop.call("logs").stdout
    for words in (["c"], ["a", "c.1"], ["a.one"]):
        refused = workshop.call("logs", *words)
        told = f"cannot find {words[-1]}: no such process type, and no line of such a dyno\n  hint: there are a, b\n"
        assert (refused.returncode, refused.stdout, refused.stderr) == (1, "", f"procman: {told}")
    both = workshop.call("logs", "a", "b.1", "-s", "app").stdout
    assert sorted(line.split(": ")[1] for line in both.splitlines()) == ["one", "other"]
    for words in (["-p", "c"], ["--dyno", "ab.1"], ["-t", "--dyno", "c.1", "a"], ["all", "-p", "c"]):
        refused = workshop.call("logs", *words)
        assert (refused.returncode, "no such process type, and no line" in refused.stderr) == (1, True)
    assert workshop.call("logs", "--dyno", "a").stderr.endswith("no such dyno\n  hint: procman logs -p a\n")
    assert workshop.call("logs", "--dyno", "procman").returncode == 0, "a writer, if no dyno"
    assert workshop.call("logs", "a", "-p", "b").stdout == ""
    assert workshop.call("logs", "--grep", "nothing like it").stdout == ""
    tail = workshop.procman("logs", "-t", "-n", "1", "--dyno", "a.1", "--source", "app")
    tail.wait_for(r"app\[a\.1\]: one")
    (workshop.directory / "go.a").write_text("\n")
    tail.wait_for(r"app\[a\.1\]: two")
    running.finish(signal.SIGTERM)
    assert tail.finish() == 0
    entry = json.loads(workshop.call("logs", "-n", "1", "--dyno", "a.1", "--source", "app", "--json").stdout)
    assert (entry["dyno"], entry["source"], entry["message"]) == ("a.1", "app", "two")


def test_logs_refuses_what_it_cannot_read(workshop):
    done = workshop.call("logs")
    assert (done.returncode, done.stderr.startswith("procman: cannot show the log of ")) == (1, True)
    workshop.procfile("a: echo x\n")
    workshop.start("--restart", "never").finish()
    for flags in (["--since", "soon"], ["--grep", "("], ["-n", "many"], ["--source", "me"], ["--tail", "5"]):
        assert workshop.call("logs", *flags).returncode == 2
    assert "cannot use --since 5x: not a duration" in workshop.call("logs", "--since", "5x").stderr
    (home,) = (workshop.directory / ".local/state/procman/apps").iterdir()
    assert f"hint: procman ps --name {home.name}" in workshop.call("logs", "b", "--name", home.name).stderr
    assert workshop.call("logs", "a.1", "--name", home.name).returncode == 0
    workshop.procfile("all: echo x\n")
    assert workshop.call("logs", "all").stdout == ""
    assert "hint: procman logs -t, to follow it" in workshop.call("logs", "-f", "a").stderr


def test_explain_tells_why_a_dyno_is_down_also_when_all_is(workshop):
    workshop.procfile("a: echo oh no; exit 3\n")
    running = workshop.start("--restart", "max=1")
    assert running.finish() == 3
    told = workshop.call("explain", "a.1").stdout
    assert told.startswith("a.1 does not run: its formation is down. Its last life: exited with status 3\n")
    assert told.count("exited with status 3\n") >= 2
    assert "app[a.1]: oh no" in told
    found = json.loads(workshop.call("explain", "a.1", "--json").stdout)
    assert [(life["status"], life["asked"]) for life in found["lives"]] == [(3, False)] * 2
    assert workshop.call("explain", "a").stdout.splitlines()[0] == told.splitlines()[0], "a type means its dynos"
    assert workshop.call("explain", "b.1").returncode == 1


def test_explain_of_a_type_when_nobody_runs_tells_of_the_last_formation_by_number(workshop):
    workshop.procfile("a: exit 3\nb: true\n")

    def told(*formation: str) -> list[str]:
        workshop.start(*formation, "--restart", "max=1").finish()
        return re.findall(r"^(\S+) does not run", workshop.call("explain", "a").stdout, re.MULTILINE)

    assert told("a=10", "b") == [f"a.{number}" for number in range(1, 11)]
    assert told("a=2", "b") == ["a.1", "a.2"]
    assert told("b") == ["a.1", "a.2"]
    assert told("a=3") == ["a.1", "a.2", "a.3"]


def test_explain_knows_a_dyno_whose_supervisor_was_killed_in_its_first_life(workshop):
    workshop.procfile("a: echo here; exec sleep 1000\n")
    never = workshop.call("explain", "a.1")
    assert (never.returncode, never.stderr.endswith("hint: procman list\n")) == (1, True)
    assert workshop.call("start", "--detach", "--wait").returncode == 0
    assert workshop.call("explain", "b.1").stderr.endswith("has never had such a dyno\n  hint: procman ps\n")
    os.kill(json.loads(workshop.call("ps", "--json").stdout)["pid"], signal.SIGKILL)
    poll(lambda: "its supervisor was killed" in workshop.call("ps").stderr)
    for word in ("a.1", "a"):
        told = workshop.call("explain", word).stdout
        assert told.startswith("a.1 may go on, but its supervisor was killed: procman start --detach takes over")
        assert "app[a.1]: here" in told
    assert workshop.call("explain", "b.1").stderr.endswith("hint: procman start --detach\n")
    assert workshop.call("start", "--detach").returncode == 0
    assert workshop.call("explain", "a.1").stdout.startswith("a.1 has been up for ")
    assert workshop.call("shutdown").returncode == 0


def test_explain_of_a_supervisor_that_was_killed_in_a_terminal(workshop):
    workshop.procfile("a: echo here; exec sleep 1000\n")
    running = workshop.start()
    running.wait_for(r"\| here")
    poll(lambda: "app[a.1]: here" in workshop.call("logs").stdout)
    assert running.finish(signal.SIGKILL) == 137
    told = workshop.call("explain", "a.1").stdout
    assert told.startswith("a.1 does not run: its supervisor was killed\n")


def test_explain_keeps_what_was_said_about_errors(workshop):
    workshop.procfile("a: trap '' TERM; echo ready; while :; do sleep 1000; done\nb: no-such-command-here\n")
    running = workshop.start("-t", "0.1", "--restart", "b=never")
    running.wait_for_all(r"a\.1 +\| ready", "command not found", "Not restarted")
    workshop.call("restart", "a")
    told = workshop.call("explain", "a.1").stdout
    assert "Error R12 (Exit timeout)" in told
    assert "no-such-command-here: command not found" in workshop.call("explain", "b.1").stdout
    running.finish(signal.SIGTERM)


def test_explain_of_a_crash_loop_names_the_next_try(workshop):
    workshop.procfile("a: echo why; exit 4\n")
    running = workshop.start("--restart", "heroku")
    running.wait_for("Next try in 10 min")
    told = workshop.call("explain", "a").stdout
    assert told.count("app[a.1]: why") == 2
    assert "heroku[" not in told, "what the lives say is not said again"
    assert "exited with status 4" in told.splitlines()[0]
    assert re.search(r"2 crashes in a row; next try in (9|10)m, or now: procman restart a\.1$", told.splitlines()[0])
    running.finish(signal.SIGTERM)


def test_watch_restarts_only_the_type_concerned(workshop):
    (workshop.directory / "jobs").mkdir()
    workshop.procfile("web: echo life; exec sleep 1000\nworker: echo life; exec sleep 1000\n")
    running = workshop.start("--watch", "worker=jobs/*.py")
    running.wait_for_all("Watching for changes", r"web\.1 +\| life", r"worker\.1 +\| life")
    (workshop.directory / "jobs" / "x.py").write_text("1")
    running.wait_for(r"jobs/x\.py changed: restarting worker\.1")
    running.wait_for(r"worker\.1 .*\| life")
    running.finish(signal.SIGTERM)
    assert running.lines("web.1") == ["life"]
    assert running.lines("worker.1") == ["life", "life"]


def test_watch_reads_a_changed_procfile_again(workshop):
    workshop.procfile("a: echo old; exec sleep 1000\n")
    running = workshop.start("--watch")
    running.wait_for("Watching for changes")
    workshop.procfile("a: echo new; exec sleep 1000\n")
    running.wait_for("Procfile changed: reloaded")
    running.wait_for(r"a\.1 .*\| new")
    running.finish(signal.SIGTERM)
