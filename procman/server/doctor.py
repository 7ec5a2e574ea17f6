"""What is wrong with an installation, found by looking: nothing is changed. Probes work in a temporary folder."""

import json
import os
import re
import shutil
import sqlite3
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from typing import NamedTuple

from procman.builds.keeper import LEAST_FREE as FOR_A_BUILD
from procman.errors import ProcmanError
from procman.platform.layout import Layout
from procman.router.binary import find_binary
from procman.server.addresses import ADDRESSES
from procman.server.place import PROGRAM, first_uid, surroundings
from procman.store.database import MIGRATIONS
from procman.supervisor import cgroups, ports
from procman.supervisor.home import homes
from procman.supervisor.proctable import command_of, read_process
from procman.supervisor.starter_isolation import Way
from procman.supervisor.starter_probe import capabilities

LEAST_FREE = 1 << 30  # bytes
PINNED_GIT = (2, 37)  # from here on it knows http.curloptResolve, see builds/git_remote.py
SOON_S = 30 * 24 * 3600
SECRETS = ("procman.db", "owner.key", "tls/ca.key", "tls/server.key")


class Finding(NamedTuple):
    """One thing that is wrong. ``severity``: error or warning; ``hint``: what to type."""

    severity: str
    what: str
    hint: str


def examine(data: str | None, apps: str) -> list[Finding]:
    """All of this host, of local formations in ``apps`` and, if there is one, of the server in ``data``."""
    found = [*of_host(), *of_formations(apps)]
    return [*found, *of_users(), *of_data(Layout(data))] if data else found


def of_host() -> Iterator[Finding]:
    """What procman needs of a host."""
    if sys.version_info < (3, 11):  # noqa: UP036 - nobody asks pip for a checkout
        yield Finding("error", f"Python is {sys.version.split()[0]}, and 3.11 is needed", "install Python 3.11")
    for program, why in (("git", "git push"), ("openssl", "TLS certificates")):
        if not shutil.which(program):
            yield Finding("error", f"there is no {program}, which {why} needs", f"apt-get install {program}")
    yield from of_git()
    try:
        find_binary()
    except ProcmanError as error:
        yield Finding("warning", error.what, error.hint or "procman server --no-router")
    with tempfile.TemporaryDirectory(prefix="procman-doctor-") as folder:
        isolation = capabilities(folder, None)
    if isolation.way != Way.OVERLAY:
        hint = "apt-get install util-linux" if "util-linux" in isolation.reason else "docs/dyno-rules.md"
        yield Finding("warning", isolation.words(), hint)
    if not os.path.isdir(cgroups.ROOT):
        yield Finding("warning", f"there are no control groups at {cgroups.ROOT}", "memory is sampled instead")


def of_git() -> Iterator[Finding]:
    """Whether git can be told which address to go to."""
    if not (program := shutil.which("git")):
        return
    said = subprocess.run([program, "version"], capture_output=True, text=True, errors="replace", check=False).stdout
    found = re.search(r"(\d+)\.(\d+)", said)
    if found and (int(found[1]), int(found[2])) < PINNED_GIT:
        what = f"git is {found[0]}: before 2.37 it looks up again where buildpacks and submodules are"
        yield Finding("warning", what, "docs/server.md#where-users-may-send-it")


def of_formations(apps: str) -> Iterator[Finding]:
    """Supervisors that were killed, and say in their homes that they run."""
    for home in homes(apps):
        facts = home.facts()
        pid, root = facts.get("pid"), facts.get("root", "the app's directory")
        if pid and not home.is_running():
            what = f"the supervisor of {home.name} (pid {pid}) has ended without clearing up"
            yield Finding("warning", what, f"procman start, in {root}")


def of_data(layout: Layout) -> Iterator[Finding]:
    """A server's data directory."""
    if not os.path.isfile(layout.database):
        yield Finding("error", f"there is no procman.db in {layout.data}", f"procman server --data {layout.data}")
        return
    yield from of_files(layout)
    yield from of_ports(layout)
    try:
        yield from of_database(layout)
    except sqlite3.Error as error:
        yield Finding("error", f"the database cannot be read: {error}", "procman restore FILE --data ANOTHER-DIR")


