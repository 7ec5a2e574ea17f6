"""Real git pushes through the real transport and hook; behind them somebody who says what the platform would."""

import base64
import contextlib
import fcntl
import gzip
import os
import re
import shutil
import signal
import urllib.error
import urllib.request

import pytest

from procman.errors import ProcmanError
from procman.gitpush import transport
from procman.gitpush.updates import Update, decide
from tests.git_server import KEY, Clone, GitServer
from tests.proc import children, command

ZERO, ONE, TWO = "0" * 40, "1" * 40, "2" * 40


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    server = GitServer(tmp_path_factory.mktemp("git"))
    yield server
    server.close()


@pytest.fixture
def server(shared, tmp_path):
    """The module's server with an empty repository."""
    shared.repository = tmp_path / "demo.git"
    shared.pushes.clear()
    shared.output, shared.ok = b"-----> Building\n", True
    shared.gate.set()
    while shared.begun.acquire(blocking=False):
        pass
    return shared


def pid_of(*words: str) -> int:
    """The process whose command line has all the words."""
    for name in filter(str.isdigit, os.listdir("/proc")):
        if all(word in command(int(name)) for word in words):
            return int(name)
    raise AssertionError(f"nothing runs with {words}")


@pytest.fixture
def clone(tmp_path):
    return Clone(tmp_path / "clone")


def test_a_push_shows_what_the_server_says_and_moves_the_branch(server, clone):
    commit = clone.commit(Procfile="web: serve\n")
    text = clone.git("push", server.url(), "main")
    assert "remote: -----> Building" in text
    assert "* [new branch]      main -> main" in text
    [push] = server.pushes
    assert (push["commit"], push["branch"], push["previous"]) == (commit, "main", ZERO)
    assert "GIT_QUARANTINE_PATH" in push["environment"]
    assert clone.git("ls-remote", server.url()).splitlines()[0] == f"{commit}\tHEAD"


def test_a_failed_deploy_rejects_the_push_which_can_be_repeated(server, clone):
    clone.commit(Procfile="web: serve\n")
    server.ok = False
    text = clone.git("push", server.url(), "main", status=1)
    assert "! [remote rejected] main -> main (pre-receive hook declined)" in text
    assert clone.git("ls-remote", server.url()) == ""
    server.ok = True
    clone.git("push", server.url(), "main")
    assert len(server.pushes) == 2


def test_other_branches_and_tags_are_stored_without_a_build(server, clone):
    clone.commit(Procfile="web: serve\n")
    clone.git("tag", "-a", "v1", "-m", "one")
    for refs in (["main:topic"], ["v1"]):
        text = clone.git("push", server.url(), *refs)
        assert "remote: Pushed to branch other than [main, master], skipping build." in text
    assert server.pushes == []


def test_several_refs_in_one_push_build_only_the_deploy_branch(server, clone):
    clone.commit(Procfile="web: serve\n")
    text = clone.git("push", server.url(), "main:master", "main:topic")
    assert "skipping build" in text
    assert [push["branch"] for push in server.pushes] == ["master"]
    assert "HEAD branch: master" in clone.git("remote", "show", server.url())


def test_a_deploy_branch_cannot_be_deleted_but_another_can(server, clone):
    clone.commit(Procfile="web: serve\n")
    clone.git("push", server.url(), "main", "main:topic")
    text = clone.git("push", server.url(), ":main", status=1)
    assert "Push rejected, cannot delete main branch" in text
    clone.git("push", server.url(), ":topic")
    assert clone.git("ls-remote", "--heads", server.url()).count("\n") == 1


def test_force_pushes_empty_commits_and_orphans_are_deployed(server, clone):
    clone.commit(Procfile="web: one\n")
    clone.git("push", server.url(), "main")
    clone.git("commit", "--quiet", "--amend", "-m", "other")
    clone.git("push", server.url(), "main", status=1)
    clone.git("push", "--force", server.url(), "main")
    clone.git("commit", "--quiet", "--allow-empty", "-m", "empty")
    clone.git("push", server.url(), "main")
    clone.git("checkout", "--quiet", "--orphan", "fresh")
    clone.commit(Procfile="web: two\n")
    clone.git("push", "--force", server.url(), "fresh:main")
    assert len(server.pushes) == 4
    assert "Everything up-to-date" in clone.git("push", server.url(), "fresh:main")
    assert len(server.pushes) == 4


