"""Checking out what a push brought before it belongs to the repository, and what must not take part in it."""

import os
import subprocess

import pytest

from procman.builds.checkout import materialise
from procman.errors import ProcmanError
from tests.test_builds_checkout import FEW, Repository, module

OPTIONS_AND_OTHER_TRICKS = {
    "a host that is an option": b"ssh://-oProxyCommand=touch/x",
    "a newline in the address": b'"https://h/x\\n-u./payload"',
    "a protocol of git's own": b"git://example.com/x",
    "no host": b"https:///x",
    "a helper's name before it": b"fd::https://h/x",
}


@pytest.fixture
def repo(tmp_path):
    return Repository(tmp_path / "repo.git")


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "tree"
    path.mkdir()
    return path


def test_what_lies_in_quarantine_is_found_only_by_those_who_know_of_it(repo, folder, tmp_path):
    """See git-receive-pack(1), QUARANTINE ENVIRONMENT."""
    aside = Repository(tmp_path / "aside.git")
    commit = aside.files(a=b"aside")
    (tmp_path / "aside.git" / "objects").rename(tmp_path / "quarantine")
    with pytest.raises(ProcmanError, match="cannot check out"):
        materialise(str(repo.path), commit, str(folder), {}, FEW)
    env = {
        "GIT_OBJECT_DIRECTORY": str(tmp_path / "quarantine"),
        "GIT_ALTERNATE_OBJECT_DIRECTORIES": str(repo.path / "objects"),
        "GIT_QUARANTINE_PATH": str(tmp_path / "quarantine"),
    }
    done = materialise(str(repo.path), commit, str(folder), env, FEW)
    assert (folder / "a").read_bytes() == b"aside"
    assert (done.entries, done.size) == (1, 5)
    assert subprocess.run(["git", "--git-dir", repo.path, "cat-file", "-e", commit], check=False).returncode != 0


def test_the_index_of_the_repository_and_of_the_caller_stay_as_they_are(repo, folder, tmp_path, monkeypatch):
    (repo.path / "index").write_bytes(b"its own")
    monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / "index"))
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "nowhere"))
    monkeypatch.setenv("GIT_WORK_TREE", str(tmp_path / "nowhere"))
    materialise(str(repo.path), repo.files(a=b"x"), str(folder), {}, FEW)
    assert (repo.path / "index").read_bytes() == b"its own"
    assert sorted(os.listdir(tmp_path)) == ["repo.git", "tree"]
    assert os.listdir(folder) == ["a"]


def test_no_hook_and_no_setting_of_the_host_takes_part(repo, folder, tmp_path, monkeypatch):
    ran = tmp_path / "ran"
    (tmp_path / "hooks").mkdir()
    for name in ("post-checkout", "post-index-change", "fsmonitor"):
        (tmp_path / "hooks" / name).write_text(f"#!/bin/sh\ntouch {ran}\n")
        (tmp_path / "hooks" / name).chmod(0o755)
    text = f"[core]\n\thooksPath = {tmp_path}/hooks\n\tautocrlf = true\n\tfsmonitor = {tmp_path}/hooks/fsmonitor\n"
    (tmp_path / "gitconfig").write_text(text)
    for name in ("GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM"):
        monkeypatch.setenv(name, str(tmp_path / "gitconfig"))
    monkeypatch.setenv("GIT_CONFIG_PARAMETERS", f"'core.hookspath={tmp_path}/hooks'")
    materialise(str(repo.path), repo.files(a=b"1\n2\n"), str(folder), {}, FEW)
    assert (folder / "a").read_bytes() == b"1\n2\n"
    assert not ran.exists()


@pytest.mark.parametrize("name", OPTIONS_AND_OTHER_TRICKS)
def test_a_submodule_is_not_fetched_from(name, repo, folder):
    with pytest.raises(ProcmanError, match="only https:// and http:// are fetched") as refused:
        materialise(str(repo.path), module(repo, OPTIONS_AND_OTHER_TRICKS[name]), str(folder), {}, FEW)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("url", [b"ftp://me:s3cret@h/x", b"http://me:s3cret@127.0.0.1:9/x"])
def test_a_password_in_a_submodules_address_is_not_told(url, repo, folder):
    with pytest.raises(ProcmanError) as refused:
        materialise(str(repo.path), module(repo, url), str(folder), {}, FEW)
    assert "s3cret" not in str(refused.value)


def test_a_thousand_empty_folders_count_too(repo, folder):
    empty = repo.tree()
    tree = repo.tree(*(("40000", b"%04d" % number, empty) for number in range(1001)))
    with pytest.raises(ProcmanError, match="more than 1000 files and folders"):
        materialise(str(repo.path), repo.commit(tree), str(folder), {}, FEW)


def test_many_files_of_one_object_count_each(repo, folder):
    blob = repo.blob(bytes(1 << 20))
    tree = repo.tree(*(("100644", b"%02d" % number, blob) for number in range(20)))
    with pytest.raises(ProcmanError, match="more than 10 MB"):
        materialise(str(repo.path), repo.commit(tree), str(folder), {}, FEW)
    assert os.listdir(folder) == []


def test_a_path_that_no_file_system_takes_is_refused(repo, folder):
    entry = ("100644", b"x", repo.blob(b"x"))
    for _ in range(30):
        entry = ("40000", b"d" * 200, repo.tree(entry))
    with pytest.raises(ProcmanError, match="a path that is too long"):
        materialise(str(repo.path), repo.commit(repo.tree(entry)), str(folder), {}, FEW)


def test_a_folder_that_is_a_file_and_one_that_is_not_there_are_refused(repo, folder):
    for digest in (repo.blob(b"x"), "2" * 40):
        with pytest.raises(ProcmanError, match="cannot check out the commit: "):
            materialise(str(repo.path), repo.commit(repo.tree(("40000", b"a", digest))), str(folder), {}, FEW)
