"""Nothing heavy is imported before the first dyno runs."""

import subprocess
import sys

HEAVY = {
    "asyncio", "click", "dataclasses", "dotenv", "honcho.export", "inspect", "jinja2", "json", "logging", "pathlib",
    "contextlib", "hashlib", "shutil", "socket", "ssl", "subprocess", "tomllib", "typing", "watchfiles",
}  # fmt: skip
PROBE = """
import os, sys
sys.path[:] = {path!r}

def tell(*args, **options):
    os.write(1, "\\n".join(sys.modules).encode())
    os._exit(0)

os.posix_spawn = tell
sys.argv = ["procman", "start"]
from procman.cli.main import main
main()
"""


def test_nothing_heavy_comes_before_the_first_dyno(workshop):
    workshop.procfile("one: echo hello\n")
    probe = [sys.executable, "-I", "-S", "-c", PROBE.format(path=sys.path)]
    done = subprocess.run(
        probe, cwd=workshop.directory, env=workshop.env, capture_output=True, text=True, check=True
    )
    loaded = set(done.stdout.split("\n"))
    assert "procman.supervisor.supervisor" in loaded
    assert not loaded & HEAVY
    assert workshop.wait_until_gone() == []  # the lifeline ends by itself
