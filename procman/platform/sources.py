"""Sources: tarballs that are uploaded to be built. An address holds a secret; who has it may put and get."""

import asyncio
import hmac
import os
import secrets
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

from procman.core.records import App, Source
from procman.platform.blobs import receive
from procman.platform.host import Host
from procman.platform.refusals import Refusal, missing
from procman.store import tables
from procman.store.database import Tx

LASTS_S = 86_400.0
MOST_BYTES = 1 << 30


async def create(host: Host, app: App | None) -> Source:
    """A place for a tarball; old ones go."""

    def insert(tx: Tx) -> tuple[Source, list[Source]]:
        now = host.now()
        old = tables.sources.select(tx, "WHERE created_at < ?", (now - LASTS_S,))
        for source in old:
            tables.sources.delete(tx, id=source.id)
        row = Source(host.new_id(), app.id if app else None, secrets.token_urlsafe(24), now)
        return tables.sources.insert(tx, row), old

    row, old = await host.db.run(insert)
    for source in old:
        if os.path.exists(path := file_of(host, source)):
            os.unlink(path)
    return row


def url(host: Host, source: Source) -> str:
    """Where it is put, and got."""
    return f"{host.settings.api_url}/sources/{source.id}/{source.secret}"


def file_of(host: Host, source: Source) -> str:
    """Where it lies."""
    return host.layout.source(source.id)


async def find(host: Host, source_id: str, secret: str) -> Source:
    """Raises Refusal, the same for a wrong secret."""
    found = await host.db.run(lambda tx: tables.sources.get(tx, id=source_id))
    if found is None or not hmac.compare_digest(found.secret.encode(), secret.encode()):
        raise missing("source")
    return found


async def put(host: Host, source: Source, chunks: AsyncIterator[bytes]) -> int:
    """Keep what is uploaded, all of it or nothing; its size. Raises Refusal."""
    return (await receive(file_of(host, source), chunks, MOST_BYTES)).size


def path_of(host: Host, source: Source) -> str:
    """The uploaded file. Raises Refusal when nothing has been uploaded."""
    path = file_of(host, source)
    if not os.path.isfile(path):
        raise missing("source")
    return path


async def local_file(host: Host, address: str) -> str | None:
    """The file behind an address of this server's own; None for any other, which has to be fetched. Raises Refusal."""
    own, parts = urlsplit(host.settings.api_url), urlsplit(address)
    words = parts.path.strip("/").split("/")
    if (parts.scheme, parts.netloc) != (own.scheme, own.netloc) or len(words) != 3 or words[0] != "sources":
        return None
    path = path_of(host, await find(host, words[1], words[2]))
    if not await asyncio.to_thread(os.path.getsize, path):
        raise Refusal("invalid_params", "The source is empty.")
    return path
