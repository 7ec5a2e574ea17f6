"""Slugs that are uploaded ready-built: first a row, then the packed file, then a release of it.

Heroku: platform-api-deploying-slugs.
"""

import asyncio
import os
import re
import shutil
import sqlite3
from collections.abc import AsyncIterator, Mapping
from typing import NamedTuple

from procman.builds.slug import drop_setuid, unpack_slug
from procman.core.records import App, Slug, User
from procman.errors import ProcmanError
from procman.platform import audit, signatures
from procman.platform.blobs import Blob, receive
from procman.platform.host import Host
from procman.platform.refusals import Refusal, conflict, invalid, missing
from procman.store import tables
from procman.store.database import Tx

PURPOSE = "slug"
LASTS_S = 3600.0  # an upload's or a download's address
MOST_BYTES = 500 << 20  # Heroku: limits, slug size
TYPE = re.compile(r"[A-Za-z0-9_-]{1,60}")
CHECKSUM = re.compile(r"SHA256:[0-9a-f]{64}")


class Wish(NamedTuple):
    """A slug to be."""

    process_types: Mapping[str, object]
    checksum: str | None = None
    commit_hash: str | None = None
    commit_description: str | None = None
    stack: str | None = None
    description: str | None = None


async def create(host: Host, user: User, app: App, wish: Wish) -> Slug:
    """The row; the file is awaited. Raises Refusal."""
    types = checked(wish.process_types)
    checksum = wish.checksum.replace("sha256:", "SHA256:") if wish.checksum else None
    if checksum and not CHECKSUM.fullmatch(checksum):
        raise invalid("checksum must be SHA256: and 64 hexadecimal digits.")
    if wish.stack not in (None, host.settings.stack):
        raise invalid(f"Couldn't find that stack: there is {host.settings.stack}.")
    now = host.now()
    slug = Slug(
        host.new_id(), app.id, "pending", types, wish.commit_hash, wish.commit_description, checksum, None,
        host.settings.stack, wish.description, {}, now, now,
    )

    def insert(tx: Tx) -> None:
        tables.slugs.insert(tx, slug)
        audit.note(host, tx, user, app, "create slug", slug.id)

    await host.db.run(insert)
    return slug


def checked(process_types: Mapping[str, object]) -> dict[str, str]:
    """Raises Refusal."""
    for name, command in process_types.items():
        if not TYPE.fullmatch(name):
            raise invalid(f"'{name[:60]}' is not a name of a process type: letters, digits, - and _.")
        if not isinstance(command, str) or not command.strip() or "\0" in command:
            raise invalid(f"The command of the process type {name} must be a string.")
    return {name: str(command) for name, command in process_types.items()}


async def shown(host: Host, app: App, slug_id: str) -> Slug:
    """Raises Refusal."""
    found = await host.db.run(lambda tx: tables.slugs.get(tx, id=slug_id, app_id=app.id))
    if found is None:
        raise missing("slug")
    return found


async def url(host: Host, slug: Slug) -> str:
    """Where the packed slug is put, or got, for an hour."""
    word = await signatures.sign(host, PURPOSE, {"slug": slug.id}, LASTS_S)
    return f"{host.settings.api_url}/slug-blobs/{word}"


async def find(host: Host, word: str) -> Slug:
    """The slug of such an address. Raises Refusal."""
    facts = await signatures.read(host, PURPOSE, word)
    found = await host.db.run(lambda tx: tables.slugs.get(tx, id=facts["slug"])) if facts else None
    if found is None:
        raise missing("slug")
    return found


async def put(host: Host, slug: Slug, chunks: AsyncIterator[bytes]) -> Blob:
    """Receive the packed slug, unpack it, and call it ready: all of that or nothing. Raises Refusal."""
    if slug.state != "pending":
        raise conflict("That slug has been uploaded already.")
    packed, tree = host.layout.packed_slug(slug.id), host.layout.slug(slug.id)
    blob = await receive(packed, chunks, MOST_BYTES)
    try:
        if slug.checksum and slug.checksum != blob.checksum:
            raise invalid("The upload is not what was announced: its checksum differs.")
        app = await host.db.run(lambda tx: tables.apps.get(tx, id=slug.app_id))
        await asyncio.to_thread(unpack, packed, tree, app.uid if app else None)
    except BaseException:
        os.unlink(packed)
        raise

    def ready(tx: Tx) -> None:
        now = tables.slugs.get(tx, id=slug.id)
        if now is None or now.state != "pending":
            raise conflict("That slug has been uploaded already.")
        tables.slugs.update(
            tx, slug.id, state="ready", size=blob.size, checksum=blob.checksum, updated_at=host.now()
        )

    try:
        await host.db.run(ready)
    except sqlite3.Error:  # the disk is full, perhaps: the upload can be repeated
        await asyncio.to_thread(shutil.rmtree, tree, True)
        os.unlink(packed)
        raise
    return blob


def unpack(packed: str, tree: str, uid: int | None) -> None:
    """Files below ``./app/`` become the slug's tree, whole or not at all, owned by ``uid``. Raises Refusal."""
    part = f"{tree}.{os.urandom(6).hex()}.part"
    os.mkdir(part, 0o700)
    try:
        unpack_slug(packed, part)
        hand_over(part, uid)
        os.rename(part, tree)
    except ProcmanError as error:
        raise invalid(f"{error.what[:1].upper()}{error.what[1:]}.") from None
    except OSError as error:
        raise Refusal("service_unavailable", f"Cannot unpack the slug: {error.strerror}.") from None
    finally:
        shutil.rmtree(part, ignore_errors=True)


def hand_over(tree: str, uid: int | None) -> None:
    """To the user that the app's dynos run as; nobody else may look."""
    drop_setuid(tree)
    if uid is not None:
        for folder, _, files in os.walk(tree):
            for name in (folder, *(os.path.join(folder, file) for file in files)):
                os.chown(name, uid, uid, follow_symlinks=False)
