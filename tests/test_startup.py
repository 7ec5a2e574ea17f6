"""Nothing heavy is imported before the first dyno runs, and little before its first line is shown."""

import subprocess
import sys

HEAVY = {
    "asyncio", "click", "collections", "contextlib", "ctypes", "dataclasses", "dotenv", "enum", "functools", "hashlib",
    "honcho", "importlib", "inspect", "jinja2", "json", "logging", "operator", "pathlib", "re", "selectors", "shlex",
    "shutil", "signal", "socket", "ssl", "subprocess", "tempfile", "threading", "tomllib", "typing", "watchfiles",
}  # fmt: skip
MOST = 64  # modules of our own: each costs a tenth of a millisecond
PROBE = """
import os, sys
sys.path[:] = {path!r}

def tell(*args, **options):
    os.write(2, "\\n".join(sys.modules).encode())
    os._exit(0)

def tell_of_line(fd, buffers, write=os.writev):
    return tell() if b"hello\\n" in b"".join(buffers) else write(fd, buffers)

os.{call} = {tell}
sys.argv = ["procman", "start"]
from procman.cli.main import main
main()
"""


def loaded(workshop, call: str, tell: str) -> set[str]:
    """The modules that are there when a start first makes this call."""
    workshop.procfile("one: echo hello; exec sleep 1000\n")
    program = PROBE.format(path=sys.path, call=call, tell=tell)
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program], cwd=workshop.directory, env=workshop.env, capture_output=True,
        text=True, check=True,
    )  # fmt: skip
    assert workshop.wait_until_gone() == []  # the lifeline ends the dyno, and itself
    return set(done.stderr.split("\n"))


def test_nothing_heavy_comes_before_the_first_dyno(workshop):
    found = loaded(workshop, "posix_spawn", "tell")
    assert "procman.supervisor.supervisor" in found
    assert not found & HEAVY
    assert sum(name.startswith("procman") for name in found) <= MOST


def test_what_serves_clients_comes_after_the_dynos_first_line(workshop):
    found = loaded(workshop, "writev", "tell_of_line")
    assert "_ctypes" in found or sys.platform != "linux"
    assert not found & HEAVY
    assert "procman.control.server" not in found


def test_a_question_needs_no_click(workshop):
    """Nobody answers here, but all that asks is loaded by then."""
    program = (
        f"import sys; sys.path[:] = {sys.path!r}; sys.argv = ['procman', 'ps', '--name', 'nobody', 'web']\n"
        "from procman.cli.main import dispatch\n"
        "status = dispatch(sys.argv[1:]); print(status, *sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program], cwd=workshop.directory, env=workshop.env, capture_output=True,
        text=True, check=True,
    )  # fmt: skip
    status, *found = done.stdout.split()
    assert status == "3"
    assert "procman.control.client" in found
    assert not {"click", "typing", "socket", "selectors", "subprocess", "honcho"} & set(found)
    assert "procman.supervisor.supervisor" not in found
