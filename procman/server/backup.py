"""Backups: all that is truth in a data directory as one file, and a data directory made of one.

Truth is the database, the owner's key, TLS keys and certificates, repositories, outputs, and the slugs that a release
or a rollback to the one before needs. Homes, logs, caches and the router's files are made again, or left behind.
The file is a gzipped tar: ``manifest.json``, the members below ``data/``, and ``checksums.json`` at the end.
"""

import hashlib
import io
import json
import os
import shutil
import sqlite3
import tarfile
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

from procman import __version__
from procman.errors import ProcmanError
from procman.platform.layout import Layout
from procman.platform.slug_collection import in_use
from procman.store.database import MIGRATIONS

FORMAT = 1
WHOLE = ("tls", "certificates", "output")
MANIFEST, CHECKSUMS, INSIDE = "manifest.json", "checksums.json", "data"


def back_up(data: str, path: str) -> int:
    """Write the backup of ``data`` to the new file ``path``, 0600; its size. A server may run. Raises ProcmanError."""
    layout = Layout(data)
    if not os.path.isfile(layout.database):
        raise ProcmanError(f"cannot back up {data}: there is no procman.db in it", "procman backup FILE --data DIR")
    if os.path.lexists(path):
        raise ProcmanError(f"cannot write {path}: it is there already", "procman backup ANOTHER-FILE")
    folder = os.path.dirname(os.path.abspath(path))
    work = None
    try:
        work = tempfile.mkdtemp(dir=folder, prefix=".procman-backup-")
        made = os.path.join(work, "backup.tgz")
        with open(os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            write(file, layout, work)
            file.flush()
            os.fsync(file.fileno())
        os.link(made, path)  # which, unlike a rename, replaces nothing
        return os.path.getsize(path)
    except (OSError, sqlite3.Error, tarfile.TarError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ProcmanError(f"cannot back up {data} to {path}: {reason}", "procman doctor") from None
    finally:
        if work:
            shutil.rmtree(work, ignore_errors=True)


def write(file: Any, layout: Layout, work: str) -> None:
    """The database first: files are complete before it knows of them."""
    copy = os.path.join(work, "procman.db")
    schema, slugs = copy_database(layout.database, copy)
    sums: dict[str, str] = {}
    with tarfile.open(fileobj=file, mode="w:gz", compresslevel=1, format=tarfile.PAX_FORMAT) as archive:
        about = {"format": FORMAT, "procman": __version__, "schema": schema, "created": int(time.time())}
        add_text(archive, MANIFEST, about)
        add(archive, copy, "procman.db", sums)
        for name in ("owner.key", *WHOLE):
            add_tree(archive, layout.path(name), name, sums)
        for name in sorted(os.listdir(layout.path("repos"))):
            if name.endswith(".git"):
                add_tree(archive, layout.path("repos", name), f"repos/{name}", sums)
        for slug in slugs:
            for place in (layout.slug(slug), layout.packed_slug(slug)):
                add_tree(archive, place, f"slugs/{os.path.basename(place)}", sums)
        add_text(archive, CHECKSUMS, sums)


def copy_database(path: str, copy: str) -> tuple[int, list[str]]:
    """A copy as of one moment, in which the slugs that are not taken along are gone; its schema, and the others."""
    os.close(os.open(copy, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    with closing(sqlite3.connect(path, timeout=10)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)
        target.execute("PRAGMA journal_mode=DELETE")
        kept = {slug for (app,) in target.execute("SELECT id FROM apps").fetchall() for slug in in_use(target, app)}
        ready = [slug for (slug,) in target.execute("SELECT id FROM slugs WHERE state = 'ready'").fetchall()]
        gone = [(slug,) for slug in ready if slug not in kept]
        target.executemany("UPDATE slugs SET state = 'collected' WHERE id = ?", gone)
        target.commit()
        (schema,) = target.execute("PRAGMA user_version").fetchone()
        return schema, sorted(slug for slug in ready if slug in kept)


def add_tree(archive: tarfile.TarFile, path: str, name: str, sums: dict[str, str]) -> None:
    """A file or folder, if there is one. Of a repository refs go before objects: no ref may lack what it names."""
    if not os.path.lexists(path):
        return
    add(archive, path, name, sums)
    if os.path.isdir(path) and not os.path.islink(path):
        for inner in sorted(os.listdir(path), key=lambda inner: (inner == "objects", inner)):
            add_tree(archive, os.path.join(path, inner), f"{name}/{inner}", sums)


def add(archive: tarfile.TarFile, path: str, name: str, sums: dict[str, str]) -> None:
    """One member; what is neither file, folder nor link, or has just gone, is left out."""
    try:
        if os.path.islink(path) or os.path.isdir(path):
            archive.add(path, f"{INSIDE}/{name}", recursive=False)
            return
        if not os.path.isfile(path):
            return
        file = open(path, "rb")
    except FileNotFoundError:
        return
    with file:
        member = archive.gettarinfo(arcname=f"{INSIDE}/{name}", fileobj=file)
        member.type, member.linkname = tarfile.REGTYPE, ""  # hard links become files of their own
        member.size = os.fstat(file.fileno()).st_size
        digest = hashlib.sha256()
        archive.addfile(member, Digesting(file, digest))
        sums[name] = digest.hexdigest()


class Digesting:
    """A file whose bytes are counted into a digest as they are read."""

    def __init__(self, file: Any, digest: Any) -> None:
        self._file, self._digest = file, digest

    def read(self, size: int = -1) -> bytes:
        """As of the file."""
        data: bytes = self._file.read(size)
        self._digest.update(data)
        return data


def add_text(archive: tarfile.TarFile, name: str, value: object) -> None:
    """A member of our own."""
    data = json.dumps(value, indent=1).encode()
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(data), 0o600
    archive.addfile(member, io.BytesIO(data))


def restore(path: str, data: str) -> dict[str, Any]:
    """Make ``data``, which is empty or not there, of a backup; its manifest. All or nothing. Raises ProcmanError."""
    if os.path.lexists(data) and (not os.path.isdir(data) or os.listdir(data)):
        raise ProcmanError(f"cannot restore to {data}: it is not empty", f"procman restore {path} --data DIR")
    above = os.path.dirname(os.path.abspath(data))
    work = None
    try:
        os.makedirs(above, mode=0o700, exist_ok=True)
        work = tempfile.mkdtemp(dir=above, prefix=".procman-restore-")
        with tarfile.open(path, "r:gz") as archive:
            about, sums = unpack(archive, path, work)
        made = os.path.join(work, INSIDE)
        verify(made, sums, path)
        os.chmod(made, 0o700)
        os.rename(made, data)
        return about
    except (OSError, EOFError, tarfile.TarError, ValueError, sqlite3.Error) as error:
        reason = getattr(error, "strerror", None) or error or "it ends too soon"
        raise ProcmanError(f"cannot restore {path} to {data}: {reason}") from None
    finally:
        if work:
            shutil.rmtree(work, ignore_errors=True)


def unpack(archive: tarfile.TarFile, path: str, work: str) -> tuple[dict[str, Any], dict[str, str]]:
    """Everything into ``work``; manifest and checksums."""
    first = archive.next()
    about = read_text(archive, first) if first and first.name == MANIFEST else {}
    if about.get("format") != FORMAT:
        raise ProcmanError(f"cannot restore {path}: it is no backup that this procman can read", "procman backup FILE")
    known = sum(name.endswith(".sql") for name in os.listdir(MIGRATIONS))
    if about["schema"] > known:
        raise ProcmanError(
            f"cannot restore {path}: its schema {about['schema']} is newer than this procman's {known}",
            "pip install --upgrade procman",
        )
    sums = None
    while member := archive.next():
        if member.name == CHECKSUMS:
            sums = read_text(archive, member)
        elif member.name.startswith(f"{INSIDE}/") and (member.isreg() or member.isdir() or member.issym()):
            extract(archive, member, work)
        else:
            raise ProcmanError(f"cannot restore {path}: '{member.name}' does not belong into a backup")
    if sums is None:
        raise ProcmanError(f"cannot restore {path}: it is not complete")
    return about, sums


def extract(archive: tarfile.TarFile, member: tarfile.TarInfo, work: str) -> None:
    """Below ``work``, also by the links that lie there by now, and without special mode bits. Raises ProcmanError."""
    within = os.path.realpath(work)
    if os.path.commonpath((within, os.path.realpath(os.path.join(within, member.name)))) != within:
        raise ProcmanError(f"cannot restore: '{member.name}' leads out of the backup")
    member.mode &= 0o755
    if hasattr(tarfile, "tar_filter"):  # it came with 3.11.4; later on there has to be one
        archive.extract(member, work, numeric_owner=True, filter="tar")
    else:
        archive.extract(member, work, numeric_owner=True)


def read_text(archive: tarfile.TarFile, member: tarfile.TarInfo) -> dict[str, Any]:
    """A member of our own, read back."""
    file = archive.extractfile(member)
    value = json.loads(file.read()) if file else {}
    return value if isinstance(value, dict) else {}


def verify(made: str, sums: dict[str, str], path: str) -> None:
    """Exactly the files that were backed up, byte for byte, and a sound database."""
    found = {os.path.relpath(name, made): name for name in regular_files(made)}
    if wrong := sorted(found.keys() ^ sums.keys()):
        raise ProcmanError(f"cannot restore {path}: '{wrong[0]}' is missing, or too much")
    for name, place in found.items():
        with open(place, "rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != sums[name]:
                raise ProcmanError(f"cannot restore {path}: '{name}' is damaged")
    with closing(sqlite3.connect(os.path.join(made, "procman.db"))) as database:
        (answer,) = database.execute("PRAGMA integrity_check").fetchone()
    if answer != "ok":
        raise ProcmanError(f"cannot restore {path}: its database is damaged: {answer}")


def regular_files(folder: str) -> Iterator[str]:
    """All of them below, links not followed."""
    for root, _, names in os.walk(folder):
        yield from (place for name in names if not os.path.islink(place := os.path.join(root, name)))
