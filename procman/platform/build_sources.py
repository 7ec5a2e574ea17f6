"""Where a build's source comes from: an address that holds a tarball, ours or anybody's."""

import hashlib
import os
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from urllib.parse import urlsplit

from procman import __version__
from procman.builds.archive import source_tarball
from procman.errors import ProcmanError
from procman.platform import sources
from procman.platform.host import Host
from procman.platform.refusals import invalid

TIMEOUT_S = 60.0
FETCH_S = 600.0  # for all of it: a source that trickles would hold a thread of the server's for ever
CHUNK = 256 << 10


async def from_url(host: Host, url: str, checksum: str | None) -> Callable[[str], tuple[str, ...]]:
    """What puts the source into an empty folder: it blocks, and raises ProcmanError. Raises Refusal at once."""
    if urlsplit(url).scheme not in ("http", "https"):
        raise invalid("source_blob.url must be an http or https URL.")
    wanted = checksum.lower().removeprefix("sha256:") if checksum else None
    if wanted is not None and (len(wanted) != 64 or set(wanted) - set("0123456789abcdef")):
        raise invalid("source_blob.checksum must be SHA256: and 64 hexadecimal digits.")
    path = await sources.local_file(host, url)
    folder = host.layout.path("sources")
    return lambda tree: bring(url, path, wanted, folder, tree)


def bring(url: str, path: str | None, checksum: str | None, folder: str, tree: str) -> tuple[str, ...]:
    """Fetch what is not here, check it, unpack it. Raises ProcmanError, without the URL: it may hold a secret."""
    fetched = None
    try:
        if path is None:
            path = fetched = fetch(url, folder)
        if checksum is not None and digest(path) != checksum:
            raise ProcmanError("cannot use the source: its checksum is not the one that was given")
        source_tarball(path, tree)
        return ()
    finally:
        if fetched:
            os.unlink(fetched)


def fetch(url: str, folder: str) -> str:
    """Download to a file of its own. Raises ProcmanError."""
    request = urllib.request.Request(url, headers={"User-Agent": f"procman/{__version__}"})  # noqa: S310 - checked
    deadline = time.monotonic() + FETCH_S
    fd, path = tempfile.mkstemp(dir=folder, suffix=".part")
    try:
        with os.fdopen(fd, "wb") as file, urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:  # noqa: S310
            while chunk := getattr(answer, "read1", answer.read)(CHUNK):
                file.write(chunk)
                if file.tell() > sources.MOST_BYTES:
                    raise ProcmanError(f"cannot use the source: it is over {sources.MOST_BYTES >> 20} MB")
                if time.monotonic() > deadline:
                    raise ProcmanError(f"cannot fetch the source: it did not come within {FETCH_S:.0f} s")
    except (OSError, ValueError) as error:
        os.unlink(path)
        reason = error.code if isinstance(error, urllib.error.HTTPError) else type(error).__name__
        raise ProcmanError(f"cannot fetch the source: {reason}") from None
    except ProcmanError:
        os.unlink(path)
        raise
    return path


def digest(path: str) -> str:
    """SHA-256 in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
