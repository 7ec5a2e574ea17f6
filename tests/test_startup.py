"""Budgets of `start`: what is not imported before the first dyno runs, what is never imported, and memory."""

import signal
import sys

import pytest

from benchmarks.kernel import field, manager_pids

HEAVY = {
    "asyncio", "click", "dataclasses", "dotenv", "honcho.export", "inspect", "jinja2", "json", "logging", "pathlib",
    "contextlib", "hashlib", "shutil", "socket", "ssl", "subprocess", "tomllib", "typing", "watchfiles",
}  # fmt: skip
NEVER = {
    "asyncio", "click", "ctypes", "dataclasses", "dotenv", "email", "hashlib", "honcho.export", "http", "inspect",
    "jinja2", "logging", "multiprocessing", "sqlite3", "ssl", "starlette", "subprocess", "tempfile", "threading",
    "tomllib", "typing", "urllib.request", "uvicorn", "watchfiles",
}  # fmt: skip
PROBE = """
import os, sys
sys.path[:] = {path!r}

def tell(*args, **options):
    if os.getpid() == supervisor:  # and not one of its helpers
        os.write(1, "\\nMODULES {{}} END\\n".format(" ".join(sys.modules)).encode())
    leave(0)

supervisor, leave = os.getpid(), os._exit
os.{moment} = tell
sys.argv = ["procman", "start"]
from procman.cli.main import main
main()
"""
DYNOS = 10
ANONYMOUS_KIB = 8 * 1024  # of the supervisor and its helpers; what they share with other interpreters is not counted


def probe(workshop, moment: str):
    """A start in the foreground, which tells what it has imported when ``os.MOMENT`` is called, and leaves."""
    text = PROBE.format(path=sys.path, moment=moment)
    return workshop.procman(program=(sys.executable, "-I", "-S", "-c", text))


def modules(running) -> set[str]:
    return set(running.wait_for(r"^MODULES (.*) END$")[1].decode().split(" "))


def test_nothing_heavy_comes_before_the_first_dyno(workshop):
    workshop.procfile("one: echo hello\n")
    loaded = modules(probe(workshop, "posix_spawn"))
    assert "procman.supervisor.supervisor" in loaded
    assert not loaded & HEAVY
    assert workshop.wait_until_gone() == []  # the lifeline ends by itself


def test_what_the_first_end_needs_is_there_before_it_is_looked_for(workshop):
    """Then there may be no descriptor left to read a module by."""
    workshop.procfile("one: echo hello; exec sleep 1000\n")
    assert "procman.supervisor.belonging" in modules(probe(workshop, "waitid"))
    assert workshop.wait_until_gone() == []


def test_what_a_formation_never_imports_even_when_it_is_asked(workshop):
    workshop.procfile("one: echo hello; exec sleep 1000\n")
    (workshop.directory / ".env").write_text("# what most of them look like\nA=1\nB='two words'\n")
    running = probe(workshop, "_exit")
    running.wait_for(r"\| hello")
    assert "one.1" in workshop.call("ps").stdout
    running.signal(signal.SIGTERM)
    loaded = modules(running)
    assert "procman.control.server" in loaded
    assert not loaded & NEVER
    assert workshop.wait_until_gone() == []


def test_ten_dynos_stay_within_the_memory_budget(workshop):
    workshop.procfile("one: echo hello; exec sleep 1000\n")
    (workshop.directory / ".env").write_text("# what most of them look like\nA=1\nB='two words'\n")
    running = workshop.start("-m", f"one={DYNOS}")
    for _ in range(DYNOS):
        running.wait_for(r"\| hello")
    taken = sum(field(f"/proc/{pid}/smaps_rollup", "Pss_Anon:") for pid in manager_pids(running.pid))
    if not taken:
        pytest.skip("this kernel does not tell anonymous memory apart")
    assert taken <= ANONYMOUS_KIB
    assert running.finish(signal.SIGTERM) == 128 + signal.SIGTERM