def of_files(layout: Layout) -> Iterator[Finding]:
    """Room, who may look at secrets, and how long certificates last."""
    room = os.statvfs(layout.data)
    yield from of_room(room.f_bavail * room.f_frsize, layout.data)
    for path in map(layout.path, SECRETS):
        if os.path.exists(path) and (mode := stat.S_IMODE(os.stat(path).st_mode)) & 0o077:
            yield Finding("error", f"{path} is open to others (mode {mode:03o})", f"chmod 600 {path}")
    for path in (layout.path("tls", "ca.pem"), layout.path("tls", "server.pem"), *certificates(layout)):
        words = ["openssl", "x509", "-in", path, "-noout", "-checkend", str(SOON_S)]
        if shutil.which("openssl") and os.path.exists(path):
            done = subprocess.run(words, capture_output=True, check=False)
            if done.returncode:
                yield Finding("warning", f"{path} ends within 30 days, or is none", f"openssl x509 -in {path} -text")


def of_room(free: int, data: str) -> Iterator[Finding]:
    """So many bytes are free; an error where no build would begin any more."""
    if free < LEAST_FREE:
        severity = "error" if free < FOR_A_BUILD else "warning"
        yield Finding(severity, f"only {free >> 20} MB are free at {data}", f"du -xh -d 2 {data}")


def of_users() -> Iterator[Finding]:
    """Whether a server of root's can give each app a user of its own."""
    words = first_uid(PROGRAM, surroundings())[1] if os.geteuid() == 0 else ""
    if words:
        yield Finding("warning", words.rstrip("."), "python3 -m venv /opt/procman")


def certificates(layout: Layout) -> list[str]:
    """Those of apps."""
    folder = layout.path("certificates")
    names = os.listdir(folder) if os.path.isdir(folder) else []
    return [os.path.join(folder, name) for name in sorted(names) if name.endswith(".pem")]


def serving(layout: Layout) -> bool:
    """Whether a server runs, by the pid in its lock."""
    try:
        with open(layout.lock, encoding="ascii", errors="replace") as file:
            pid = file.read().strip().removeprefix("pid ")
    except OSError:
        return False
    row = read_process(int(pid)) if pid.isdecimal() else None
    return row is not None and row.alive and "server" in command_of(int(pid))


def of_ports(layout: Layout) -> Iterator[Finding]:
    """Ports that the server had, and others have now."""
    try:
        with open(layout.path(ADDRESSES), encoding="ascii") as file:
            said = json.load(file)
    except (OSError, ValueError):
        return
    taken = {} if serving(layout) else ports.listeners()
    for where in (said.get("api"), said.get("git"), said.get("rendezvous")):
        port = str(where).rpartition(":")[2]
        if port.isdecimal() and int(port) in taken:
            who = ports.holder(taken[int(port)])
            yield Finding("error", f"port {port} is taken by {who}", "procman server --port ANOTHER")


def of_database(layout: Layout) -> Iterator[Finding]:
    """Its integrity and schema, and what it says that the disk does not."""
    known = sum(name.endswith(".sql") for name in os.listdir(MIGRATIONS))
    how = "mode=ro" if os.path.exists(f"{layout.database}-wal") else "immutable=1"  # neither makes a file
    with closing(sqlite3.connect(f"file:{layout.database}?{how}", uri=True, timeout=10)) as database:
        (answer,) = database.execute("PRAGMA integrity_check").fetchone()
        if answer != "ok":
            yield Finding("error", f"the database is damaged: {answer}", "procman restore FILE --data ANOTHER-DIR")
        (schema,) = database.execute("PRAGMA user_version").fetchone()
        if schema > known:
            what = f"the database has schema {schema}, and this procman knows {known}"
            yield Finding("error", what, "pip install --upgrade procman")
        current = "SELECT apps.name, slug_id FROM apps JOIN releases ON releases.id = apps.release_id"
        for name, slug in database.execute(current).fetchall():
            if slug and not (os.path.isdir(layout.slug(slug)) or os.path.exists(layout.packed_slug(slug))):
                hint = f"git commit --allow-empty -m again && git push, to {name}"
                yield Finding("error", f"the slug of {name}'s current release is missing", hint)
        apps = {app for (app,) in database.execute("SELECT id FROM apps").fetchall()}
    for home in homes(layout.path("apps")):
        if home.name not in apps:
            running = f"its supervisor runs (pid {home.facts().get('pid')})" if home.is_running() else "a stale home"
            hint = "start the server, which ends it" if home.is_running() else f"rm -r {home.path}"
            yield Finding("warning", f"{home.path} is of no app that the server knows: {running}", hint)
