"""From a commit to a folder of files, through a private index: counted before one is written, no filter run.

Not ``git archive``: export-ignore would lose files, export-subst change them. What git itself refuses (``..``,
``.git``) is refused with a sentence of ours.
"""

import os
import re
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from procman.builds.request import Limits
from procman.errors import ProcmanError

POINTER = re.compile(rb"version https://git-lfs\.github\.com/spec/v1\n")
POINTER_SIZE = 1024
LONGEST_PATH, LONGEST_NAME = 4000, 255
GITLINK, TREE, LINK = "160000", "040000", "120000"


class Entry(NamedTuple):
    """One line of ``ls-tree``."""

    mode: str
    digest: str
    size: int
    path: str


class Checkout(NamedTuple):
    """What was written. ``notes``: sentences for whoever pushed."""

    entries: int
    size: int
    notes: tuple[str, ...] = ()


def refusal(why: str, hint: str | None = None) -> ProcmanError:
    """The error of a tree that is not checked out."""
    return ProcmanError(f"cannot check out the commit: {why}", hint)


def environment(git_env: Mapping[str, str]) -> dict[str, str]:
    """What our git runs in: the caller's object directories, none of the host's settings, and nobody to ask."""
    passed = ("PATH", "GIT_SSL_CAINFO", "SSL_CERT_FILE", "SSL_CERT_DIR", "http_proxy", "https_proxy", "no_proxy")
    mine = {name: os.environ[name] for name in passed if name in os.environ}
    return {
        **mine,
        **git_env,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ALLOW_PROTOCOL": "https:http",
        "GIT_NO_LAZY_FETCH": "1",
        "HOME": "/nonexistent",
        "LC_ALL": "C.UTF-8",
    }


def materialise(
    repo: str,
    commit: str,
    folder: str,
    git_env: Mapping[str, str],
    limits: Limits,
    submodules: bool = True,
) -> Checkout:
    """Write a commit's files into an existing, empty folder. Raises ProcmanError: refused, or git failed.

    ``git_env``: where git finds the objects (the quarantine of a push). The caller removes the folder on an error.
    """
    if not re.fullmatch(r"[0-9a-fA-F]{40}|[0-9a-fA-F]{64}", commit):
        raise refusal(f"{commit!r} is not a commit")
    env = environment(git_env)
    entries, total, kept = survey(repo, commit, env, limits)
    write_files(repo, commit, folder, env)
    notes = pointers(folder, kept)
    links = [entry for entry in kept if entry.mode == GITLINK]
    done = Checkout(entries, total, notes)
    if links and submodules:
        from procman.builds.submodules import fetch_all  # noqa: PLC0415 - they call each other

        return fetch_all(repo, commit, folder, links, env, limits, done)
    return done


def survey(repo: str, commit: str, env: Mapping[str, str], limits: Limits) -> tuple[int, int, list[Entry]]:
    """How many entries a commit has and of how many bytes; and those that need a closer look. Raises ProcmanError."""
    kept: list[Entry] = []
    entries = total = 0
    for entry in tree_entries(repo, commit, env):
        entries += 1
        total += entry.size
        if entries > limits.entries:
            raise refusal(f"it has more than {limits.entries} files and folders")
        if total > limits.tree:
            raise refusal(f"its files have more than {limits.tree >> 20} MB together (Heroku's limit, too)")
        check_path(entry.path)
        if entry.mode in (GITLINK, LINK) or entry.path == ".gitmodules" or entry.size < POINTER_SIZE:
            kept.append(entry)
    return entries, total, kept


def write_files(repo: str, commit: str, folder: str, env: Mapping[str, str]) -> None:
    """By an index of their own. Raises ProcmanError."""
    with tempfile.TemporaryDirectory(prefix="procman-index-") as scratch:
        index = {**env, "GIT_INDEX_FILE": f"{scratch}/index"}
        words = ("--git-dir", repo, "--work-tree", folder)
        run(("git", *words, "read-tree", commit), index, folder)
        run(("git", *words, "checkout-index", "--all", "--force"), index, folder)


def tree_entries(repo: str, commit: str, env: Mapping[str, str]) -> Iterator[Entry]:
    """All entries below a commit's tree, folders too, as git lists them. Raises ProcmanError."""
    argv = ("git", "--git-dir", repo, "ls-tree", "-r", "-t", "-l", "-z", "--full-tree", f"{commit}^{{tree}}")
    process = subprocess.Popen(argv, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        rest = b""
        while chunk := process.stdout.read1(1 << 18):  # type: ignore[attr-defined]
            *rows, rest = (rest + chunk).split(b"\0")
            for row in rows:
                facts, _, path = row.partition(b"\t")
                mode, _, digest, size = facts.split()
                count = int(size) if size.isdigit() else 0
                yield Entry(mode.decode(), digest.decode(), count, os.fsdecode(path))
        words = process.stderr.read(4096)
        if process.wait() != 0:
            raise refusal(first_line(words))
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        process.stderr.close()


def check_path(path: str) -> None:
    """Raises ProcmanError for a path that would leave the folder, or that no file system takes."""
    parts = path.split("/")
    if any(part in ("", ".", "..") or part.lower() == ".git" for part in parts):
        raise refusal(f"it holds the path {path!r}, which git itself would not make")
    if len(os.fsencode(path)) > LONGEST_PATH or any(len(os.fsencode(part)) > LONGEST_NAME for part in parts):
        raise refusal(f"it holds a path that is too long: {path[:60]!r}…")


def pointers(folder: str, entries: Sequence[Entry]) -> tuple[str, ...]:
    """A note if files are Git LFS pointers in place of their contents."""
    found = []
    for entry in entries:
        if entry.mode not in (GITLINK, TREE, LINK) and entry.size > 100:
            try:
                fd = os.open(f"{folder}/{entry.path}", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            except OSError:
                continue
            with open(fd, "rb") as file:
                if POINTER.match(file.read(64)):
                    found.append(entry.path)
    if not found:
        return ()
    more = f" and {len(found) - 1} more" if len(found) > 1 else ""
    return (f"{found[0]!r}{more}: Git LFS pointers, not the files. Git LFS is not supported (nor on Heroku).",)


def run(
    argv: Sequence[str],
    env: Mapping[str, str],
    cwd: str,
    what: str = "git refuses it",
    timeout: float | None = None,
) -> None:
    """Run a git command to its end. Raises ProcmanError with the first line of what it said."""
    try:
        done = subprocess.run(
            argv, env=env, cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, check=False, umask=0o022,
            timeout=timeout,
        )
    except subprocess.TimeoutExpired:
        raise refusal(f"{what}: it did not come within {timeout:.0f} s") from None
    if done.returncode != 0:
        raise refusal(f"{what}: {first_line(done.stderr)}")


def first_line(words: bytes) -> str:
    """The line that says what was wrong."""
    lines = [line.strip() for line in words.decode("utf-8", "replace").splitlines() if line.strip()]
    wrong = [line for line in lines if line.startswith(("fatal:", "error:"))]
    return (wrong or lines or ["git said nothing"])[0].removeprefix("fatal: ").removeprefix("error: ")[:300]
