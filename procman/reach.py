"""Where the server goes for its users: the one place that says which addresses a user's URL may lead to.

A build's source, a buildpack, a submodule, a webhook, a log drain: who names one has the server go there, with the
server's place in the network. This host itself and its link are not his to see. It is decided on the address that is
connected to, once the name was looked up, and at each redirect anew: a name that leads elsewhere by then gains nothing.
Private networks are allowed: a cluster's own receivers live there. See docs/server.md#where-users-may-send-it.
"""

import asyncio
import contextlib
import http.client
import math
import re
import socket
import ssl
import time
import unicodedata
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable, Iterator, Mapping
from functools import partial
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any, NamedTuple, TypeVar
from urllib.parse import unquote, urlsplit

T = TypeVar("T")
OPTION = "--allow-local-addresses"
MOST_ADDRESSES = 8  # of a name that are judged, and tried; a name server may give thousands
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
NAME = re.compile(r"[\w.:%-]*", re.ASCII)  # of a host, or an address with its zone
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


def plain(host: str) -> str:
    """A URL's host as a proxy comes to read it: in ASCII, whatever script and dots it is written with, and no zone.

    Raises ValueError for what is none; of a request to the proxy, it would be more than a name.
    """
    name = unicodedata.normalize("NFKC", unquote(host))
    if not name.isascii():  # by IDNA, whose own normalisation knows the letters of 2002 only
        name = name.encode("idna").decode("ascii")
    if not NAME.fullmatch(name):
        raise ValueError(f"{host} is no name of a host")
    return name.partition("%")[0].rstrip(".").lower()


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


class Overdue(TimeoutError):
    """All the time that somebody had for an answer is over, however it was spent."""


class Patience(NamedTuple):
    """Seconds that a host has: ``step`` until anything comes, ``whole`` until all is there, from ``begun`` on."""

    step: float
    whole: float
    until: float = math.inf  # of time.monotonic

    def begun(self) -> "Patience":
        """The time runs from now on."""
        return self._replace(until=time.monotonic() + self.whole)

    def left(self) -> float:
        """Seconds for the next step. Raises Overdue."""
        seconds = self.until - time.monotonic()
        if seconds <= 0:
            raise Overdue(f"it did not come within {self.whole:g} s")
        return min(self.step, seconds)

    @contextlib.contextmanager
    def spent(self) -> Iterator[None]:
        """What takes its steps inside. Raises Overdue, also for the timeout of a step that the end cut short."""
        try:
            yield
        except TimeoutError:
            self.left()
            raise


class Reach(NamedTuple):
    """How far users' URLs lead. ``local``: everywhere, this host included; for its operator to say."""

    local: bool = False

    def check(self, host: str) -> None:
        """Refuse at once what needs no looking up: an address in any spelling, ``localhost``. Raises AddressRefused."""
        try:
            name = plain(host)
        except ValueError:
            raise AddressRefused(f"{host[:100]} is no name of a host") from None
        if name == "localhost" or name.endswith(".localhost"):
            self._judge(host, ["127.0.0.1"])
        try:
            self._judge(host, look_up(name, None, socket.AI_NUMERICHOST))
        except (socket.gaierror, UnicodeError):
            return  # a name, of which nobody knows yet where it will lead

    def addresses(self, host: str, port: int) -> list[str]:
        """Where a name leads now: to connect to these, and not to look it up again. Raises OSError, AddressRefused.

        One that may not be reached refuses them all. It blocks.
        """
        try:
            return self._judge(host, look_up(host, port)[:MOST_ADDRESSES])
        except UnicodeError:
            raise OSError(f"{host[:60]} is no name of a host") from None

    def connect(self, host: str, port: int, timeout: float) -> socket.socket:
        """A connection to the first address that answers. ``timeout``: for all of them, each has its share of it.

        Raises OSError, AddressRefused.
        """
        *others, last = self.addresses(host, port)
        until = time.monotonic() + timeout
        for left, address in zip(range(len(others) + 1, 1, -1), others, strict=True):
            try:
                return socket.create_connection((address, port), max(0.01, until - time.monotonic()) / left)
            except OSError:
                continue
        return socket.create_connection((last, port), max(0.01, until - time.monotonic()))

    async def reached(self, host: str, port: int, open_at: Callable[[str], Awaitable[T]], timeout: float) -> T:
        """The same with what ``open_at`` makes of an address."""
        loop = asyncio.get_running_loop()
        if is_address(host):
            return await open_at(self.addresses(host, port)[0])
        *others, last = await loop.run_in_executor(None, self.addresses, host, port)
        until = loop.time() + timeout
        for left, address in zip(range(len(others) + 1, 1, -1), others, strict=True):
            try:
                async with asyncio.timeout((until - loop.time()) / left):
                    return await open_at(address)
            except OSError:
                continue
        async with asyncio.timeout_at(until):
            return await open_at(last)

    def http(self, host: str, port: int | None, tls: bool, patience: Patience) -> http.client.HTTPConnection:
        """A client's connection, which is made at its first request; the time runs from now on."""
        kind = HttpsConnection if tls else HttpConnection
        return kind(host, port, timeout=patience.step, reach=self, patience=patience.begun())

    def open(self, url: str, headers: Mapping[str, str], patience: Patience) -> Any:
        """Get a URL, following redirects, each judged by itself. Raises FAILURES; see ``reason``."""
        opener, patience = urllib.request.OpenerDirector(), patience.begun()  # by hand: build_opener adds file:, ftp:
        for handler in (
            urllib.request.ProxyHandler(), HttpHandler(self, patience), HttpsHandler(self, patience),
            urllib.request.UnknownHandler(), urllib.request.HTTPRedirectHandler(),
            urllib.request.HTTPDefaultErrorHandler(), urllib.request.HTTPErrorProcessor(),
        ):
            opener.add_handler(handler)
        return opener.open(urllib.request.Request(url, headers=dict(headers)), timeout=patience.step)  # noqa: S310

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
    found = inner if isinstance(inner, AddressRefused | Overdue) else error
    return str(found) if isinstance(found, AddressRefused | Overdue) else None


