"""Uploaded files: received in pieces, whole or not at all."""

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator
from typing import NamedTuple

from procman.platform.refusals import Refusal


class Blob(NamedTuple):
    """What was received."""

    size: int
    checksum: str  # SHA256:HEX


async def receive(path: str, chunks: AsyncIterator[bytes], limit: int) -> Blob:
    """Write to ``path`` what comes, once it has all come. Raises Refusal over ``limit`` bytes or without room."""
    part = f"{path}.{os.urandom(6).hex()}.part"
    digest, size = hashlib.sha256(), 0
    fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        async for chunk in chunks:
            size += len(chunk)
            if size > limit:
                raise Refusal("payload_too_large", f"The upload is over {limit >> 20} MB.")
            digest.update(chunk)
            await asyncio.to_thread(write_all, fd, chunk)
        await asyncio.to_thread(os.fsync, fd)
        os.replace(part, path)
    except OSError as error:
        raise Refusal("service_unavailable", f"Cannot keep the upload: {error.strerror}.") from None
    finally:
        os.close(fd)
        if os.path.exists(part):
            os.unlink(part)
    return Blob(size, f"SHA256:{digest.hexdigest()}")


def write_all(fd: int, data: bytes) -> None:
    """However little is taken at a time."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
