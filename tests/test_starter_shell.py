"""The shell that a served dyno runs in: what it reads first, what reaches the command, and how it ends."""

import os
import signal

import pytest

from procman.supervisor.starter import HELD, dyno_env, target_of
from procman.supervisor.starter_isolation import Way
from tests.isolated import MOUNT, make_ground  # noqa: F401 - a fixture


@pytest.mark.parametrize("way", Way)
def test_a_dyno_begins_as_a_login_shell_does_on_heroku(ground, way):
    ground.write(
        {
            ".profile.d/010_b.sh": 'export PATH="$HOME/bin:$PATH"; echo b $GREETING; export GREETING=profile',
            ".profile.d/005_a.sh": "echo a; hidden=seen",
            ".profile.d/notes.txt": "echo never",
            ".profile": 'echo profile "$PATH"; export LAST=yes',
            "bin/tool": '#!/bin/sh\necho tool "$1" $GREETING $LAST $DYNO\n',
        }
    )
    os.chmod(f"{ground.slug}/bin/tool", 0o755)
    isolation = ground.permit(way)
    home = target_of(isolation, ground.slug, MOUNT)
    ended = ground.run(
        isolation,
        'GREETING=$GREETING-prefixed tool $PORT | sort && echo "$hidden" $# "$HOME" "$PWD"',
        env={"GREETING": "config", "HOME": "/wrong", "PORT": "1"},
    )
    assert ended == (
        0,
        f"a\nb config\nprofile {home}/bin:/usr/local/bin:/usr/bin:/bin\n"
        f"tool 5000 profile-prefixed yes web.1\nseen 0 {home} {home}\n",
    )


def test_config_vars_overrule_the_platforms_own_but_not_what_names_the_dyno():
    env = dyno_env(
        {"PATH": "/app/bin", "LANG": "de_DE", "DYNO": "me", "PORT": "1", "HOME": "/", "A": "b"}, "web.2", 7, "/app"
    )
    assert env == {"PATH": "/app/bin", "LANG": "de_DE", "DYNO": "web.2", "PORT": "7", "HOME": "/app", "A": "b"}
    assert dyno_env({}, "web.1", 7, "/app")["PATH"] == "/usr/local/bin:/usr/bin:/bin"


@pytest.mark.parametrize("way", Way)
def test_variables_that_steer_the_loader_reach_the_dyno_and_none_of_its_helpers(ground, way):
    ended = ground.run(
        ground.permit(way),
        f"env | grep -c {HELD}; echo $LD_PRELOAD, $LD_LIBRARY_PATH",
        env={"LD_PRELOAD": "/app/lib/none.so", "LD_LIBRARY_PATH": "/app/x y"},
    )
    lines = [line for line in ended.output.splitlines() if not line.startswith("ERROR: ld.so")]
    assert lines == ["0", "/app/lib/none.so, /app/x y"]
    assert ended.output.count("ERROR: ld.so") == 2, "helpers were steered too"  # env and grep, of the dyno itself


@pytest.mark.parametrize(
    ("command", "status"),
    [("exit 3", 3), ("false", 1), ("sh -c 'kill -9 $$'", 137), ("no-such-program", 127), ("kill -TERM $$; :", 0)],
)
def test_the_status_is_the_shells(ground, command, status):
    assert ground.run(ground.require(), command).status == status


# A shell in ``wait`` may find the end of its child before it heeds its own signal, which was sent in the same stroke:
# then ``wait`` came to its end, with 0. What stands behind it is not run either way. To signal the shell first would
# mean to signal it twice, or the group not at one stroke, and then a process could be forked between.
WAITED = (143, 0)


@pytest.mark.parametrize(
    ("command", "statuses"),
    [
        ("sh -c 'echo ready; sleep 1000'", (143,)),
        ("sh -c 'trap \"echo bye; exit 0\" TERM; echo ready; read forever' && echo not reached", (0,)),
        ("exec sh -c 'trap \"exit 5\" TERM; echo ready; read forever'", (5,)),
        ("sleep 1000 & echo ready; wait; echo not reached", WAITED),
        ("sh -c 'trap \"echo bye; exit 0\" TERM; echo ready; sleep 1000 & wait' & wait; echo not reached", WAITED),
    ],
)
def test_sigterm_to_all_ends_the_dyno_with_the_status_of_its_program(ground, command, statuses):
    def deed():
        dyno = ground.start(ground.isolation, command)
        dyno.wait_for("^ready$")
        dyno.signal(signal.SIGTERM)
        return dyno.end()

    ground.require()
    ended = ground.as_user(deed)
    assert ended[0] in statuses
    assert "not reached" not in ended[1]
    assert ("bye" in ended[1]) == ("bye" in command)


def test_a_shell_that_was_told_while_it_waits_waits_for_its_children_and_has_ended_by_the_signal(ground):
    def deed():
        command = "sh -c 'trap \"\" TERM; echo ready; read word; echo $word' <&0 & wait; echo not reached"
        dyno = ground.start(ground.isolation, command)
        dyno.wait_for("^ready$")
        dyno.signal(signal.SIGTERM)
        while is_pending(dyno.pid, signal.SIGTERM):
            os.sched_yield()
        dyno.tell("done")
        return dyno.end()

    ground.require()
    assert ground.as_user(deed) == [143, "ready\ndone\n"]


def is_pending(pid: int, signum: int) -> bool:
    """Whether a process has not been interrupted yet by a signal that it was sent."""
    with open(f"/proc/{pid}/status", "rb") as file:
        return bool(int(file.read().partition(b"ShdPnd:")[2].split()[0], 16) >> (signum - 1) & 1)


def test_the_shell_waits_while_its_program_finishes_its_work(ground):
    def deed():
        dyno = ground.start(
            ground.isolation, "sh -c 'trap \"echo noticed\" TERM; echo ready; until read a; do :; done; echo $a'; :"
        )
        dyno.wait_for("^ready$")
        dyno.signal(signal.SIGTERM)
        dyno.wait_for("^noticed$")
        dyno.tell("done")
        return dyno.end()

    ground.require()
    assert ground.as_user(deed) == [0, "ready\nnoticed\ndone\n"]


def test_the_pid_that_was_spawned_is_the_shells_and_nothing_waits_above_it(ground):
    def deed():
        dyno = ground.start(ground.isolation, "echo $$ $PPID; tr '\\0' ' ' </proc/$$/cmdline; echo; read end")
        dyno.wait_for("read end \n")
        dyno.tell("")
        return dyno.pid, os.getpid(), dyno.end()

    ground.require()
    pid, parent, (status, output) = ground.as_user(deed)
    assert output.startswith(f"{pid} {parent}\n")
    assert " -c trap" in output and status == 0