def cause(error: BaseException) -> str:
    """What went wrong, of any of FAILURES, in words; never the URL."""
    if isinstance(error, urllib.error.HTTPError):
        return f"status {error.code}"
    inner = getattr(error, "reason", None)
    found = inner if isinstance(inner, BaseException) else error
    return reason(error) or getattr(found, "strerror", None) or type(found).__name__


def proxy_of(url: str) -> str | None:
    """The operator's proxy for an HTTP URL: it looks the name up, and goes there. None: there is none for this one."""
    parts = urlsplit(url)
    found = urllib.request.getproxies().get(parts.scheme)
    return None if not found or urllib.request.proxy_bypass(parts.netloc.rpartition("@")[2]) else found


def reach_of(req: urllib.request.Request, reach: Reach) -> Reach:
    """A proxy is the operator's, who may have it on this host; what names it reaches is for it to say.

    Raises AddressRefused for what needs no looking up: from where the proxy stands, that would be itself.
    """
    if not req.has_proxy() and not getattr(req, "_tunnel_host", None):
        return reach
    reach.check(urlsplit(req.full_url).hostname or "")
    return Reach(local=True)


class Patient(socket.socket):
    """A socket whose steps have a timeout, and all of them an end: a host may take many small ones."""

    patience: Patience

    def recv_into(self, *words: Any) -> int:
        """All that http.client reads comes by this."""
        with self.patience.spent():
            self.settimeout(self.patience.left())
            return super().recv_into(*words)

    def sendall(self, *words: Any) -> None:
        """All that it writes goes by this."""
        with self.patience.spent():
            self.settimeout(self.patience.left())
            return super().sendall(*words)


class PatientTls(Patient, ssl.SSLSocket):
    """The same with TLS."""


class HttpConnection(http.client.HTTPConnection):
    """Connects where the reach allows, and waits for its answer as long as the patience lasts."""

    def __init__(self, *words: Any, reach: Reach, patience: Patience, **more: Any) -> None:
        super().__init__(*words, **more)
        self._create_connection = self._connection
        self._reach = reach
        self._patience = patience

    def connect(self) -> None:
        """Called by the first request, which tunnels through a proxy, and does the handshake of TLS, in here too."""
        with self._patience.spent():
            super().connect()

    def _connection(self, place: tuple[str, int], _timeout: float, _source: object) -> socket.socket:
        made = self._reach.connect(*place, self._patience.left())
        sock = Patient(fileno=made.detach())
        sock.patience = self._patience
        sock.settimeout(self._patience.left())  # for the handshake of TLS
        return sock


class HttpsConnection(HttpConnection, http.client.HTTPSConnection):
    """The same with TLS."""

    def __init__(self, *words: Any, **more: Any) -> None:
        context = ssl.create_default_context()
        context.set_alpn_protocols(["http/1.1"])
        context.sslsocket_class = PatientTls
        super().__init__(*words, context=context, **more)

    def connect(self) -> None:
        """Called by the first request."""
        super().connect()
        assert isinstance(self.sock, PatientTls)
        self.sock.patience = self._patience


class HttpHandler(urllib.request.HTTPHandler):
    """``http:``."""

    def __init__(self, reach: Reach, patience: Patience) -> None:
        super().__init__()
        self._reach = reach
        self._patience = patience

    def http_open(self, req: urllib.request.Request) -> Any:
        """Called by the opener."""
        return self.do_open(partial(HttpConnection, reach=reach_of(req, self._reach), patience=self._patience), req)


class HttpsHandler(urllib.request.HTTPSHandler):
    """``https:``."""

    def __init__(self, reach: Reach, patience: Patience) -> None:
        super().__init__()
        self._reach = reach
        self._patience = patience

    def https_open(self, req: urllib.request.Request) -> Any:
        """Called by the opener."""
        return self.do_open(partial(HttpsConnection, reach=reach_of(req, self._reach), patience=self._patience), req)
