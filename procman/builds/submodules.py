"""Submodules of a commit, fetched over http or https alone; one that cannot be had fails the build (Heroku: git)."""

import os
import re
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from typing import NamedTuple
from urllib.parse import urlsplit

from procman.builds.checkout import Checkout, Entry, materialise, refusal, run
from procman.builds.git_remote import reach_repository
from procman.builds.report import without_password
from procman.builds.request import Limits
from procman.errors import ProcmanError

MOST = 50
DEEPEST = 5
FETCH_S = 300.0  # for one; git itself gives up only what comes slower than 1 kB/s
DEPTH = "PROCMAN_SUBMODULE_DEPTH"
OF_THE_PUSH = {"GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_QUARANTINE_PATH", "GIT_DIR"}


class Submodule(NamedTuple):
    """What .gitmodules says of one."""

    path: str
    url: str


def fetch_all(
    repo: str,
    commit: str,
    folder: str,
    links: Sequence[Entry],
    env: Mapping[str, str],
    limits: Limits,
    done: Checkout,
) -> Checkout:
    """Fill the folders of all submodules, theirs included; ``done``: what counts against the limits already."""
    depth = int(env.get(DEPTH, "0"))
    if len(links) > MOST:
        raise refusal(f"it has {len(links)} submodules; {MOST} are the most")
    if depth >= DEEPEST:
        raise refusal(f"its submodules are nested more than {DEEPEST} deep")
    known = {module.path: module for module in described(repo, commit, env)}
    for link in links:
        module = known.get(link.path)
        if module is None:
            note = f"{link.path!r} is a submodule that .gitmodules does not describe; its folder stays empty."
            done = done._replace(notes=(*done.notes, note))
            continue
        left = limits._replace(entries=limits.entries - done.entries, tree=limits.tree - done.size)
        more = fetch(module, link.digest, folder, {**env, DEPTH: str(depth + 1)}, left)
        done = Checkout(done.entries + more.entries, done.size + more.size, (*done.notes, *more.notes))
    return done


def described(repo: str, commit: str, env: Mapping[str, str]) -> list[Submodule]:
    """The submodules that a commit's .gitmodules names, by path."""
    argv = ("git", "--git-dir", repo, "config", "--blob", f"{commit}:.gitmodules", "--null", "--list")
    said = subprocess.run(argv, env=env, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    rows: dict[str, dict[str, str]] = {}
    for line in said.stdout.decode("utf-8", "replace").split("\0"):
        key, _, value = line.partition("\n")
        found = re.fullmatch(r"submodule\.(.*)\.(path|url)", key, re.DOTALL)
        if found:
            rows.setdefault(found[1], {})[found[2]] = value
    return [Submodule(row["path"], row["url"]) for row in rows.values() if len(row) == 2]


def fetch(module: Submodule, digest: str, folder: str, env: Mapping[str, str], limits: Limits) -> Checkout:
    """Fetch the one commit that is asked for and write its files below ``folder``."""
    shown = without_password(module.url)
    check_url(module, shown)
    lost = f"the submodule {module.path!r} cannot be fetched from {shown}"
    try:
        remote = reach_repository(module.url, limits.reach)
    except ProcmanError as error:
        raise refusal(f"{lost}: {error}", error.hint) from None
    target = inside(folder, module.path)
    outside = {name: value for name, value in env.items() if name not in OF_THE_PUSH}
    with tempfile.TemporaryDirectory(prefix="procman-submodule-") as scratch:
        run(("git", "init", "--quiet", "--bare", scratch), outside, scratch)
        words = ("-c", "fetch.fsckObjects=true", "-c", "protocol.file.allow=never", "-c", "http.lowSpeedLimit=1000")
        slow = ("-c", "http.lowSpeedTime=60", *remote.options, "fetch", "--quiet", "--depth", "1")
        fetched = ("git", "--git-dir", scratch, *words, *slow, "--", remote.url, digest)
        run(fetched, {**outside, **remote.env}, scratch, lost, FETCH_S)
        return materialise(scratch, digest, target, outside, limits)


def check_url(module: Submodule, shown: str) -> None:
    """Raises ProcmanError for what is not plain http or https."""
    try:
        parts = urlsplit(module.url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and module.url.isprintable()
    except ValueError:
        good = False
    if not good:
        why = f"the submodule {module.path!r} has the address {shown!r}; only https:// and http:// are fetched"
        raise refusal(why, f"git submodule set-url {module.path} https://…")


def inside(folder: str, path: str) -> str:
    """The submodule's folder, which git made, empty; reached without following a link."""
    at = folder
    for part in path.split("/"):
        at = f"{at}/{part}"
        if part in ("", ".", "..") or os.path.islink(at):
            raise refusal(f"the submodule's path {path!r} leads elsewhere")
        os.makedirs(at, exist_ok=True)
    if os.listdir(at):
        raise refusal(f"the submodule's folder {path!r} holds files already")
    return at
