"""`procman run`: one command, as if run alone, in the app's environment."""

import os
import signal

import pytest


@pytest.mark.parametrize(
    ("argv", "status", "stdout"),
    [
        (["--", "printf", "%s|", "a b", "$HOME", "*"], 0, "a b|$HOME|*|"),  # several words: untouched
        (["echo $GREETING from $DYNO | cut -c1-14"], 0, "hello from run\n"),  # one word: the shell's
        (["sh", "-c", "exit 7"], 7, ""),
        (["greet", "x  y", "z"], 0, "entry hello x  y z\n"),  # a process type, with arguments
        (["--", "env"], 0, None),
        (["cat"], 0, "from stdin"),
        (["no-such-command"], 127, ""),
    ],
)
def test_run_passes_everything_through(workshop, argv, status, stdout):
    workshop.procfile("greet: echo entry $GREETING\nweb: true\n")
    (workshop.directory / ".env").write_text("GREETING=hello\n")
    done = workshop.call("run", *argv, input="from stdin")
    assert done.returncode == status
    if stdout is not None:
        assert done.stdout == stdout
    else:
        port = f"PORT={int(workshop.env['PORT']) + 200}"  # behind those of the Procfile's two types
        assert {"GREETING=hello", "PYTHONUNBUFFERED=1", port} <= set(done.stdout.splitlines())


def test_a_missing_command_is_named(workshop):
    done = workshop.call("run", "no-such-command", "x")
    assert done.returncode == 127
    assert done.stderr.startswith("procman: cannot run no-such-command: command not found\n")


def test_run_without_a_command_is_a_usage_error(workshop):
    done = workshop.call("run")
    assert done.returncode == 2
    assert "missing argument" in done.stderr


def test_run_works_without_a_procfile(workshop):
    assert workshop.call("run", "echo", "ok").stdout == "ok\n"


def test_signals_reach_the_command_itself(workshop):
    script = "trap 'echo got; exit 9' TERM; echo ready; while :; do sleep 0.01; done"
    running = workshop.procman("run", "--", "sh", "-c", script)
    running.wait_for("ready")
    assert running.finish(signal.SIGTERM) == 9
    assert running.text().endswith("got\n")


def test_a_commands_death_by_signal_is_passed_on(workshop):
    running = workshop.procman("run", "--", "sh", "-c", "kill -KILL $$")
    assert running.finish() == 137


def test_run_uses_the_callers_path_when_env_file_sets_one(workshop):
    (workshop.directory / "bin").mkdir()
    tool = workshop.directory / "bin" / "my-tool"
    tool.write_text("#!/bin/sh\necho tool\n")
    tool.chmod(0o755)
    (workshop.directory / ".env").write_text(f"PATH={workshop.directory}/bin{os.pathsep}{workshop.env['PATH']}\n")
    assert workshop.call("run", "my-tool").stdout == "tool\n"
