"""Where the server goes for its users: the one place that says which addresses a user's URL may lead to.

A build's source, a buildpack, a submodule, a webhook, a log drain: who names one has the server go there, with the
server's place in the network. This host itself and its link are not his to see. It is decided on the address that is
connected to, once the name was looked up, and at each redirect anew: a name that leads elsewhere by then gains nothing.
Private networks are allowed: a cluster's own receivers live there. See docs/server.md#where-users-may-send-it.
"""

import asyncio
import http.client
import socket
import urllib.request
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any, NamedTuple, TypeVar

T = TypeVar("T")
OPTION = "--allow-local-addresses"
CLOUDS = (  # what is not on the link: AWS, Alibaba, Azure, Google, Oracle (twice), Scaleway
    "fd00:ec2::254/128", "100.100.100.200/32", "168.63.129.16/32", "fd20:ce::254/128", "fd00:c1::a9fe:a9fe/128",
    "192.0.0.192/32", "fd00:42::42/128",
)
KINDS: tuple[tuple[str, tuple[IPv4Network | IPv6Network, ...]], ...] = tuple(
    (words, tuple(map(ip_network, networks)))
    for words, networks in (
        ("this host itself", ("127.0.0.0/8", "0.0.0.0/8", "::1/128", "::/128")),
        ("this host's own link", ("169.254.0.0/16", "fe80::/10")),
        ("no single host", ("224.0.0.0/4", "255.255.255.255/32", "ff00::/8")),
        ("where clouds keep secrets", CLOUDS),
    )
)
CARRIERS = (  # networks of IPv6 that carry IPv4's addresses: mapped, translated, NAT64, compatible; 6to4
    *((ip_network(network), 0) for network in ("::ffff:0:0/96", "::ffff:0:0:0/96", "64:ff9b::/96", "::/96")),
    (ip_network("64:ff9b:1::/48"), 0),  # NAT64 of one's own (RFC 8215)
    (ip_network("2002::/16"), 80),  # so many bits from the right
)
FAILURES = (OSError, ValueError, http.client.HTTPException)  # a host answers what is no HTTP, or stops half-way


class AddressRefused(ConnectionError):
    """A user's URL leads to where users do not get. Callers treat it as they do a host that does not answer."""


def kind_of(address: str) -> str:
    """What forbids an address, in words; "" when it may be reached. Raises ValueError for what is no address."""
    for each in meanings(ip_address(address)):
        for words, networks in KINDS:
            if any(each in network for network in networks):
                return words
    return ""


