"""Completion as shells ask for it: real bash (zsh and fish where there are), a real formation, and none."""

import json
import os
import shutil
import subprocess

import click
import pytest
from click.shell_completion import get_completion_class

from procman.cli.complete import VARIABLE, rejoin
from procman.cli.options import VERBS
from procman.cli.remote.verbs import REMOTE_VERBS
from tests.harness import DEADLINE_S

# zsh's own completion needs a terminal; what it is told is what counts: descriptions behind a colon, and plain words.
ASK_ZSH = """
compdef() { }
_describe() { print -rl -- "${(@P)3}" }
compadd() { print -rl -- "${(@P)@[-1]}" }
words=("$@"); CURRENT=$#
source ./zsh-script
_procman_completion
"""
ASK_BASH = """
source ./script
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=()
compopt() { echo "compopt $*"; }
_procman_completion procman
printf '%s\\n' "${COMPREPLY[@]}"
"""
PROCFILE = "web: exec sleep 1000\nworker: exec sleep 1000\n"
needs_bash = pytest.mark.needs("bash")


@pytest.fixture
def procman(workshop, tmp_path):
    """The workshop, with a `procman` on the PATH that is this one."""
    script = tmp_path / "bin" / "procman"
    script.parent.mkdir()
    script.write_text(f'#!/bin/sh\nexec {shutil.which("python", path=workshop.env["PATH"])} -m procman "$@"\n')
    script.chmod(0o755)
    workshop.env["PATH"] = f"{script.parent}{os.pathsep}{workshop.env['PATH']}"
    workshop.procfile(PROCFILE)
    (tmp_path / "script").write_text(get_completion_class("bash")(click.Group(), {}, "procman", VARIABLE).source())
    return workshop


def shell(shop, *command: str) -> str:
    """What a shell prints, having nothing to complain about."""
    done = subprocess.run(
        command, cwd=shop.directory, env=shop.env, capture_output=True, text=True, timeout=DEADLINE_S, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def bash(shop, line: str) -> list[str]:
    """What bash would offer at the end of a line, whose words it splits at ``=`` as it does."""
    words = line.replace("=", " = ").split(" ")
    words = [word for word in words[:-1] if word] + ([words[-1]] if not line.endswith("=") else [])
    return shell(shop, "bash", "--norc", "-c", ASK_BASH, "bash", *words).split()


@needs_bash
def test_bash_offers_what_runs(procman):
    assert procman.call("start", "--detach", "-m", "web=2").returncode == 0
    dynos = ["web.1", "web.2", "worker.1"]
    assert bash(procman, "procman restart ") == ["web", "worker", *dynos]
    assert bash(procman, "procman restart web.1 web.") == ["web.2"]
    assert bash(procman, "procman kill -s HUP wo") == ["worker", "worker.1"]
    for asking in ("attach", "explain", "logs --dyno"):
        assert bash(procman, f"procman {asking} ") == dynos
    assert bash(procman, "procman scale ") == ["web=2", "worker=1"]
    assert bash(procman, "procman scale web=") == ["2"]
    assert bash(procman, "procman stop --socket /nowhere ") == []
    (name,) = bash(procman, "procman ps --name ")
    assert name == json.loads(procman.call("ps", "--json").stdout)["name"]
    assert bash(procman, f"procman --name {name} ps web.") == ["web.1", "web.2"]
    assert procman.call("shutdown").returncode == 0
    assert bash(procman, "procman restart ") == []


@needs_bash
@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("procman com", "completion"),
        ("procman forever st", "compopt -o default start stop stopall stopbypid"),
        ("procman forever start app", "compopt -o default"),
        ("procman forever stop ", ""),
        ("procman forever --k", "--killSignal --killTTL --killTree"),
        ("procman forever start --no-c", "--no-color --no-colors"),
        ("procman forever start --killSignal US", "USR1 USR2"),
        ("procman forever --killSignal=US", "USR1 USR2"),
        ("procman forever -p ", "compopt -o dirnames"),
        ("procman forever start -l ", "compopt -o default"),
        ("procman forever --uid ", ""),
        ("procman forever --uid x stopb", "compopt -o default stopbypid"),
        ("procman no-such-verb com", "completion"),
        ("procman start w", "web worker"),
        ("procman start web w", "worker"),
        ("procman start -q web,w", "web,web web,worker"),
        ("procman start -m ", "web=1 worker=1"),
        ("procman start --formation=web=", "1"),
        ("procman start --restart on", "on-failure"),
        ("procman start --restart=he", "heroku"),
        ("procman start --restart=worker=ne", "never"),
        ("procman start --stop-signal web=QU", "QUIT"),
        ("procman start --limit nof", "nofile:"),
        ("procman start --exit-with ", "web worker any none"),
        ("procman start --log-format ", "text json heroku"),
        ("procman start --ex", "--except --exit-with"),
        ("procman start -p ", ""),
        ("procman -d ", "compopt -o dirnames"),
        ("procman check -f Pro", "compopt -o default"),
        ("procman logs --source ", "app heroku"),
        ("procman logs --process-type wo", "worker"),
        ("procman logs --dyno ", ""),
        ("procman kill -s US", "USR1 USR2"),
        ("procman scale ", "web=0 worker=0"),
        ("procman install ", "systemd"),
        ("procman install systemd wo", "worker"),
        ("procman install systemd --system --run-as roo", "root"),
        ("procman completion ", "bash zsh fish"),
        ("procman export su", "supervisord"),
        ("procman export systemd ", "compopt -o dirnames"),
        ("procman export systemd units -t ", "compopt -o dirnames"),
        ("procman help relo", "reload"),
        ("procman run wo", "compopt -o default worker"),
        ("procman ps ", ""),
        ("procman start -d /nowhere ", ""),
    ],
)
def test_bash_offers_what_can_be_known_without_a_formation(procman, line, offered):
    assert sorted(bash(procman, line)) == sorted(offered.split())


