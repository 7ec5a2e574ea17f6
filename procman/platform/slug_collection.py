"""Slugs: the results of builds, kept for rollbacks, and collected when there are many."""

import asyncio
import os
import shutil

from procman.core.records import App, Slug
from procman.platform.host import Host
from procman.store import tables
from procman.store.database import Tx

KEPT = 10  # newest slugs of an app


async def collect(host: Host, app: App, kept: int = KEPT) -> list[Slug]:
    """Remove old slugs: never that of the current release, of the one before it, or of one that is to come."""

    def choose(tx: Tx) -> list[Slug]:
        found = tables.slugs.find(tx, order="created_at DESC", app_id=app.id, state="ready")
        precious = in_use(tx, app.id)
        gone = [slug for slug in found[kept:] if slug.id not in precious]
        for slug in gone:
            tables.slugs.update(tx, slug.id, state="collected", updated_at=host.now())
        return gone

    gone = await host.db.run(choose)
    for slug in gone:
        await asyncio.to_thread(remove, host, slug.id)
    return gone


def in_use(tx: Tx, app_id: str) -> set[str]:
    """Slugs that must stay: of the current release, the two newest good ones, and pending ones."""
    now = tables.apps.get(tx, id=app_id)
    rows = tables.releases.select(
        tx, "WHERE app_id = ? AND slug_id IS NOT NULL AND status != 'failed' ORDER BY version DESC", (app_id,)
    )
    current = [row for row in rows if now and row.id == now.release_id]
    others = [row for row in rows if row.slug_id not in {one.slug_id for one in current} and row.status == "succeeded"]
    pending = [row for row in rows if row.status == "pending"]
    return {row.slug_id for row in (*current, *others[:1], *pending) if row.slug_id}


def remove(host: Host, slug_id: str) -> None:
    """Its files. The database has let go of it already."""
    shutil.rmtree(host.layout.slug(slug_id), ignore_errors=True)
    if os.path.exists(packed := host.layout.packed_slug(slug_id)):
        os.unlink(packed)
