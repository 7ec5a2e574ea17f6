"""Buildpacks by the words people give: one of ours, a folder, a tarball, or a git repository with ``#ref``."""

import os
import re
import shutil
import stat
import subprocess
from typing import NamedTuple
from urllib.parse import urlsplit

from procman.builds.archive import source_tarball
from procman.builds.git_remote import PROTOCOLS, SHORT, Remote, reach_repository
from procman.builds.report import without_password
from procman.builds.request import Limits
from procman.errors import ProcmanError
from procman.reach import FAILURES, Patience, Reach, cause

# Heroku's order begins so, as far as known; static and procfile are ours, and come last.
BUILTIN = ("ruby", "nodejs", "python", "go", "static", "procfile")
HERE = os.path.join(os.path.dirname(__file__), "buildpacks")
FETCH_S = 300.0
BIGGEST = 200 << 20
NOWHERE = Remote("")  # for what git does by itself
SCRIPTS = ("detect", "compile", "release")


class Buildpack(NamedTuple):
    """One that is there. ``folder``: with its ``bin``; ``shown``: how it is named in the output."""

    shown: str
    folder: str
    builtin: bool = False

    def script(self, name: str) -> str | None:
        """The path of ``bin/NAME``, if there is one."""
        path = f"{self.folder}/bin/{name}"
        return path if os.path.isfile(path) else None


def name_of(word: str) -> str | None:
    """The name of one of ours: ``heroku/python``, ``urn:buildpack:heroku/python``; None for others."""
    short = word.removeprefix("urn:buildpack:")
    if re.fullmatch(r"(?:heroku|procman|heroku-community)/[\w-]+", short):
        return short.partition("/")[2]
    found = re.fullmatch(r"https://github\.com/heroku/heroku-buildpack-(\w+?)(?:\.git)?", word)
    return found[1] if found and found[1] in BUILTIN else None


def lay_out(folder: str) -> None:
    """Copy ours to where the build's user can read and run them."""
    shutil.copytree(HERE, folder)
    for name in BUILTIN:
        make_executable(f"{folder}/{name}")


def builtin(name: str, folder: str) -> Buildpack:
    """One of ours, as laid out in ``folder``. Raises ProcmanError."""
    if name not in BUILTIN:
        known = ", ".join(f"heroku/{each}" for each in BUILTIN)
        raise ProcmanError(f"cannot use the buildpack heroku/{name}: procman comes with {known}", "give its git URL")
    return Buildpack(f"heroku/{name}", f"{folder}/{name}", builtin=True)


def obtain(word: str, folder: str, number: int, limits: Limits) -> Buildpack:
    """Get a buildpack that is not one of ours into ``folder``. Raises ProcmanError."""
    target = f"{folder}/{number}"
    shown = without_password(word)
    url, _, ref = word.partition("#")
    os.mkdir(target)
    if url.startswith("/"):
        if os.path.isdir(url):
            shutil.copytree(url, target, symlinks=True, dirs_exist_ok=True)
        else:
            _unpack(url, target, shown)
    elif urlsplit(url).scheme in ("http", "https") and re.search(r"\.(tgz|tar\.gz)$", urlsplit(url).path):
        _download(url, f"{target}.tgz", shown, limits.reach)
        _unpack(f"{target}.tgz", target, shown)
    else:
        _clone(url, ref, target, shown, limits.reach)
    found = Buildpack(shown, target)
    for name in SCRIPTS[:2]:
        if found.script(name) is None:
            raise ProcmanError(f"cannot use the buildpack {shown}: it has no bin/{name}")
    make_executable(target)
    return found


def make_executable(folder: str) -> None:
    """Archives and packages lose it; bin/compile has to be a program."""
    for name in os.listdir(f"{folder}/bin"):
        path = f"{folder}/bin/{name}"
        if os.path.isfile(path) and not os.path.islink(path):
            os.chmod(path, stat.S_IMODE(os.stat(path).st_mode) | 0o555)  # noqa: S103


def _unpack(path: str, target: str, shown: str) -> None:
    try:
        source_tarball(path, target, Limits(entries=50_000, tree=BIGGEST))
    except (ProcmanError, OSError) as error:
        why = getattr(error, "strerror", None) or error
        raise ProcmanError(f"cannot use the buildpack {shown}: {why}") from None


def _download(url: str, path: str, shown: str, reach: Reach) -> None:
    try:
        with reach.open(url, {}, Patience(60, FETCH_S)) as answer, open(path, "wb") as file:
            while chunk := answer.read(1 << 18):
                file.write(chunk)
                if file.tell() > BIGGEST:
                    raise ProcmanError(f"cannot use the buildpack {shown}: it is larger than {BIGGEST >> 20} MB")
    except FAILURES as error:
        raise ProcmanError(f"cannot fetch the buildpack {shown}: {cause(error)}") from None


def _clone(url: str, ref: str, target: str, shown: str, reach: Reach) -> None:
    if urlsplit(url).scheme not in PROTOCOLS and not SHORT.fullmatch(url):
        hint = "https://…/NAME.git, …#REF, a .tgz, or heroku/python"
        raise ProcmanError(f"cannot use the buildpack {shown}: it is no address of a buildpack", hint)
    if ref.startswith("-") or not ref.isprintable():
        raise ProcmanError(f"cannot use the buildpack {shown}: {ref!r} is no branch, tag or commit")
    try:
        remote = reach_repository(url, reach)
    except ProcmanError as error:
        raise ProcmanError(f"cannot fetch the buildpack {shown}: {error}", error.hint) from None
    _git("init", "--quiet", target, shown=shown)
    fetch = ("-C", target, *remote.options, "fetch", "--quiet")
    if re.fullmatch(r"[0-9a-f]{7,39}", ref):  # a shortened commit cannot be asked for by name
        every = ("refs/heads/*:refs/remotes/origin/*", "refs/tags/*:refs/tags/*")
        _git(*fetch, "--", remote.url, *every, shown=shown, remote=remote)
        _git("-C", target, "checkout", "--quiet", ref, shown=shown)
    else:
        _git(*fetch, "--depth", "1", "--", remote.url, ref or "HEAD", shown=shown, remote=remote)
        _git("-C", target, "checkout", "--quiet", "FETCH_HEAD", shown=shown)
    shutil.rmtree(f"{target}/.git", ignore_errors=True)


def _git(*words: str, shown: str, remote: Remote = NOWHERE) -> None:
    env = {
        **os.environ,
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ALLOW_PROTOCOL": ":".join(PROTOCOLS),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        **remote.env,
    }
    try:
        done = subprocess.run(
            ["git", *words], env=env, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=FETCH_S
        )
    except FileNotFoundError:
        raise ProcmanError(f"cannot fetch the buildpack {shown}: git is missing", "apt-get install git") from None
    except subprocess.TimeoutExpired:
        raise ProcmanError(f"cannot fetch the buildpack {shown}: no answer within {FETCH_S:.0f} s") from None
    if done.returncode != 0:
        lines = [without_password(line) for line in done.stderr.decode("utf-8", "replace").strip().splitlines()]
        why = next((line for line in lines if line.startswith("fatal:")), lines[0] if lines else "git failed")
        raise ProcmanError(f"cannot fetch the buildpack {shown}: {why.removeprefix('fatal: ')}")
