"""A listing that cannot be printed, and a directory that is gone, are told in a line; closed outputs hinder nobody."""

import errno
import os
import signal
import subprocess
import sys

import pytest

from tests.formations import SLEEP

PROCMAN = f"{sys.executable} -m procman"


def shell(workshop, script):
    return subprocess.run(
        ["/bin/sh", "-c", script], cwd=workshop.directory, env=workshop.env, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("verb", ["check", "env", "version", "--version", "logs", "logs --json"])
def test_a_full_disk_is_told_in_a_line(workshop, verb):
    workshop.procfile("a: echo life\n")
    if "logs" in verb:
        workshop.call("start", "--restart", "never")
    done = shell(workshop, f"{PROCMAN} {verb} > /dev/full")
    assert (done.returncode, done.stderr) == (1, "procman: cannot print: No space left on device\n")


@pytest.mark.parametrize("words", ["", "check", "version", "--version", "--help", "help start"])
def test_a_reader_that_has_gone_is_told_by_the_status_alone(workshop, words):
    workshop.procfile("a: echo life\n")
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "procman", *words.split()],
        cwd=workshop.directory, env=workshop.env, stdout=writer, stderr=subprocess.PIPE, check=False,
    )  # fmt: skip
    os.close(writer)
    assert (done.returncode, done.stderr) == (128 + signal.SIGPIPE, b"")


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


@pytest.mark.parametrize("verb", ["run cat", "start --restart on-failure"])
@pytest.mark.parametrize("closed", ["<&-", "<&- >&- 2>&-"])
def test_a_closed_input_is_at_its_end(workshop, verb, closed):
    workshop.procfile("a: cat > done\n")
    assert shell(workshop, f"{PROCMAN} {verb} {closed}").returncode == 0


@pytest.mark.parametrize("flag", ["", "--detach"])
def test_a_start_whose_state_cannot_be_kept_says_so(workshop, flag):
    workshop.procfile(f"a: {SLEEP}\n")
    done = shell(workshop, f"ulimit -f 0; {PROCMAN} start --name mine {flag}")
    home = workshop.directory / ".local/state/procman/apps/mine"
    assert done.stderr.splitlines() == [
        f"procman: cannot keep the state of mine in {home}: {os.strerror(errno.EFBIG)}",
        "  hint: XDG_STATE_HOME=~/somewhere procman start",
    ]
    assert (done.returncode, done.stdout) == (1, "")
