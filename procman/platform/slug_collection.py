"""Slugs: the results of builds, kept for rollbacks, and collected when there are many, or when the disk is nearly full.

The database lets go of a slug before its files are removed, and learns of one when its files are complete. So what a
server that was killed has left on the disk is what no row calls ready: ``sweep`` removes that.
"""

import asyncio
import os
import shutil
import subprocess
from collections.abc import Callable

from procman.core.records import App, Slug
from procman.platform.host import Host
from procman.platform.releases import newest_slug
from procman.store import tables
from procman.store.database import Tx

KEPT = 10  # newest slugs of an app


async def collect(host: Host, app: App, kept: int = KEPT) -> list[Slug]:
    """Remove old slugs: never that of the current release, of the one before it, or of one that is to come."""

    def choose(tx: Tx) -> list[Slug]:
        found = tables.slugs.find(tx, order="created_at DESC", app_id=app.id, state="ready")
        precious = in_use(tx, app.id)
        return [let_go(host, tx, slug) for slug in found[kept:] if slug.id not in precious]

    gone = await host.db.run(choose)
    for slug in gone:
        await asyncio.to_thread(remove, host, slug.id)
    return gone


async def make_room(host: Host, free: Callable[[], int] | None = None) -> list[Slug]:
    """Remove slugs of all apps, the oldest first, until the disk has room for a build or only the needed ones are left.

    ``free``: asks the disk.
    """
    ask = free or (lambda: free_bytes(host.layout.path("slugs")))

    def choose(tx: Tx) -> Slug | None:
        found = tables.slugs.find(tx, order="created_at", state="ready")
        precious = {slug for app in {slug.app_id for slug in found} for slug in in_use(tx, app)}
        return next((let_go(host, tx, slug) for slug in found if slug.id not in precious), None)

    gone: list[Slug] = []
    while ask() < host.settings.room and (slug := await host.db.run(choose)):
        await asyncio.to_thread(remove, host, slug.id)
        host.say(slug.app_id, f"Slug {(slug.commit_hash or slug.id)[:8]} was removed: the server's disk is nearly full")
        gone.append(slug)
    return gone


def let_go(host: Host, tx: Tx, slug: Slug) -> Slug:
    """From here on it is gone, whatever is left of its files."""
    tables.slugs.update(tx, slug.id, state="collected", updated_at=host.now())
    return slug


def in_use(tx: Tx, app_id: str) -> set[str]:
    """Slugs that must stay: of the current release, of the good one before it, of pending ones, and the newest."""
    now = tables.apps.get(tx, id=app_id)
    rows = tables.releases.select(
        tx, "WHERE app_id = ? AND slug_id IS NOT NULL AND status != 'failed' ORDER BY version DESC", (app_id,)
    )
    current = [row for row in rows if now and row.id == now.release_id]
    others = [row for row in rows if row.slug_id not in {one.slug_id for one in current} and row.status == "succeeded"]
    pending = [row for row in rows if row.status == "pending"]
    kept = (*(row.slug_id for row in (*current, *others[:1], *pending)), newest_slug(tx, app_id))  # of the next release
    return {slug_id for slug_id in kept if slug_id}


async def sweep(host: Host) -> list[str]:
    """At the server's start: remove what no row calls a slug. The names of what was removed."""
    ready = {slug.id for slug in await host.db.run(lambda tx: tables.slugs.find(tx, state="ready"))}

    def clear() -> list[str]:
        folder = host.layout.path("slugs")
        gone = [name for name in os.listdir(folder) if name not in ready and name.removesuffix(".tgz") not in ready]
        for name in gone:
            remove_path(os.path.join(folder, name))
        return gone

    return await asyncio.to_thread(clear)


def remove(host: Host, slug_id: str) -> None:
    """Its files, also those of one that is half-made. The database knows nothing of it, or has let go of it."""
    packed = host.layout.packed_slug(slug_id)
    for path in (host.layout.slug(slug_id), packed, f"{packed}.part"):
        remove_path(path)


def remove_path(path: str) -> None:
    """A file, or a folder with all that is in it, locked by its owner or not."""
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path, ignore_errors=True)
        if os.path.isdir(path):
            subprocess.run(["chmod", "-R", "u+rwX", "--", path], stderr=subprocess.DEVNULL, check=False)
            shutil.rmtree(path, ignore_errors=True)
    elif os.path.lexists(path):
        os.unlink(path)


def free_bytes(folder: str) -> int:
    """What the disk still takes."""
    disk = os.statvfs(folder)
    return disk.f_bavail * disk.f_frsize
