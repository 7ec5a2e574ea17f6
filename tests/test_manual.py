"""The manual page and docs/commands.md are what `--help` says now, and readers of roff find nothing wrong with it."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from procman.cli.group import run
from procman.cli.manual import manual, markdown, prose, roff
from procman.cli.options import OPTIONS, VERBS

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "man" / "procman.1"
COMMANDS = ROOT / "docs" / "commands.md"


def test_the_manual_page_is_current():
    assert PAGE.read_text() == "\n".join(manual()) + "\n", "procman help --man > man/procman.1"


def test_the_page_of_commands_is_current():
    assert COMMANDS.read_text() == "\n".join(markdown()) + "\n", "procman help --markdown > docs/commands.md"


@pytest.mark.parametrize(("flag", "file"), [("--man", PAGE), ("--markdown", COMMANDS)])
def test_the_command_prints_them(workshop, flag, file):
    done = workshop.call("help", flag, env={"COLUMNS": "40"})
    assert (done.returncode, done.stdout) == (0, file.read_text())


def test_help_and_manual_say_the_same(capsys):
    for verb in VERBS:
        assert verb in re.findall(r"^\.SS (\S+)", PAGE.read_text(), re.MULTILINE)
        assert run([verb, "--help"]) == 0
        shown = " ".join(capsys.readouterr().out.split())
        section = COMMANDS.read_text().partition(f"\n## procman {verb}\n")[2].partition("\n## ")[0]
        for option in OPTIONS.get(verb, ()):
            for flag in (*option.flags, *option.off):
                assert flag in shown
                assert f"`{flag}`" in section


@pytest.mark.needs("man")
def test_man_renders_it_without_a_warning():
    done = subprocess.run(
        ["man", "--warnings=all", "--no-justification", "--no-hyphenation", "-P", "cat", "-l", str(PAGE)],
        env={"PATH": os.environ["PATH"], "MANWIDTH": "100", "LC_ALL": "C.UTF-8", "MAN_KEEP_FORMATTING": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    assert "-m, --formation, -c, --concurrency TYPE=N[,…]" in done.stdout
    assert "Fill in ${VAR} in env files" in done.stdout
    assert "procman completion fish > ~/.config/fish/completions/procman.fish" in done.stdout


@pytest.mark.needs("mandoc")
def test_mandoc_finds_nothing_wrong_but_that_no_day_is_given():
    done = subprocess.run(["mandoc", "-T", "lint", str(PAGE)], capture_output=True, text=True, check=False)
    assert [line for line in done.stdout.splitlines() if "missing date" not in line] == []


def test_text_means_itself():
    assert roff(".a 'b' \\n --c `d` ~ ^ …") == "\\&.a \\(aqb\\(aq \\en \\-\\-c \\(gad\\(ga \\(ti \\(ha \\[u2026]"
    assert prose("*a* <b> [c] `d` --e-f x-g _h") == "\\*a\\* \\<b> \\[c\\] \\`d\\` `--e-f` x-g \\_h"
