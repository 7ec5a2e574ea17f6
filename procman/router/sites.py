"""What is to be routed: one app's names and the dynos that answer for them, checked before anything is written."""

import ipaddress
import re
from collections.abc import Iterable
from typing import NamedTuple
from urllib.parse import quote, urlsplit

from procman.errors import ProcmanError

STATES = ("up", "starting", "crashed", "none", "blank")
APP_ID = re.compile(r"[A-Za-z0-9-]{1,64}")
DYNO = re.compile(r"[A-Za-z0-9_-]{1,64}\.[0-9]{1,6}")
LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
URL_SAFE = "!$&'()*+,;=:@/?#[]%-._~"
URL_MAX = 2000


class Server(NamedTuple):
    """A web dyno that requests may go to."""

    dyno: str
    generation: int
    port: int
    host: str = "127.0.0.1"

    @property
    def label(self) -> str:
        """Its name in HAProxy: old and new ``web.1`` are different servers."""
        return f"{self.dyno}:{self.generation}"


class Certificate(NamedTuple):
    """``pem``: path of a file with the certificate, its chain and its key. Names are taken from the certificate."""

    name: str
    pem: str


class Site(NamedTuple):
    """An app as the router sees it. ``hosts``: lower case; ``*.example.com`` stands for every name below.

    ``servers``: what requests go to. ``state``: why there is none: ``starting`` (requests wait), ``crashed``, ``none``
    (scaled to zero), ``blank`` (no release). ``session_affinity``: a cookie leads a client back to its dyno.
    """

    app_id: str
    app_name: str
    hosts: tuple[str, ...] = ()
    servers: tuple[Server, ...] = ()
    state: str = "up"
    maintenance: bool = False
    error_page_url: str | None = None
    maintenance_page_url: str | None = None
    session_affinity: bool = False
    certificates: tuple[Certificate, ...] = ()

    @property
    def condition(self) -> str:
        """One word for what shall become of requests. ``up`` without a server is only late news: they wait."""
        if self.maintenance:
            return "maintenance"
        if self.servers:
            return "up"
        return "starting" if self.state == "up" else self.state


def check_sites(sites: Iterable[Site]) -> None:
    """Raise ProcmanError for what must not reach HAProxy: its files and commands are made of nothing but these."""
    owners: dict[str, str] = {}
    seen: set[str] = set()
    for site in sites:
        check_site(site)
        if site.app_id in seen:
            raise refusal(site, "it is there twice")
        seen.add(site.app_id)
        for host in site.hosts:
            if owners.setdefault(host, site.app_id) != site.app_id:
                raise refusal(site, f"{host} belongs to another app")


def check_site(site: Site) -> None:
    """The same for one."""
    if not APP_ID.fullmatch(site.app_id):
        raise refusal(site, f"{site.app_id!r} is no app id")
    if site.state not in STATES:
        raise refusal(site, f"{site.state!r} is no state")
    for host in site.hosts:
        if not is_host(host):
            raise refusal(site, f"{host!r} is no host name")
    for server in site.servers:
        check_server(site, server)
    if len({server.label for server in site.servers}) < len(site.servers):
        raise refusal(site, "one dyno is there twice")
    for url in (site.error_page_url, site.maintenance_page_url):
        if url:
            page_url(url)


def check_server(site: Site, server: Server) -> None:
    """A dyno's name and address."""
    if not DYNO.fullmatch(server.dyno) or not 0 <= server.generation < 1 << 53:
        raise refusal(site, f"{server.label!r} is no dyno")
    if not 0 < server.port < 1 << 16:
        raise refusal(site, f"{server.port} is no port")
    try:
        ipaddress.ip_address(server.host)
    except ValueError:
        raise refusal(site, f"{server.host!r} is no address") from None


def is_host(name: str) -> bool:
    """A host name in lower case, or one with a wildcard for its first label."""
    labels = name.removeprefix("*.").split(".")
    return len(name) <= 253 and all(LABEL.fullmatch(label) for label in labels)


def page_url(url: str) -> str:
    """The URL in the form in which it may stand in a page, between double quotes. Raises ProcmanError for others."""
    try:
        parts = urlsplit(url)
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in {"http", "https"} or not parts.netloc or not url.isprintable() or len(url) > URL_MAX:
        raise ProcmanError(f"cannot show {url[:80]!r} as a page: it is not an http or https URL")
    return quote(url, safe=URL_SAFE).replace("&", "&amp;").replace("'", "%27")


def refusal(site: Site, reason: str) -> ProcmanError:
    """What a person reads about it."""
    return ProcmanError(f"cannot route {site.app_name!r}: {reason}")
