"""Buildpacks from elsewhere: a git repository with a branch, a tag or a commit, a tarball, a folder; and submodules."""

import contextlib
import functools
import http.server
import os
import socketserver
import subprocess
import tarfile
import threading

import pytest

from procman import reach
from procman.builds import buildpack
from procman.builds.checkout import materialise
from procman.builds.request import Limits
from procman.errors import ProcmanError
from tests.builds_harness import write_tree

HERE = Limits(local=True)
ENV = {**os.environ, "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull}
ENV |= {f"GIT_{who}_{what}": "a@b" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}


def git(*words, cwd) -> str:
    return subprocess.run(["git", *words], cwd=cwd, env=ENV, check=True, capture_output=True, text=True).stdout.strip()


class GitDaemon(socketserver.ThreadingTCPServer):
    """git:// on a port of its own: each connection gets a real ``git daemon --inetd``."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, base):
        self.base = base
        super().__init__(("127.0.0.1", 0), socketserver.BaseRequestHandler)

    def finish_request(self, request, client_address):
        words = ["git", "daemon", "--inetd", "--export-all", f"--base-path={self.base}", str(self.base)]
        subprocess.run(words, stdin=request, stdout=request, stderr=subprocess.DEVNULL, env=ENV, check=False)


class HttpBackend(http.server.CGIHTTPRequestHandler):
    """Smart http by git's own CGI program."""

    def is_cgi(self):
        self.cgi_info = ("/cgi", self.path.removeprefix("/"))
        return True

    def run_cgi(self):
        path, _, query = self.path.partition("?")
        length = int(self.headers.get("Content-Length") or 0)
        env = {**ENV, "GIT_PROJECT_ROOT": self.server.base, "GIT_HTTP_EXPORT_ALL": "1", "PATH_INFO": path}
        env |= {"QUERY_STRING": query, "REQUEST_METHOD": self.command, "CONTENT_LENGTH": str(length)}
        env |= {"CONTENT_TYPE": self.headers.get("Content-Type", ""), "REMOTE_ADDR": "127.0.0.1"}
        env |= {"HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", "")}
        env |= {"GIT_PROTOCOL": self.headers.get("Git-Protocol", "")}
        body = self.rfile.read(length)
        done = subprocess.run(["git", "http-backend"], input=body, env=env, capture_output=True, check=False).stdout
        head, _, rest = done.partition(b"\r\n\r\n")
        found = dict(line.split(": ", 1) for line in head.decode().split("\r\n") if ": " in line)
        self.send_response(int(found.pop("Status", "200")[:3]))
        for name, value in found.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(rest)

    do_GET = do_POST = run_cgi  # noqa: N815

    def log_message(self, *words):
        pass


@pytest.fixture(scope="module")
def origin(tmp_path_factory):
    """A buildpack's repository with two commits: the branch ``old`` and the tag ``v1`` are the first one."""
    base = tmp_path_factory.mktemp("origin")
    tree = base / "pack.git"
    write_tree(tree, {"bin/detect": "#!/bin/sh\necho One\n", "bin/compile": "#!/bin/sh\n"})
    git("init", "--quiet", "-b", "main", cwd=tree)
    git("add", ".", cwd=tree)
    git("commit", "--quiet", "-m", "one", cwd=tree)
    git("tag", "-a", "v1", "-m", "v1", cwd=tree)
    git("branch", "old", cwd=tree)
    write_tree(tree, {"bin/detect": "#!/bin/sh\necho Two\n"})
    git("commit", "--quiet", "-am", "two", cwd=tree)
    git("config", "uploadpack.allowAnySHA1InWant", "true", cwd=tree)
    return tree


@contextlib.contextmanager
def serving(server):
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(scope="module")
def daemon(origin):
    server = GitDaemon(origin.parent)
    with serving(server):
        yield server


@pytest.fixture
def url(daemon):
    return f"git://127.0.0.1:{daemon.server_address[1]}/pack.git"


def language(pack):
    return subprocess.run([f"{pack.folder}/bin/detect", "/"], check=True, capture_output=True, text=True).stdout.strip()


@pytest.mark.parametrize(("ref", "name"), [("", "Two"), ("#old", "One"), ("#v1", "One"), ("#main", "Two")])
def test_a_buildpack_is_fetched_at_its_ref(url, tmp_path, ref, name):
    pack = buildpack.obtain(url + ref, str(tmp_path), 1, HERE)
    assert language(pack) == name
    assert not (tmp_path / "1" / ".git").exists()


