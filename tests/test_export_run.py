"""What was exported, really run by supervisord and by runit: dynos find what start gives them, and are kept alive."""

import json
import os
import pwd
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.harness import DEADLINE_S, MARK

USER = pwd.getpwuid(os.geteuid()).pw_name
APP = """
import json, os, sys, time
with open("told", "w") as told:  # a FIFO: somebody waits at its other end
    json.dump({"env": dict(os.environ), "argv": sys.argv[1:], "pid": os.getpid(), "cwd": os.getcwd()}, told)
time.sleep(1000)
"""
ENV = """
QUOTES="it's \\"here\\""
LINES="one
two"
COMMENT="a ; b # 100% %(here)s"
DOLLARS='$HOME ${HOME}'
BLANKS="  both sides  "
UNICODE=café
EMPTY=
"""
WORDS = ["a ; b", "# 100%", "it's", "%(here)s"]
SHELL_WORDS = "'a ; b' '# 100%' \"it's\" '%(here)s'"
pytestmark = pytest.mark.slow  # runit and supervisord both wait a second before they start what has ended
needs_runit = pytest.mark.needs("runsvdir")


@pytest.fixture
def shop(workshop):
    workshop.procfile(f"web: exec {sys.executable} app.py {SHELL_WORDS} $PORT\nrelease: migrate\n")
    (workshop.directory / "app.py").write_text(APP)
    (workshop.directory / ".env").write_text(ENV)
    os.mkfifo(workshop.directory / "told")
    workshop.env["LC_ALL"] = "C.UTF-8"
    return workshop


def told(shop) -> dict:
    """What the next dyno says about itself; waits for it."""
    return json.loads((shop.directory / "told").read_text())


def given_by_start(shop) -> dict:
    """The same of `procman start`."""
    running = shop.start()
    found = told(shop)
    assert running.finish(signal.SIGINT) == 130
    return found


def relevant(found: dict) -> dict[str, str]:
    """What the app's files and procman have set, without what a shell or a manager adds."""
    names = {"QUOTES", "LINES", "COMMENT", "DOLLARS", "BLANKS", "UNICODE", "EMPTY", "PATH", "PYTHONUNBUFFERED"}
    names |= {"PORT", "DYNO", "PS", "WEB_PORT", "RELEASE_PORT", "PROCMAN_ENV"}
    return {name: value for name, value in found["env"].items() if name in names}


def export(shop, name: str, *words: str) -> None:
    done = shop.call("export", name, "out", "-a", "shop", "-u", USER, "-l", str(shop.directory / "log"), *words)
    assert (done.stderr, done.returncode) == ("", 0)


def test_supervisord_runs_dynos_as_start_does_and_brings_them_back(shop):
    expected = given_by_start(shop)
    export(shop, "supervisord")
    (shop.directory / "log").mkdir()
    (shop.directory / "main.conf").write_text(
        "[supervisord]\nnodaemon=true\nlogfile=/dev/null\nlogfile_maxbytes=0\n[include]\nfiles=out/*.conf\n"
    )
    supervisord = Path(sys.executable).parent / "supervisord"
    running = shop.procman("-c", "main.conf", program=(sys.executable, str(supervisord)), env={"PATH": "/nowhere"})
    first = told(shop)
    assert relevant(first) == relevant(expected)
    assert first["argv"] == expected["argv"] == [*WORDS, shop.env["PORT"]]
    assert first["cwd"] == str(shop.directory)
    os.kill(first["pid"], signal.SIGKILL)
    second = told(shop)
    assert relevant(second) == relevant(first)
    assert second["pid"] != first["pid"]
    assert running.finish(signal.SIGTERM) == 0
    assert shop.processes() == []


@needs_runit
def test_runit_runs_dynos_as_start_does_and_brings_them_back(shop):
    expected = given_by_start(shop)
    export(shop, "runit")
    bare = {"PATH": os.defpath, MARK: shop.env[MARK]}
    running = shop.procman("out", program=("runsvdir",), env=bare)
    first = told(shop)
    assert relevant(first) == relevant(expected)
    assert first["argv"] == expected["argv"]
    assert first["cwd"] == str(shop.directory)
    os.kill(first["pid"], signal.SIGKILL)
    second = told(shop)
    assert second["pid"] != first["pid"]
    control(shop, "down")
    assert running.finish(signal.SIGHUP) == 111
    assert shop.wait_until_gone() == []


@needs_runit
def test_runit_stops_every_process_of_a_dyno_and_kills_what_stays(shop):
    shop.procfile("worker: trap '' TERM; sleep 1000 & echo $$ $! > told; while :; do wait; done\n")
    (shop.directory / ".procman.toml").write_text('timeout = "1s"\n')
    export(shop, "runit")
    running = shop.procman("out", program=("runsvdir",))
    stubborn, child = map(int, (shop.directory / "told").read_text().split())
    assert {stubborn, child} <= set(shop.processes())
    control(shop, "down", "worker")
    assert not {stubborn, child} & set(shop.processes())
    assert running.finish(signal.SIGHUP) == 111
    assert shop.wait_until_gone() == []


def control(shop, word: str, kind: str = "web") -> None:
    """Tell runit, and wait until it is so."""
    service = str(shop.directory / "out" / f"shop-{kind}-1")
    subprocess.run(["sv", "-w", str(int(DEADLINE_S)), word, service], check=True, capture_output=True)
