"""Where a build's source comes from: an address that holds a tarball, ours or anybody's."""

import hashlib
import os
import tempfile
from collections.abc import Callable
from typing import NamedTuple
from urllib.parse import urlsplit

from procman import __version__
from procman.builds.archive import source_tarball
from procman.errors import ProcmanError
from procman.platform import sources
from procman.platform.host import Host
from procman.platform.refusals import invalid
from procman.reach import FAILURES, AddressRefused, Patience, Reach, cause, reason

PATIENCE = Patience(60.0, 600.0)  # a source that trickles would hold a thread of the server's for ever
CHUNK = 256 << 10


async def from_url(host: Host, url: str, checksum: str | None) -> Callable[[str], tuple[str, ...]]:
    """What puts the source into an empty folder: it blocks, and raises ProcmanError. Raises Refusal at once."""
    if urlsplit(url).scheme not in ("http", "https"):
        raise invalid("source_blob.url must be an http or https URL.")
    wanted = checksum.lower().removeprefix("sha256:") if checksum else None
    if wanted is not None and (len(wanted) != 64 or set(wanted) - set("0123456789abcdef")):
        raise invalid("source_blob.checksum must be SHA256: and 64 hexadecimal digits.")
    path = await sources.local_file(host, url)
    try:
        if path is None:
            host.reach.check(urlsplit(url).hostname or "")
    except AddressRefused as error:
        raise invalid(f"source_blob.url: {error}.") from None
    source = Source(url, path, wanted)
    folder = host.layout.path("sources")
    return lambda tree: bring(source, host.reach, folder, tree)


class Source(NamedTuple):
    """``path``: where it lies on this host already. ``checksum``: SHA-256 that it must have."""

    url: str
    path: str | None
    checksum: str | None


def bring(source: Source, reach: Reach, folder: str, tree: str) -> tuple[str, ...]:
    """Fetch what is not here, check it, unpack it. Raises ProcmanError, without the URL: it may hold a secret."""
    path, checksum = source.path, source.checksum
    fetched = None
    try:
        if path is None:
            path = fetched = fetch(source.url, folder, reach)
        if checksum is not None and digest(path) != checksum:
            raise ProcmanError("cannot use the source: its checksum is not the one that was given")
        source_tarball(path, tree)
        return ()
    finally:
        if fetched:
            os.unlink(fetched)


def fetch(url: str, folder: str, reach: Reach) -> str:
    """Download to a file of its own. Raises ProcmanError."""
    headers = {"User-Agent": f"procman/{__version__}"}
    fd, path = tempfile.mkstemp(dir=folder, suffix=".part")
    try:
        with os.fdopen(fd, "wb") as file, reach.open(url, headers, PATIENCE) as answer:
            while chunk := getattr(answer, "read1", answer.read)(CHUNK):
                file.write(chunk)
                if file.tell() > sources.MOST_BYTES:
                    raise ProcmanError(f"cannot use the source: it is over {sources.MOST_BYTES >> 20} MB")
    except FAILURES as error:
        os.unlink(path)
        host = urlsplit(url).netloc.rpartition("@")[2]
        raise ProcmanError(f"cannot fetch the source: {reason(error) or f'{host}: {cause(error)}'}") from None
    except ProcmanError:
        os.unlink(path)
        raise
    return path


def digest(path: str) -> str:
    """SHA-256 in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