@pytest.mark.parametrize("length", [40, 9])
def test_a_commit_whole_or_shortened_is_a_ref_too(url, origin, tmp_path, length):
    commit = git("rev-parse", "old", cwd=origin)
    assert language(buildpack.obtain(f"{url}#{commit[:length]}", str(tmp_path), 1, HERE)) == "One"


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("{url}#nowhere", "couldn't find remote ref nowhere"),
        ("{url}#--upload-pack=touch", "is no branch, tag or commit"),
        ("git://127.0.0.1:9/x.git", "cannot fetch the buildpack"),
        ("file:///etc", "it is no address of a buildpack"),
        ("ext::sh -c id", "it is no address of a buildpack"),
        ("--upload-pack=x", "it is no address of a buildpack"),
        ("/nonexistent/pack", "cannot use the buildpack /nonexistent/pack"),
    ],
)
def test_what_cannot_be_fetched_is_a_sentence(url, tmp_path, word, said):
    with pytest.raises(ProcmanError) as refused:
        buildpack.obtain(word.format(url=url), str(tmp_path), 1, HERE)
    assert said in refused.value.what


def test_a_password_in_the_address_is_never_shown(tmp_path):
    with pytest.raises(ProcmanError) as refused:
        buildpack.obtain("http://me:hunter22@127.0.0.1:9/x.git", str(tmp_path), 1, HERE)
    assert "hunter22" not in refused.value.what
    assert "http://127.0.0.1:9/x.git" in refused.value.what


class Moved(HttpBackend):
    """A repository that has moved: what was ``old.git`` is ``pack.git`` now."""

    def run_cgi(self):
        self.server.paths.append(self.path)
        if not self.path.startswith("/old.git/"):
            return super().run_cgi()
        self.send_response(301)
        self.send_header("Location", self.path.replace("/old.git/", "/pack.git/"))
        self.end_headers()
        return None

    do_GET = do_POST = run_cgi  # noqa: N815


def test_git_goes_to_the_address_that_was_judged_and_to_where_a_repository_has_moved(origin, tmp_path, monkeypatch):
    asked = []

    def look_up(host, port, flags=0):
        asked.append(host)
        return ["127.0.0.1"]

    monkeypatch.setattr(reach, "look_up", look_up)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Moved)
    server.base, server.paths = str(origin.parent), []
    with serving(server):
        url = f"http://packs.invalid:{server.server_port}/old.git"  # a name that no resolver knows, git's neither
        assert language(buildpack.obtain(url, str(tmp_path), 1, HERE)) == "Two"
    assert set(asked) == {"packs.invalid"}
    assert [path for path in server.paths if path.startswith("/old.git/")] == [server.paths[0]]


def test_a_tarball_and_a_folder_are_buildpacks_too(origin, tmp_path):
    with tarfile.open(tmp_path / "pack.tgz", "w:gz") as archive:
        archive.add(origin / "bin", "pack-1.0/bin")
    os.mkdir(tmp_path / "packs")
    for number, word in enumerate((tmp_path / "pack.tgz", origin)):
        assert language(buildpack.obtain(str(word), str(tmp_path / "packs"), number, HERE)) == "Two"


def test_a_tarball_is_fetched_over_http(origin, tmp_path):
    with tarfile.open(tmp_path / "pack.tgz", "w:gz") as archive:
        archive.add(origin / "bin", "bin")
    handler = functools.partial(QuietFiles, directory=str(tmp_path))
    with serving(http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)) as address:
        (tmp_path / "packs").mkdir()
        assert language(buildpack.obtain(f"{address}/pack.tgz", str(tmp_path / "packs"), 1, HERE)) == "Two"
        with pytest.raises(ProcmanError, match="404"):
            buildpack.obtain(f"{address}/other.tgz", str(tmp_path / "packs"), 2, HERE)


class QuietFiles(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *words):
        pass


def test_a_folder_without_scripts_is_no_buildpack(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ProcmanError, match="it has no bin/detect"):
        buildpack.obtain(str(tmp_path / "empty"), str(tmp_path), 1, HERE)


def test_a_submodule_is_fetched_over_http_and_counts(origin, tmp_path):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), HttpBackend)
    server.base = str(origin.parent)
    with serving(server) as address:
        url = f"{address}/pack.git"
        app = tmp_path / "app"
        write_tree(app, {".gitmodules": f'[submodule "lib"]\n\tpath = vendor/lib\n\turl = {url}\n', "a": "x"})
        git("init", "--quiet", cwd=app)
        digest = git("rev-parse", "main", cwd=origin)
        git("add", ".", cwd=app)
        git("update-index", "--add", "--cacheinfo", f"160000,{digest},vendor/lib", cwd=app)
        git("commit", "--quiet", "-m", "x", cwd=app)
        commit = git("rev-parse", "HEAD", cwd=app)
        (tmp_path / "tree").mkdir()
        done = materialise(str(app / ".git"), commit, str(tmp_path / "tree"), {}, HERE)
        assert (tmp_path / "tree/vendor/lib/bin/detect").read_text() == "#!/bin/sh\necho Two\n"
        assert not (tmp_path / "tree/vendor/lib/.git").exists()
        assert done.entries == 7  # .gitmodules, a, vendor, vendor/lib; bin and its two scripts
        (tmp_path / "small").mkdir()
        with pytest.raises(ProcmanError, match="more than 2 files"):
            materialise(str(app / ".git"), commit, str(tmp_path / "small"), {}, HERE._replace(entries=6))