@needs_bash
def test_bash_offers_every_verb(procman):
    assert set(bash(procman, "procman ")) <= {*VERBS, *REMOTE_VERBS}
    assert {"start", "ps", "install", "completion", "help"} <= set(bash(procman, "procman "))


@needs_bash
def test_a_broken_procfile_says_nothing_into_the_prompt(procman):
    procman.procfile("\x00 no procfile")
    assert bash(procman, "procman start ") == []


@pytest.mark.needs("bash", "zsh", "fish")
@pytest.mark.parametrize("name", ["bash", "zsh", "fish"])
def test_scripts_are_what_their_shells_can_read(procman, name, tmp_path):
    script = shell(procman, "procman", "completion", name)
    assert f"_PROCMAN_COMPLETE={name}_complete" in script
    (tmp_path / "script").write_text(script)
    shell(procman, name, "-n", str(tmp_path / "script"))


@pytest.mark.needs("fish")
def test_fish_offers_dynos_with_their_states(procman):
    procman.procfile("worker: exec sleep 1000\n")
    assert procman.call("start", "--detach").returncode == 0
    asked = "procman completion fish | source; complete --do-complete 'procman restart w'"
    assert shell(procman, "fish", "--no-config", "-c", asked).split("\n")[:-1] == [
        "worker\tprocess type",
        "worker.1\tup",
    ]
    assert procman.call("shutdown").returncode == 0


@pytest.mark.needs("zsh")
def test_zsh_offers_dynos_with_their_states(procman, tmp_path):
    procman.procfile("worker: exec sleep 1000\n")
    assert procman.call("start", "--detach").returncode == 0
    (tmp_path / "zsh-script").write_text(shell(procman, "procman", "completion", "zsh"))
    offered = shell(procman, "zsh", "-f", "-c", ASK_ZSH, "zsh", "procman", "restart", "w").split("\n")[:-1]
    assert offered == ["worker:process type", "worker.1:up"]
    assert procman.call("shutdown").returncode == 0


WHOLE = {"--restart=h": ["--restart=heroku"], "--log-format=j": ["--log-format=json"], "--quiet=wo": ["--quiet=worker"]}


@pytest.mark.needs("zsh", "fish")
@pytest.mark.parametrize(("word", "offered"), WHOLE.items())
def test_zsh_and_fish_keep_the_flag_of_which_a_value_is_completed(procman, tmp_path, word, offered):
    (tmp_path / "zsh-script").write_text(shell(procman, "procman", "completion", "zsh"))
    zsh = shell(procman, "zsh", "-f", "-c", ASK_ZSH, "zsh", "procman", "start", word).split("\n")[:-1]
    asked = f"procman completion fish | source; complete --do-complete 'procman start {word}'"
    fish = shell(procman, "fish", "--no-config", "-c", asked).split("\n")[:-1]
    assert [one.partition(":")[0] for one in zsh] == [one.partition("\t")[0] for one in fish] == offered


@pytest.mark.parametrize(
    ("variables", "offered"),
    [
        ({"_PROCMAN_COMPLETE": "zsh_complete", "COMP_WORDS": "procman start we", "COMP_CWORD": "2"}, "plain\nweb\n"),
        ({"_PROCMAN_COMPLETE": "fish_complete", "COMP_WORDS": "procman start we", "COMP_CWORD": "we"}, "plain,web\t"),
    ],
)
def test_the_protocols_of_zsh_and_fish(workshop, variables, offered):
    workshop.procfile(PROCFILE)
    done = workshop.call(env=variables)
    assert (done.stdout, done.stderr) == (f"{offered}exec sleep 1000\n", "")


@pytest.mark.parametrize("words", [["tcsh"], ["bash", "zsh"], ["powershell"]])
def test_other_shells_are_refused(workshop, words):
    done = workshop.call("completion", *words)
    assert done.returncode == 2
    assert done.stderr.startswith("procman: cannot complete in ")


@pytest.mark.parametrize(
    ("split", "joined"),
    [
        (["procman", "scale", "web", "=", "2"], ["procman", "scale", "web=2"]),
        (["procman", "scale", "web", "="], ["procman", "scale", "web="]),
        (["procman", "scale", "web", "=", ""], ["procman", "scale", "web=", ""]),
        (["procman", "x", "--a", "=", "b", "=", "c", "d"], ["procman", "x", "--a=b=c", "d"]),
        (["procman", ""], ["procman", ""]),
    ],
)
def test_words_that_bash_took_apart(split, joined):
    assert rejoin(split) == joined