def test_an_annotated_tag_pushed_as_branch_is_refused_before_the_deploy(server, clone):
    clone.commit(Procfile="web: serve\n")
    clone.git("tag", "-a", "v1", "-m", "one")
    text = clone.git("push", server.url(), "v1:refs/heads/main", status=1)
    assert "Push rejected, refs/heads/main cannot be a tag: git push heroku 'main^{commit}:main'" in text
    assert server.pushes == []


def test_a_shallow_clone_can_push(server, clone, tmp_path):
    clone.commit(a="1")
    commit = clone.commit(b="2")
    shallow = Clone(tmp_path / "shallow")
    shallow.git("fetch", "--quiet", "--depth=1", f"file://{clone.directory}", "main")
    shallow.git("reset", "--quiet", "--hard", "FETCH_HEAD")
    shallow.git("push", server.url(), "HEAD:refs/heads/main")
    assert [push["commit"] for push in server.pushes] == [commit]


def test_a_pack_of_several_megabytes_comes_in_chunks(server, clone):
    clone.commit(blob=os.urandom(3 << 20))
    clone.git("push", server.url(), "main")
    assert len(server.pushes) == 1


def test_a_clone_gets_the_deployed_branch_and_a_packed_request_is_read(server, clone, tmp_path):
    clone.commit(Procfile="web: serve\n")
    clone.git("push", server.url(), "main:master")
    clone.git("clone", "--quiet", server.url(), str(tmp_path / "copy"))
    assert (tmp_path / "copy" / "Procfile").read_text() == "web: serve\n"
    body = gzip.compress(b"0014command=ls-refs\n0000")
    headers = {
        "Content-Type": "application/x-git-upload-pack-request",
        "Content-Encoding": "gzip",
        "Git-Protocol": "version=2",
        "Authorization": "Basic " + base64.b64encode(f"x:{KEY}".encode()).decode(),
    }
    url = f"http://127.0.0.1:{server.outer.port}/demo.git/git-upload-pack"
    with urllib.request.urlopen(urllib.request.Request(url, body, headers)) as answer:
        assert b"refs/heads/master" in answer.read()


@pytest.mark.parametrize(
    ("name", "key", "words"),
    [
        ("demo", "wrong", "Authentication failed"),
        ("other", KEY, "not found"),
        ("..%2fdemo", KEY, "not found"),
        ("a/demo", KEY, "not found"),
    ],
)
def test_who_may_not_push_is_told_so(server, clone, name, key, words):
    clone.commit(a="1")
    assert words in clone.git("push", server.url(name, key), "main", status=128)
    assert server.pushes == []


def test_a_second_push_waits_for_the_first_and_is_refused_when_it_is_stale(server, clone, tmp_path):
    clone.commit(a="1")
    server.gate.clear()
    first = clone.popen("push", server.url(), "main")
    assert server.begun.acquire(timeout=60)
    other = Clone(tmp_path / "other")
    other.commit(b="2")
    second = other.popen("push", "--progress", server.url(), "main")
    while "Another deploy of demo is running" not in (line := second.stdout.readline()):
        assert line, "the second push ended"
    assert len(server.pushes) == 1
    server.gate.set()
    assert first.wait(60) == 0
    text, _ = second.communicate(timeout=60)
    assert second.returncode == 1
    assert re.search(r"main was pushed to meanwhile \(it is at [0-9a-f]{8}\): fetch first", text)
    first.stdout.close()


def test_a_second_push_that_holds_what_the_first_brought_has_only_to_be_repeated(server, clone):
    clone.commit(a="1")
    server.gate.clear()
    first = clone.popen("push", server.url(), "main")
    assert server.begun.acquire(timeout=60)
    clone.commit(a="2")
    second = clone.popen("push", "--progress", server.url(), "main")
    while "Another deploy of demo is running" not in (line := second.stdout.readline()):
        assert line, "the second push ended"
    server.gate.set()
    assert first.wait(60) == 0
    text, _ = second.communicate(timeout=60)
    assert re.search(r"main was pushed to meanwhile \(it is at [0-9a-f]{8}\): push again", text)
    clone.git("push", server.url(), "main")


