"""Where a server is reached, written down in its data for this host's command line."""

from typing import NamedTuple

ADDRESSES = "addresses.json"


class Addresses(NamedTuple):
    """``api``: a URL; ``git`` and ``rendezvous``: HOST:PORT of TLS; ``router``: a port, None without one."""

    api: str
    git: str
    rendezvous: str
    router: int | None
