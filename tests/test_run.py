"""`procman run`: one command, as if run alone, in the app's environment."""

import os
import signal

import pytest

from procman.cli import run as run_module
from procman.errors import ProcmanError
from procman.supervisor.home import Home
from tests.formations import SLEEP, TWO, begin, socket_of


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


def test_text_is_utf8_whatever_the_locale_says(workshop):
    workshop.procfile("greet: echo héllo 中 $GREETING; exit 3\n")
    (workshop.directory / ".env").write_text("GREETING=é\n")
    plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}  # as a locale of one byte a character
    done = workshop.call("run", "greet", env=plain, encoding="utf-8")
    assert (done.stdout, done.stderr, done.returncode) == ("héllo 中 é\n", "", 3)
    running = workshop.start("--restart", "never", env=plain)
    running.wait_for("greet.1 +\\| héllo 中 é\n")
    assert running.finish() == 3


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


SAY = """printf '%s,' "$GREETING" "$STARTER" "$MINE" "$TERM" "$PORT" "$DYNO"; pwd"""


def said(done) -> list[str]:
    """What SAY said: variables and directory."""
    assert done.returncode == 0, done.stderr
    return done.stdout.rstrip("\n").split(",")


def test_beside_a_running_formation_it_has_that_ones_environment(workshop, tmp_path_factory):
    workshop.env |= {"TERM": "xterm", "STARTER": "of the start"}
    (workshop.directory / ".env").write_text("GREETING=hello\n")
    (workshop.directory / ".env.other").write_text("GREETING=other\n")
    running = begin(workshop, f"web: {SLEEP}\nworker: {SLEEP}\nsay: {SAY}\n", "--name", "shop", "web", "worker")
    port = int(workshop.env["PORT"])
    # What was changed since is not in force, and neither is what this terminal has otherwise.
    (workshop.directory / ".env").write_text("GREETING=changed\nBROKEN='\n")
    workshop.procfile("broken")
    env = {"STARTER": "another", "MINE": "of this terminal", "TERM": "dumb", "PORT": "7"}
    for words in (["--name", "shop", SAY], ["--name", "shop", "say"], ["--socket", socket_of(workshop), SAY]):
        greeting, starter, mine, term, own_port, dyno, place = said(workshop.call("run", *words, env=env))
        assert (greeting, starter, mine, term) == ("hello", "of the start", "of this terminal", "dumb")
        assert (own_port, place) == (str(port + 300), str(workshop.directory))
        assert dyno.startswith("run.")
    # Who asks for other files gets them.
    workshop.procfile("web: true\n")
    assert said(workshop.call("run", "-e", ".env.other", SAY, env=env))[:2] == ["other", "another"]
    running.finish(signal.SIGTERM)
    gone = workshop.call("run", "--name", "shop", "true")
    assert (gone.returncode, "cannot reach shop: it is not running" in gone.stderr) == (3, True)


def test_it_is_found_by_its_directory_and_after_a_reload_has_what_was_reloaded(workshop):
    (workshop.directory / ".env").write_text("GREETING=hello\n")
    running = begin(workshop, TWO)
    (workshop.directory / ".env").write_text("GREETING=changed\n")
    assert said(workshop.call("run", SAY))[0] == "hello"
    assert workshop.call("reload").returncode == 0
    assert said(workshop.call("run", SAY))[0] == "changed"
    running.finish(signal.SIGTERM)
    (workshop.directory / ".env").write_text("GREETING=by the files\n")
    assert said(workshop.call("run", SAY))[0] == "by the files"


def test_any_bytes_come_through_the_socket(workshop):
    workshop.env["ODD"] = "caf\udce9 \u00fc \n end"
    running = begin(workshop, TWO)
    del workshop.env["ODD"]
    assert workshop.call("run", "--", "sh", "-c", "printf %s \"$ODD\" | od -An -c").stdout.split() == [
        *"caf", "351", "303", "274", "\\n", *"end",
    ]
    running.finish(signal.SIGTERM)


def test_a_supervisor_that_does_not_answer_is_told_of(workshop, monkeypatch):
    running = begin(workshop, TWO)
    os.kill(running.pid, signal.SIGSTOP)
    monkeypatch.setattr(run_module, "ANSWER_S", 0.1)
    apps, name = os.path.split(os.path.dirname(socket_of(workshop)))
    with pytest.raises(ProcmanError, match=r"cannot ask .* for its environment: it does not answer"):
        run_module.of_running(Home(apps, name), "", {}, needed=False)
    os.kill(running.pid, signal.SIGCONT)
    running.finish(signal.SIGTERM)
