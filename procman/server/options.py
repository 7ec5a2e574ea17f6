"""What `procman server` was asked for, and the settings that come of it."""

from typing import NamedTuple

from procman.platform.host import Settings
from procman.router.settings import Timeouts
from procman.server.place import mount_point

HOST = "127.0.0.1"


class Options(NamedTuple):
    """``ports``: of the API, of the same with TLS (git), of the rendezvous.

    ``build_timeout``: seconds. ``slug_limit``: bytes of a packed slug. ``https_port``: the router's, besides its own.
    ``first_port``: of the blocks of new apps; two servers on a host need them apart.
    """

    data: str
    ports: tuple[int, int, int]
    router_port: int | None
    owner: str | None = None
    router_host: str = HOST
    domain: str = "localhost"
    push_creates_apps: bool = False
    build_timeout: float | None = None
    slug_limit: int | None = None
    https_port: int | None = None
    router_timeouts: Timeouts = Timeouts()
    first_port: int | None = None
    allow_local_addresses: bool = False


def settings_of(options: Options, uid: int | None) -> Settings:
    """How this server is reached, and what it may do."""
    plain, tls, rendezvous = options.ports
    usual = Settings()
    return Settings(
        api_url=f"http://{HOST}:{plain}",
        git_host=f"{HOST}:{tls}",
        rendezvous_address=f"{HOST}:{rendezvous}",
        router_port=options.router_port or 0,
        domain=options.domain,
        first_uid=uid,
        mount=mount_point(),
        first_port=options.first_port or usual.first_port,
        push_creates_apps=options.push_creates_apps,
        allow_local_addresses=options.allow_local_addresses,
        build_timeout=options.build_timeout or usual.build_timeout,
        slug_limit=options.slug_limit or usual.slug_limit,
    )