def test_a_repository_that_goes_in_the_middle_of_a_push_is_no_fault_of_the_servers(server, clone, caplog):
    clone.commit(a="1")
    server.gate.clear()
    push = clone.popen("push", server.url(), "main")
    assert server.begun.acquire(timeout=60)
    shutil.rmtree(server.repository)
    server.gate.set()
    push.communicate(timeout=60)
    assert push.returncode == 1
    assert not [record for record in caplog.records if record.exc_info]


def test_a_client_that_goes_away_does_not_stop_the_deploy(server, clone):
    commit = clone.commit(a="1")
    server.gate.clear()
    push = clone.popen("push", server.url(), "main", start_new_session=True)
    assert server.begun.acquire(timeout=60)
    os.killpg(push.pid, signal.SIGKILL)
    push.communicate()
    server.gate.set()
    with open(server.directory / "demo.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # free when git has ended
    assert commit in clone.git("ls-remote", server.url())


def test_a_killed_push_gives_the_lock_back(server, clone, tmp_path):
    clone.commit(a="1")
    server.gate.clear()
    push = clone.popen("push", server.url(), "main")
    assert server.begun.acquire(timeout=60)
    git = pid_of("receive-pack", str(server.repository))
    for pid in (git, *children(git)):
        with contextlib.suppress(ProcessLookupError):  # the hook may have seen git end
            os.kill(pid, signal.SIGKILL)
    text, _ = push.communicate(timeout=60)
    assert push.returncode
    assert "git was killed on the server: push again" in text
    server.gate.set()
    other = Clone(tmp_path / "other")
    other.commit(b="2")
    other.git("push", server.url(), "main")


def test_a_push_that_cannot_begin_is_told_and_leaves_no_lock_open(server, monkeypatch):
    def scarce(repository):
        raise ProcmanError("cannot run git: Resource temporarily unavailable")

    monkeypatch.setattr(transport, "branches", scarce)
    key = base64.b64encode(f"x:{KEY}".encode()).decode()
    url = server.url().replace(f"heroku:{KEY}@", "")
    request = urllib.request.Request(f"{url}/git-receive-pack", b"0000", {"Authorization": f"Basic {key}"})
    with pytest.raises(urllib.error.HTTPError, match="500") as refused:
        urllib.request.urlopen(request)
    assert refused.value.read() == b"cannot run git: Resource temporarily unavailable\n"
    lock = os.stat(server.directory / "demo.lock")
    with os.scandir("/proc/self/fd") as fds:
        assert not [fd.name for fd in fds if is_open(fd, lock)]


def is_open(fd: os.DirEntry[str], file: os.stat_result) -> bool:
    """Whether that file is open there. Other threads of ours may close theirs at any time."""
    try:
        return os.path.samestat(fd.stat(), file)
    except OSError:
        return False


@pytest.mark.parametrize(
    ("updates", "deploy", "refusal"),
    [
        ([Update(ZERO, ONE, "refs/heads/main")], "main", None),
        ([Update(ONE, ZERO, "refs/heads/master")], None, "Push rejected, cannot delete master branch"),
        ([Update(ZERO, ONE, "refs/heads/topic")], None, None),
        ([Update(ZERO, ONE, "refs/heads/main/x")], None, None),
        ([Update(ZERO, ONE, "refs/tags/main")], None, None),
        (
            [Update(ZERO, ONE, "refs/heads/main"), Update(ZERO, TWO, "refs/heads/master")],
            None,
            "Push rejected, push main or master, not both at once",
        ),
        ([], None, None),
    ],
)
def test_what_a_push_asks_for(updates, deploy, refusal):
    decision = decide(updates)
    assert (decision.deploy and decision.deploy.branch, decision.refusal) == (deploy, refusal)
