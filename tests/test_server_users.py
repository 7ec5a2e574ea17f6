"""As root, every app runs as a user of its own, who reaches nothing of the others; elsewhere it is said what is so."""

import os
import sys
import tempfile
from pathlib import Path

import pytest

import procman
from procman.server.place import FIRST_UID, first_uid
from tests.harness import poll
from tests.platform_server import PlatformServer
from tests.test_server_survival import LISTEN

ROOT = Path(procman.__file__).parent.parent
PACKAGES = Path(pytest.__file__).parent.parent
LOOK = """
echo "who $(id -u) $(pwd)"
for each in "$DATA" "$DATA"/*/ "$DATA"/apps/*/; do ls "$each" 2>&1; done
cat README
exec sleep 1000
"""
PYTHONS = (sys.executable, "/usr/bin/python3")


@pytest.fixture
def server(workshop):
    """In a directory that every user may pass through, which pytest's own are not."""
    with tempfile.TemporaryDirectory(prefix="procman-") as folder:
        Path(folder).chmod(0o711)
        workshop.directory = Path(folder)
        server = PlatformServer(workshop)
        yield server
        server.close()


def usable(env: dict[str, str]) -> str | None:
    """A Python that any user may run, with procman in it."""
    programs = ((path, "-P", "-m", "procman") for path in PYTHONS if os.path.exists(path))
    return next((program[0] for program in programs if first_uid(program, env)[0] is not None), None)


def test_each_app_has_a_user_of_its_own_or_it_is_said_why_not(server):
    env = {"PATH": os.defpath, "PYTHONPATH": f"{ROOT}{os.pathsep}{PACKAGES}"}
    python = usable(env) or sys.executable
    running = server.start(program=(python, "-P", "-m", "procman"), env={"PYTHONPATH": env["PYTHONPATH"]})
    apart = "Apps run as" not in running.text()
    assert apart == (os.geteuid() == 0 and usable(env) is not None)
    uids = {}
    for number, name in enumerate(("alpha", "beta")):
        app = server.create(name)
        server.call("PATCH", f"/apps/{name}/config-vars", {"PY": python, "DATA": str(server.data)})
        server.deploy(name, {"web": LISTEN, "worker": LOOK}, {"README": f"of {name}\n".encode()})
        server.scale(name, web=1, worker=1)
        poll(lambda name=name: set(server.pids(name)) == {"web.1", "worker.1"})
        uids[name] = FIRST_UID + number if apart else os.geteuid()
        home = server.data / "apps" / app["id"]
        words = poll(lambda home=home, name=name: said(home, f"of {name}"))
        assert f"who {uids[name]} " in words
        assert (home.stat().st_uid, home.stat().st_mode & 0o777) == (uids[name], 0o700)
        assert os.stat(f"/proc/{server.supervisor(app['id'])}").st_uid == uids[name]
        if apart:
            assert "owner.key" not in words and "plan.json" not in words
    assert (len(set(uids.values())) == 2) == apart
    server.kill()
    server.start(program=(python, "-P", "-m", "procman"), env={"PYTHONPATH": env["PYTHONPATH"]})
    server.call("DELETE", "/apps/alpha")
    assert poll(lambda: not server.pids("alpha"))
    assert set(server.pids("beta")) == {"web.1", "worker.1"}


def said(home: Path, word: str) -> str:
    text = "".join(path.read_text() for path in (home / "log").glob("log.*"))
    return text if word in text else ""
