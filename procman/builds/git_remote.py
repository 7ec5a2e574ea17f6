"""A repository at a URL that a user gave, as git may go to it: to addresses that were judged, and to no others.

git looks names up by itself, and follows redirects. So it is told where the name led when it was judged, and redirects
are followed here, beforehand. (``http.curloptResolve`` needs git 2.37; an older one looks the name up again.) A name
in another script is none here: git would go by its own spelling in ASCII (``xn--…``), which nobody judged.

Where the operator has a proxy for it, nothing is looked up here, as perhaps nobody here could: the proxy does. Then git
is told to go through that proxy and no other way, or a ``no_proxy`` that it reads otherwise than we do would lead it to
an address that nobody judged. Else it is told to go through none, also of those variables that only git heeds.
"""

import re
import shlex
import socket
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import urlsplit, urlunsplit

from procman.errors import ProcmanError
from procman.reach import FAILURES, Patience, Reach, is_address, proxy_of, reason

PORTS = {"https": 443, "http": 80, "ssh": 22, "git": 9418}
PROTOCOLS = tuple(PORTS)
SHORT = re.compile(r"(?:[\w.-]+@)([\w.-]+):[\w./~-]+", re.ASCII)  # of ssh: git@host:path
HOST = re.compile(r"[\w.:\[\]-]+", re.ASCII)  # what others would read as more than a name (%, $, ;) is none
ASKING = Patience(60.0, 60.0)
PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
NO_WAY = {spelt: "" for name in PROXIES for spelt in (name, name.upper())}
WHAT = "/info/refs?service=git-upload-pack"


class Remote(NamedTuple):
    """``url``: what git is given; ``options``: before its command; ``env``: beside the rest of its environment."""

    url: str
    options: tuple[str, ...] = ()
    env: Mapping[str, str] = {}


def reach_repository(url: str, reach: Reach) -> Remote:
    """Where git may go for this. Raises ProcmanError, without the URL: it may hold a password."""
    try:
        if found := SHORT.fullmatch(url):
            return by_ssh(url, found[1], None, reach)
        url = settled(url, reach)
        parts = urlsplit(url)
        named = HOST.fullmatch(parts.netloc.rpartition("@")[2])  # not .hostname: in lower case, more signs are ASCII
        if not named or not parts.hostname or parts.scheme not in PROTOCOLS:
            raise ProcmanError("it names no host")
        host, port = parts.hostname, parts.port or PORTS[parts.scheme]
        if parts.scheme == "ssh":
            return by_ssh(url, host, parts.port, reach)
        if parts.scheme == "git":
            address = written(addresses(host, port, reach)[0])
            return Remote(urlunsplit(parts._replace(netloc=f"{address}:{port}")))
        return by_http(url, host, port, reach)
    except (OSError, ValueError) as error:
        raise ProcmanError(reason(error) or getattr(error, "strerror", None) or str(error)) from None


def by_http(url: str, host: str, port: int, reach: Reach) -> Remote:
    """Through the operator's proxy, if there is one; else to the addresses that were judged."""
    stay = ("-c", "http.followRedirects=false")
    if proxy := proxy_of(url):
        reach.check(host)
        return Remote(url, stay, {**NO_WAY, "http_proxy": proxy, "https_proxy": proxy})
    found = ",".join(map(written, addresses(host, port, reach)))
    if is_address(host):  # there is nothing to look up, and curl takes no address of IPv6 for a name
        return Remote(url, stay, NO_WAY)
    return Remote(url, ("-c", f"http.curloptResolve={host}:{port}:{found}", *stay), NO_WAY)


def by_ssh(url: str, host: str, port: int | None, reach: Reach) -> Remote:
    """The address is for ssh to go to; the name is what it goes on to know the host by."""
    address = addresses(host, port or PORTS["ssh"], reach)[0]
    alias = shlex.quote(f"[{host}]:{port}" if port else host)
    command = f"ssh -o BatchMode=yes -o HostName={address} -o HostKeyAlias={alias}"
    return Remote(url, env={"GIT_SSH_COMMAND": command})


def addresses(host: str, port: int, reach: Reach) -> list[str]:
    """Where the name leads. Raises OSError; ProcmanError with a hint if this host knows no way to look it up."""
    try:
        return reach.addresses(host, port)
    except socket.gaierror as error:
        hint = "https_proxy=http://PROXY:PORT procman server" if error.errno == socket.EAI_AGAIN else None
        if proxy_of(f"https://{host}/"):
            hint = f"https://{host}/… goes through the proxy"
        raise ProcmanError(f"{host} cannot be looked up here: {error.strerror}", hint) from None


def written(address: str) -> str:
    """As it stands in a URL."""
    return f"[{address}]" if ":" in address else address


def settled(url: str, reach: Reach) -> str:
    """Where redirects lead to. The URL itself, if it cannot be said: git will tell what is wrong with it."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or "@" in parts.netloc:
        return url
    try:
        with reach.open(f"{url.rstrip('/')}{WHAT}", {"User-Agent": "git/2 (procman)"}, ASKING) as answer:
            there = str(answer.url)
    except FAILURES as error:
        if reason(error):
            raise
        return url
    return there.removesuffix(WHAT) if there.endswith(WHAT) else url