def is_address(host: str) -> bool:
    """Whether there is no name to look up."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def meanings(address: IPv4Address | IPv6Address) -> list[IPv4Address | IPv6Address]:
    """The address, and those of IPv4 that it may be delivered to."""
    carried = [
        IPv4Address(int(address) >> shift & 0xFFFFFFFF)
        for network, shift in CARRIERS
        if address in network
    ]
    return [address, *carried]


class Reach(NamedTuple):
    """How far users' URLs lead. ``local``: everywhere, this host included; for its operator to say."""

    local: bool = False

    def check(self, host: str) -> None:
        """Refuse at once what needs no looking up: an address in any spelling, ``localhost``. Raises AddressRefused."""
        name = host.rstrip(".").lower()
        if name == "localhost" or name.endswith(".localhost"):
            self._judge(host, ["127.0.0.1"])
        try:
            self._judge(host, look_up(host, None, socket.AI_NUMERICHOST))
        except (socket.gaierror, UnicodeError):
            return  # a name, of which nobody knows yet where it will lead

    def addresses(self, host: str, port: int) -> list[str]:
        """Where a name leads now: to connect to these, and not to look it up again. Raises OSError, AddressRefused.

        One that may not be reached refuses them all. It blocks.
        """
        try:
            return self._judge(host, look_up(host, port))
        except UnicodeError:
            raise OSError(f"{host[:60]} is no name of a host") from None

    def connect(self, host: str, port: int, timeout: float | None) -> socket.socket:
        """A connection. Raises OSError, AddressRefused."""
        found = self.addresses(host, port)
        for address in found[:-1]:
            try:
                return socket.create_connection((address, port), timeout)
            except OSError:
                continue
        return socket.create_connection((found[-1], port), timeout)

    async def reached(self, host: str, port: int, open_at: Callable[[str], Awaitable[T]]) -> T:
        """What ``open_at`` makes of the first address that answers. Raises OSError, AddressRefused."""
        if is_address(host):
            found = self.addresses(host, port)
        else:
            found = await asyncio.get_running_loop().run_in_executor(None, self.addresses, host, port)
        for address in found[:-1]:
            try:
                return await open_at(address)
            except OSError:
                continue
        return await open_at(found[-1])

    def http(self, host: str, port: int | None, tls: bool, timeout: float) -> http.client.HTTPConnection:
        """A client's connection, which is made at its first request."""
        kind = HttpsConnection if tls else HttpConnection
        return kind(host, port, timeout=timeout, reach=self)

    def open(self, url: str, headers: Mapping[str, str], timeout: float) -> Any:
        """Get a URL, following redirects, each judged by itself. Raises FAILURES; see ``reason``."""
        opener = urllib.request.OpenerDirector()  # by hand: build_opener would add file: and ftp:
        for handler in (
            urllib.request.ProxyHandler(), HttpHandler(self), HttpsHandler(self), urllib.request.UnknownHandler(),
            urllib.request.HTTPRedirectHandler(), urllib.request.HTTPDefaultErrorHandler(),
            urllib.request.HTTPErrorProcessor(),
        ):
            opener.add_handler(handler)
        return opener.open(urllib.request.Request(url, headers=dict(headers)), timeout=timeout)  # noqa: S310

    def _judge(self, host: str, found: list[str]) -> list[str]:
        for address in () if self.local else found:
            if kind := kind_of(address):
                place = address if address == host else f"{host[:100]} ({address})"
                raise AddressRefused(f"{place} is {kind}: only a server with {OPTION} goes there")
        return found


def look_up(host: str, port: int | None, flags: int = 0) -> list[str]:
    """The addresses of a name, each once. Raises OSError, UnicodeError."""
    rows = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=flags)
    return list(dict.fromkeys(str(place[0]) for *_, place in rows))


def reason(error: BaseException) -> str | None:
    """The sentence of a refusal of ours, also inside of urllib's error; None for any other error."""
    inner = getattr(error, "reason", None)
    found = inner if isinstance(inner, AddressRefused) else error
    return str(found) if isinstance(found, AddressRefused) else None


def reach_of(req: urllib.request.Request, reach: Reach) -> Reach:
    """A proxy is the operator's, who may have it on this host; what it reaches is for it to say."""
    return Reach(local=True) if req.has_proxy() or getattr(req, "_tunnel_host", None) else reach


class HttpConnection(http.client.HTTPConnection):
    """Connects where the reach allows."""

    def __init__(self, *words: Any, reach: Reach, **more: Any) -> None:
        super().__init__(*words, **more)
        self._create_connection = self._connection
        self._reach = reach

    def _connection(self, place: tuple[str, int], timeout: float | None, _source: object) -> socket.socket:
        return self._reach.connect(*place, timeout)


class HttpsConnection(HttpConnection, http.client.HTTPSConnection):
    """The same with TLS."""


class HttpHandler(urllib.request.HTTPHandler):
    """``http:``."""

    def __init__(self, reach: Reach) -> None:
        super().__init__()
        self._reach = reach

    def http_open(self, req: urllib.request.Request) -> Any:
        """Called by the opener."""
        return self.do_open(partial(HttpConnection, reach=reach_of(req, self._reach)), req)


class HttpsHandler(urllib.request.HTTPSHandler):
    """``https:``."""

    def __init__(self, reach: Reach) -> None:
        super().__init__()
        self._reach = reach

    def https_open(self, req: urllib.request.Request) -> Any:
        """Called by the opener."""
        return self.do_open(partial(HttpsConnection, reach=reach_of(req, self._reach)), req)
