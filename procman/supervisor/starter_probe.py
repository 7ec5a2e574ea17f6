"""Finds out, by trying it once, what this host lets a dyno have of its own."""

import os
import shutil

from procman.supervisor.slug_copy import make_folder, remove
from procman.supervisor.starter import PATH, Place, launch, target_of
from procman.supervisor.starter_isolation import Isolation, Way

TOOLS = "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin"
RESTRICTED = "/proc/sys/kernel/apparmor_restrict_unprivileged_userns"  # Ubuntu since 23.10


def capabilities(base: str, mount: str | None) -> Isolation:
    """Try the ways, best first, in a folder under ``base`` that is removed again (some 10 ms). Raises OSError if
    ``base`` cannot be written.

    Call it before the loop runs, and keep the answer: it waits for children of its own.
    """
    found = {name: shutil.which(name, path=TOOLS) or "" for name in ("unshare", "setpriv", "mount", "sh", "bash")}
    sh, bash = found["sh"] or "/bin/sh", found["bash"] or "/bin/bash"
    missing = [name for name in ("unshare", "setpriv", "mount") if not found[name]]
    if missing:
        return Isolation(Way.SHARED, f"there is no {missing[0]} (util-linux)", "", found["setpriv"], sh, bash)
    why: dict[Way, str] = {}
    for way in (Way.OVERLAY, Way.COPY):
        isolation = Isolation(way, why.get(Way.OVERLAY, ""), found["unshare"], found["setpriv"], sh, bash)
        refused = attempt(isolation, base, mount)
        if refused is None:
            return isolation
        why[way] = refused
    return Isolation(Way.SHARED, why[Way.COPY], found["unshare"], found["setpriv"], sh, bash)


def attempt(isolation: Isolation, base: str, mount: str | None) -> str | None:
    """Start a dyno that does nothing but write. None if it could, else what was said instead."""
    folder = make_folder(base, "probe")
    try:
        slug = make_folder(folder, "probed")
        with open(f"{slug}/word", "w", encoding="utf-8") as file:
            file.write("ready\n")
        place = Place(folder, slug, target_of(isolation, slug, mount))
        chain = launch(isolation, place, ">own && cat word", {"PATH": PATH}, strict=True)
        said = run(chain.argv, chain.env)
    finally:
        remove(folder)
    return None if said == "ready" else explained(said)


def explained(said: str) -> str:
    """The tools' words, with what an administrator can do about them."""
    try:
        with open(RESTRICTED, "rb") as file:
            restricted = file.read().strip() == b"1"
    except OSError:
        restricted = False
    hint = "; sysctl kernel.apparmor_restrict_unprivileged_userns=0 would allow it" if restricted else ""
    return (said or "nothing was said") + hint


def run(argv: tuple[str, ...], env: dict[str, str]) -> str:
    """Run to the end; the last line of what it said on either stream. A program that cannot be run says so too."""
    reader, writer = os.pipe()
    try:
        actions = [(os.POSIX_SPAWN_DUP2, writer, 1), (os.POSIX_SPAWN_DUP2, writer, 2)]
        pid = os.posix_spawn(argv[0], argv, env, file_actions=actions, setsid=True)
    except OSError as error:
        os.close(reader)
        return f"{argv[0]}: {error.strerror}"
    finally:
        os.close(writer)
    with open(reader, "rb") as file:
        lines = file.read().decode("utf-8", "replace").split("\n")
    os.waitpid(pid, 0)
    return next((line.strip() for line in reversed(lines) if line.strip()), "")
