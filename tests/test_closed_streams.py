"""A listing that cannot be printed, and a directory that is gone, are told in a line; closed outputs hinder nobody."""

import subprocess
import sys

import pytest

from tests.formations import SLEEP

PROCMAN = f"{sys.executable} -m procman"


def shell(workshop, script):
    return subprocess.run(
        ["/bin/sh", "-c", script], cwd=workshop.directory, env=workshop.env, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("verb", ["check", "env", "version"])
def test_a_full_disk_is_told_in_a_line(workshop, verb):
    workshop.procfile(f"a: {SLEEP}\n")
    done = shell(workshop, f"{PROCMAN} {verb} > /dev/full")
    assert (done.returncode, done.stderr) == (1, "procman: cannot print: No space left on device\n")


@pytest.mark.parametrize("words", ["ps", "start", "logs", "stop a", "forever list", "forever app.js", "explain a.1"])
def test_a_directory_that_is_gone_is_told_in_two(workshop, words):
    done = shell(workshop, f"mkdir gone && cd gone && rmdir ../gone && {PROCMAN} {words}")
    told = "procman: cannot work here: the current directory was removed\n  hint: cd ~\n"
    assert (done.returncode, done.stderr) == (1, told) or (words == "forever list" and done.returncode == 0)


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_closed_outputs_hinder_nobody(workshop, closed):
    workshop.procfile("a: echo life > done\n")
    assert shell(workshop, f"{PROCMAN} check {closed}").returncode == 0
    assert shell(workshop, f"{PROCMAN} start --restart on-failure {closed}").returncode == 0
    assert (workshop.directory / "done").read_text() == "life\n"
    assert shell(workshop, f"{PROCMAN} start -x a {closed}").returncode == 1
