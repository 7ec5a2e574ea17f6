"""One part of a push is killed: git that takes it, git that unpacks it, the build, HAProxy. The push says so, what ran
goes on, the next push is good, and nothing is left lying about.
"""

import contextlib
import os
import re
import signal
import struct
import threading

import httpx
import pytest

from procman.gitpush.transport import KILLED
from tests.deploy_site import DeploySite, Gate, Visitor, page, write
from tests.harness import DEADLINE_S, poll
from tests.proc import children, command
from tests.test_deploy_killed import Push, check, find

ZEROS, SOME = "0" * 40, "1" * 40
MANY = 5_000  # objects: so many are not unpacked one by one


@pytest.fixture(scope="module")
def site():
    site = DeploySite()
    try:
        site.start()
        site.server.create("page")
        site.server.call("PATCH", "/apps/page/features/runtime-dyno-metadata", {"enabled": True})
        site.clones_of_page = site.clone(tree=page("0"))
        site.clones_of_page.git("remote", "add", "heroku", site.url("page"))
        site.push(site.clones_of_page)
        yield site
    finally:
        site.close()


@pytest.fixture
def clone(site):
    """The app's work tree. After each test there is nothing but what was there before."""
    yield site.clones_of_page
    poll(lambda: not left(site), lambda: str(left(site)))


def left(site) -> list[str]:
    """What is there of pushes and builds: processes, folders, locks."""
    data = site.server.data
    found = [str(path) for path in (data / "repos").rglob("*") if path.suffix == ".lock" or "tmp_objdir" in path.name]
    found += [str(path) for folder in ("builds", "sources") for path in (data / folder).iterdir()]
    found += [str(path) for path in (data / "slugs").iterdir() if path.suffix == ".part"]
    return [path for path in found if not re.search(r"/repos/[^/]*\.lock$", path)] + working(site)


def working(site) -> list[str]:
    """Processes of the server's that are neither the server, a supervisor nor HAProxy."""
    return [line for line in map(command, site.server.processes()) if re.search(r"^git |procman\.builds|gitpush", line)]


def child_of(parent: int, word: str) -> int | None:
    """The pid of a process with that word in its command line, whose parent this is."""
    return next((pid for pid in children(parent) if word in command(pid)), None)


def words(site) -> tuple[str, str]:
    """What the app shows, and what its next push shall show."""
    now = site.visit("page").text.split()[0]
    return now, str(int(now) + 1)


def waiting_buildpack(site, gate: Gate) -> str:
    """One whose builds wait at the gate; its path."""
    pack = site.base / "waiting"
    for name, text in (("detect", "echo waiting"), ("compile", gate.command), ("release", "")):
        path = pack / "bin" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/bin/bash\n{text}\n")
        path.chmod(0o755)
    return str(pack)


def choose(site, buildpacks: list[dict]) -> None:
    site.server.call("PUT", "/apps/page/buildpack-installations", {"updates": buildpacks})


def release_goes_on(site, clone, word: str) -> None:
    """The next push is good."""
    assert "Released v" in site.push(clone)
    assert check(site, (word,)) == word


def push_and_kill(site, clone, word: str, program: str) -> str:
    """Push, kill a program while the build is on its way, and let that go on; what the one who pushed was told."""
    gate = Gate()
    choose(site, [{"buildpack": waiting_buildpack(site, gate)}])
    write(clone, {"word": word})
    push = Push(clone)
    gate.wait()
    os.kill(find(site, program, push), signal.SIGKILL)
    text = push.end()
    gate.open()
    choose(site, [])
    assert push.process.returncode != 0
    return text


def test_git_that_takes_the_push_is_killed(site, clone):
    before, (old, new) = site.current("page"), words(site)
    assert KILLED[1:].decode().strip() in push_and_kill(site, clone, new, "git")
    check(site, (old, new))  # the deploy goes on without its audience, as on Heroku
    assert site.current("page") in (before, before + 1)
    release_goes_on(site, clone, new)


def test_git_that_unpacks_the_push_is_killed(site, clone):
    """A pack stops half-way, its unpacker is killed, and the pusher hears of it from git."""
    before, halfway, killed = site.releases("page"), threading.Event(), threading.Event()
    command = f"{ZEROS} {SOME} refs/heads/main\0 report-status\n".encode()

    def pack():
        yield b"%04x%b0000" % (len(command) + 4, command) + b"PACK" + struct.pack(">II", 2, MANY)
        halfway.set()
        assert killed.wait(DEADLINE_S)

    said: list[httpx.Response] = []

    def push():
        with httpx.Client(timeout=DEADLINE_S, trust_env=False, auth=("", site.server.key)) as client:
            headers = {"Content-Type": "application/x-git-receive-pack-request"}
            url = f"http://127.0.0.1:{site.server.port}/page.git/git-receive-pack"
            said.append(client.post(url, content=pack(), headers=headers))

    pusher = threading.Thread(target=push)
    pusher.start()
    assert halfway.wait(DEADLINE_S)
    receiver = poll(lambda: find(site, "git", None))
    os.kill(poll(lambda: child_of(receiver, "index-pack")), signal.SIGKILL)
    killed.set()
    pusher.join(DEADLINE_S)
    assert b"unpack index-pack abnormal exit" in said[0].content
    assert b"ng refs/heads/main" in said[0].content
    assert site.releases("page") == before
    _, new = words(site)
    write(clone, {"word": new})
    release_goes_on(site, clone, new)


def test_the_build_is_killed(site, clone):
    before, (old, new) = site.releases("page"), words(site)
    text = push_and_kill(site, clone, new, "compiler")
    assert re.search(r"!\s+.*(killed|SIGKILL)", text), text
    assert site.releases("page") == before
    assert words(site)[0] == old
    release_goes_on(site, clone, new)


def test_haproxy_is_killed(site, clone):
    """The push does not notice; who visits meanwhile waits for a moment or is refused, and never sent elsewhere."""
    old, new = words(site)
    write(clone, {"word": new})
    push = Push(clone)
    push.read_to("Building on")
    with Visitor(site, "page") as visitor:
        for pid in routers(site):
            with contextlib.suppress(ProcessLookupError):  # a worker ends with its master
                os.kill(pid, signal.SIGKILL)
        text = push.end()
        assert push.process.returncode == 0, text
        poll(lambda: visitor.answers[-1] == (200, f"{new} -"))
    assert {status for status, _ in visitor.lost} <= {0}
    assert {text for status, text in visitor.answers if status == 200} <= {f"{old} -", f"{new} -"}
    poll(lambda: len(routers(site)) == 2, lambda: "a master and a worker")
    assert check(site, (new,)) == new


def routers(site) -> list[int]:
    return [pid for pid in site.server.processes() if "haproxy" in command(pid)]
