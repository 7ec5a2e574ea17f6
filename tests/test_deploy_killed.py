"""Whoever has a part in a push is killed at any moment of it: there is the old release or the new one, and complete.

``PROCMAN_KILLS`` says how often, ``PROCMAN_SEED`` in which order; a failure names its round.
"""

import contextlib
import os
import random
import select
import signal
import sqlite3

import pytest

from tests.deploy_site import SERVE, DeploySite, Visitor, page, write
from tests.harness import poll
from tests.proc import command, environment, parent

ROUNDS = int(os.environ.get("PROCMAN_KILLS", "7"))
SEED = int(os.environ.get("PROCMAN_SEED", "1"))
MOMENTS = (
    "Compressing source", "Building on", "Procfile found", "app detected", "Discovering process types",
    "Compressing...", "Done: ", "Launching", "Released v", "Running release", "migrated", "Verifying deploy",
)
VICTIMS = ("server", "git", "server", "hook", "server", "client", "keeper", "compiler")


@pytest.fixture
def site():
    site = DeploySite()
    site.start()
    yield site
    site.close()


class Push:
    """A push that is watched line by line."""

    def __init__(self, clone) -> None:
        self.process = clone.popen("push", "--force", "heroku", "main", text=False, start_new_session=True)
        self.seen = b""

    def read_to(self, word: str) -> None:
        """Until this was shown, or all is."""
        while word.encode() not in self.seen and (chunk := os.read(self.process.stdout.fileno(), 4096)):
            self.seen += chunk

    def end(self) -> str:
        rest, _ = self.process.communicate(timeout=60)
        return (self.seen + rest).decode()


def find(site, victim: str, push: Push) -> int | None:
    """The victim's pid, if it is there at this moment."""
    if victim == "server":
        return site.server.running.pid
    if victim == "client":
        return push.process.pid
    data = str(site.server.data)
    builders = []
    for pid in sorted(map(int, filter(str.isdigit, os.listdir("/proc")))):
        words = command(pid)
        if victim == "git" and "receive-pack" in words and data in words:
            return pid
        socket = environment(pid).get("PROCMAN_SOCKET", "") if "procman.gitpush.hook" in words else ""
        if victim == "hook" and socket.startswith(data):
            return pid
        if "procman.builds" in words and data in words:
            builders.append(pid)
    chosen = [pid for pid in builders if (parent(pid) in builders) == (victim == "compiler")]
    return chosen[0] if chosen and victim in ("keeper", "compiler") else None


def kill(site, victim: str, push: Push) -> str:
    """Kill it; who was killed, perhaps nobody."""
    pid = find(site, victim, push)
    if pid is None:
        return f"{victim} (not there)"
    if victim == "client":
        os.killpg(pid, signal.SIGKILL)
    elif victim == "server":
        site.server.kill()
    else:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return victim


def settled(site) -> bool:
    """Nothing is being built, rolled out, or ended."""
    found = site.server.call("GET", "/apps/page/builds") + site.server.call("GET", "/apps/page/releases")
    return "pending" not in {row["status"] for row in found} and not os.listdir(site.server.data / "builds")


def check(site, words: tuple[str, str]) -> str:
    """What must hold once all has settled; the word that is served."""
    poll(lambda: settled(site), lambda: f"{site.releases('page')} {os.listdir(site.server.data / 'builds')}")
    current = site.current("page")
    dynos = poll(lambda: [env for env in [site.server.roots()] if len(env) == 1], lambda: str(site.server.roots()))[0]
    assert (dynos[0]["DYNO"], dynos[0]["HEROKU_RELEASE_VERSION"]) == ("web.1", f"v{current}")
    poll(lambda: [row["release"]["version"] for row in site.server.dynos("page").values()] == [current])
    word = site.visit("page").text.split()[0]
    assert word in words
    rows = sqlite3.connect(f"file:{site.server.data}/procman.db?mode=ro", uri=True)
    try:
        ready = {row[0] for row in rows.execute("SELECT id FROM slugs WHERE state = 'ready'")}
        text = "SELECT slug_id FROM releases JOIN apps ON apps.release_id = releases.id WHERE status = 'succeeded'"
        (slug,) = rows.execute(text).fetchone()
    finally:
        rows.close()
    assert (site.server.data / "slugs" / slug / "word").read_text() == word
    wanted = sorted(name for each in ready for name in (each, f"{each}.tgz"))
    poll(lambda: sorted(os.listdir(site.server.data / "slugs")) == wanted)
    return word


def test_whatever_is_killed_the_old_release_or_the_new_one_is_there_and_the_push_can_be_repeated(site):
    chance = random.Random(SEED)
    site.server.create("page")
    site.server.call("PATCH", "/apps/page/features/runtime-dyno-metadata", {"enabled": True})
    clone = site.clone(tree=page("0", procfile=f"web: {SERVE}\nrelease: echo migrated\n"))
    clone.git("remote", "add", "heroku", site.url("page"))
    site.push(clone)
    story = []
    with Visitor(site, "page") as visitor:
        for number in range(1, ROUNDS + 1):
            moment, victim = chance.choice(MOMENTS), VICTIMS[number % len(VICTIMS)]
            commit = write(clone, {"word": f"{number}"})
            push = Push(clone)
            push.read_to(moment)
            select.select([], [], [], chance.random() * 0.05)
            story.append(f"{number}: {kill(site, victim, push)} at {moment}")
            said = push.end()
            if victim == "server":
                site.start()
            try:
                word = check(site, (f"{number - 1}", f"{number}"))
                moved = commit in clone.git("ls-remote", "heroku")
                assert word == f"{number}" or not moved, "the branch moved without its release"
                assert "Everything up-to-date" in site.push(clone) if moved else "Released" in site.push(clone)
                assert check(site, (f"{number}",)) == f"{number}"
            except AssertionError as error:
                raise AssertionError(f"{error}\nrounds: {story}\nthe push said:\n{said}") from error
    assert visitor.lost == [], story


def test_locks_and_objects_that_a_killed_git_has_left_are_no_hindrance(site):
    clone = site.clone("page", page())
    site.push(clone)
    [repository] = (site.server.data / "repos").glob("*.git")
    (repository / "refs/heads/main.lock").touch()
    write(clone, {"word": "two"})
    site.push(clone)
    assert site.visit("page").text == "two -\n"
    site.server.kill()
    for name in ("refs/heads/main.lock", "packed-refs.lock", "HEAD.lock", "objects/tmp_objdir-incoming-x/pack"):
        (repository / name).parent.mkdir(exist_ok=True)
        (repository / name).touch()
    site.start()
    assert not [path for path in repository.rglob("*") if path.suffix == ".lock" or "tmp_objdir" in path.name]
    write(clone, {"word": "three"})
    site.push(clone)
    assert site.visit("page").text == "three -\n"
