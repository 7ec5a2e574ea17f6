"""`procman config` and its verbs: config vars of an app on a server, also in an editor."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.remote_cli import PROCMAN, make_cli, make_demo, make_shared  # noqa: F401 - fixtures


def test_config_vars_are_set_shown_and_removed(cli, demo):
    assert cli("config:set", "-a", demo, "A=1", "B=two words") == (
        "Setting A, B and restarting demo... done, v4\nv4 comes up now: procman ps:wait -a demo\n"
    )
    assert cli("config:get", "-a", demo, "B") == "two words\n"
    assert cli("config", "-a", demo) == "=== demo Config Vars\nA:  1\nB:  two words\n"
    assert cli("config", "-a", demo, "-s") == "A=1\nB='two words'\n"
    assert json.loads(cli("config", "-a", demo, "--json")) == {"A": "1", "B": "two words"}
    assert cli("config:unset", "-a", demo, "A").startswith("Unsetting A and restarting demo... done, v5\n")
    assert cli("config:unset", "-a", demo, "NOPE") == "Nothing changed on demo: NOPE not set.\n"
    assert cli("config:set", "-a", demo, "B=two words") == "Nothing changed on demo: B as before.\n"
    assert cli("config:get", "-a", demo, "A", status=1) == ""
    refused = cli("config:set", "-a", demo, "secret-without-equals", status=2)
    assert "KEY=VALUE is wanted" in refused


@pytest.fixture
def editor(cli, tmp_path):
    """An editor that is the rest of a shell script; its file's name is in ``edited`` afterwards."""

    def write(script):
        path = tmp_path / "editor"
        path.write_text(f'#!/bin/sh\necho "$1" > {tmp_path}/edited\n{script}\n')
        path.chmod(0o755)
        cli.set("VISUAL", str(path))

    write.file = lambda: Path((tmp_path / "edited").read_text().strip())
    return write


def test_config_edit_changes_what_the_editor_changed(cli, demo, editor):
    cli("config:set", "-a", demo, "A=1", "B=2")
    editor('printf "A=1\\nC=3\\n" > "$1"')
    assert cli("config:edit", "-a", demo).startswith("Setting C, unsetting B and restarting demo... done, v5\n")
    assert json.loads(cli("config", "-a", demo, "--json")) == {"A": "1", "C": "3"}
    assert not editor.file().exists()
    editor("true")
    assert cli("config:edit", "-a", demo) == "Nothing changed.\n"


def test_config_edit_keeps_what_was_typed_when_it_cannot_be_used(cli, demo, editor):
    cli("config:set", "-a", demo, "A=1")
    editor('printf "A=1\\nB 2\\n" > "$1"')
    text = cli("config:edit", "-a", demo, status=1)
    assert ".env:2: error: no '='" in text and f"hint: what was typed is in {editor.file()}" in text
    assert editor.file().read_text() == "A=1\nB 2\n" and editor.file().stat().st_mode & 0o777 == 0o600
    editor.file().unlink()
    editor('echo HEROKU_X=1 >> "$1"')
    assert "HEROKU_ is the platform's" in cli("config:edit", "-a", demo, status=1)
    editor.file().unlink()


def test_config_edit_removes_nothing_by_an_empty_file_or_an_editor_that_fails(cli, demo, editor):
    cli("config:set", "-a", demo, "A=1")
    editor(': > "$1"')
    text = cli("config:edit", "-a", demo, status=1)
    assert "the editor left nothing\n  hint: procman config:unset -a demo A" in text
    editor("exit 5")
    assert "ended with status 5" in cli("config:edit", "-a", demo, status=1)
    assert not editor.file().exists()
    for missing in ("no-such-editor -f", "'"):
        cli.set("VISUAL", missing)
        assert f"cannot start the editor '{missing}': No " in cli("config:edit", "-a", demo, status=1)
    assert cli("config:get", "-a", demo, "A") == "1\n"


@pytest.mark.parametrize("signal", ["TERM", "HUP"])
def test_config_edit_that_is_ended_leaves_no_file(cli, demo, editor, signal):
    editor(f"kill -{signal} $PPID\nexec sleep 1000")
    ended = subprocess.run([*PROCMAN, "config:edit", "-a", demo], check=False)
    assert ended.returncode in (128 + 15, 128 + 1) and not editor.file().exists()


def test_config_edit_at_a_terminal_lets_a_mistake_be_mended(cli, demo, editor, tmp_path):
    editor(f'test -e {tmp_path}/again && echo A=1 > "$1" || echo A 1 > "$1"; : > {tmp_path}/again')
    master, slave = os.openpty()
    os.write(master, b"y\n")
    words = [*PROCMAN, "config:edit", "-a", demo]
    ended = subprocess.run(words, stdin=slave, capture_output=True, text=True, check=True)
    for fd in (master, slave):
        os.close(fd)
    assert ".env:1: error: no '='" in ended.stderr and ended.stderr.endswith("\nEdit again? [Y/n] ")
    assert ended.stdout.startswith("Setting A and restarting demo... done") and not editor.file().exists()
