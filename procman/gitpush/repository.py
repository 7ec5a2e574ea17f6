"""Bare repositories: how they are made and set up, and the hook that all of them share."""

import fcntl
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping

from procman.errors import ProcmanError
from procman.files import write_private

INPUT_LIMIT = 1 << 30  # bytes of one push's pack (Heroku: limits, 1 GB of checkout)
CONFIG: Mapping[str, str] = {
    "receive.fsckObjects": "true",
    "receive.maxInputSize": str(INPUT_LIMIT),
    "receive.shallowUpdate": "true",  # CI pushes from clones of depth 1
    "receive.denyDeleteCurrent": "ignore",  # what may be deleted is the hook's decision
    "receive.denyCurrentBranch": "ignore",
    "receive.autogc": "false",  # a collector in the background would go on holding the deploy lock
    "receive.unpackLimit": "1000",
    "gc.autoDetach": "false",
    "protocol.file.allow": "never",
    "protocol.ext.allow": "never",
    "uploadpack.allowFilter": "true",
    "core.logAllRefUpdates": "true",
}


def git_environment() -> dict[str, str]:
    """What git gets: nothing of ours, no configuration but the repository's."""
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": "/nonexistent",
        "LANG": "C.UTF-8",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_TERMINAL_PROMPT": "0",
    }


def git(repository: str, *words: str) -> str:
    """Run git on a repository. Raises ProcmanError with git's own words."""
    try:
        done = subprocess.run(
            ["git", f"--git-dir={repository}", *words],
            env=git_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
    except FileNotFoundError:
        raise ProcmanError("cannot run git: it is not installed", "apt-get install git") from None
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines() or [f"status {done.returncode}"]
        raise ProcmanError(f"cannot {words[0]} in the app's repository: {said[-1]}")
    return done.stdout.decode("utf-8", "replace")


def make_repository(repository: str, hooks: str) -> None:
    """A bare repository at that path, if there is none; its settings are made right in any case."""
    if not os.path.exists(os.path.join(repository, "HEAD")):
        aside = tempfile.mkdtemp(prefix=f"{os.path.basename(repository)}.new", dir=os.path.dirname(repository))
        try:
            git(aside, "init", "--quiet", "--bare", "--template=", "--initial-branch=main")
            write_config(aside, hooks)
            os.rename(aside, repository)
        except OSError:  # another push was quicker
            if not os.path.exists(os.path.join(repository, "HEAD")):
                raise
        finally:
            shutil.rmtree(aside, ignore_errors=True)
    else:
        write_config(repository, hooks)


def write_config(repository: str, hooks: str) -> None:
    """The settings, in one write."""
    sections: dict[str, list[str]] = {"core": ["repositoryformatversion = 0", "bare = true", f"hooksPath = {hooks}"]}
    for name, value in CONFIG.items():
        place, _, key = name.rpartition(".")
        section, _, part = place.partition(".")
        sections.setdefault(f'{section} "{part}"' if part else section, []).append(f"{key} = {value}")
    text = "".join(f"[{title}]\n" + "".join(f"\t{line}\n" for line in lines) for title, lines in sections.items())
    path = os.path.join(repository, "config")
    try:
        with open(path, encoding="utf-8") as file:
            if file.read() == text:
                return
    except FileNotFoundError:
        pass
    write_private(path, text.encode())


def write_hooks(folder: str) -> None:
    """The folder of hooks that every repository points to: pre-receive alone."""
    os.makedirs(folder, mode=0o700, exist_ok=True)
    path = os.path.join(folder, "pre-receive")
    script = f"#!/bin/sh\nexec {shlex.quote(sys.executable)} -m procman.gitpush.hook\n"
    try:
        with open(path, encoding="utf-8") as file:
            if file.read() == script:  # a full disk keeps no server from its start
                return
    except FileNotFoundError:
        pass
    write_private(path, script.encode(), 0o700)


def point_head(repository: str, branch: str) -> None:
    """Let HEAD name the branch that was deployed, so that a clone checks it out."""
    git(repository, "symbolic-ref", "HEAD", f"refs/heads/{branch}")


def branches(repository: str) -> dict[str, str]:
    """Branch to commit."""
    lines = git(repository, "for-each-ref", "--format=%(refname:short) %(objectname)", "refs/heads").splitlines()
    return {name: commit for name, _, commit in (line.partition(" ") for line in lines)}


def pack(repository: str) -> None:
    """Put loose objects together when there are many, as git would after each push if it were let."""
    git(repository, "gc", "--auto", "--quiet")


def sweep(folder: str) -> None:
    """At the server's start: remove what gits that were killed have left in the repositories, and half-made ones."""
    for name in os.listdir(folder):
        if ".git.new" in name:
            shutil.rmtree(os.path.join(folder, name), ignore_errors=True)
        elif name.endswith(".git"):
            for path in leftovers(os.path.join(folder, name)):
                shutil.rmtree(path) if os.path.isdir(path) else os.unlink(path)


def leftovers(repository: str) -> Iterator[str]:
    """Objects of pushes that never came to their end, and locks that nobody holds."""
    for name in ("HEAD.lock", "packed-refs.lock", "config.new"):
        if os.path.lexists(path := os.path.join(repository, name)):
            yield path
    for base, _, files in os.walk(os.path.join(repository, "refs")):
        yield from (os.path.join(base, file) for file in files if file.endswith(".lock"))
    yield from quarantines(repository)


def quarantines(repository: str) -> list[str]:
    """Objects of pushes that are on their way, or never came to their end."""
    objects = os.path.join(repository, "objects")
    names = os.listdir(objects) if os.path.isdir(objects) else ()
    return [os.path.join(objects, name) for name in names if name.startswith("tmp_objdir-")]


def remove_unless_locked(lock: str, folders: Iterable[str]) -> None:
    """Remove them, but not while a deploy runs: the hook of a git that was killed goes on with what it has."""
    with open(lock, "rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)
