"""A repository at a URL that a user gave, as git may go to it: to addresses that were judged, and to no others.

git looks names up by itself, and follows redirects. So it is told where the name led when it was judged, and redirects
are followed here, beforehand. (``http.curloptResolve`` needs git 2.37; an older one looks the name up again.)
"""

import re
import shlex
from typing import NamedTuple
from urllib.parse import urlsplit, urlunsplit

from procman.errors import ProcmanError
from procman.reach import FAILURES, Patience, Reach, is_address, reason

PORTS = {"https": 443, "http": 80, "ssh": 22, "git": 9418}
PROTOCOLS = tuple(PORTS)
SHORT = re.compile(r"(?:[\w.-]+@)([\w.-]+):[\w./~-]+")  # of ssh: git@host:path
HOST = re.compile(r"[\w.:-]+")  # what others would read as more than a name (%, $, ;) is none
ASKING = Patience(60.0, 60.0)
WHAT = "/info/refs?service=git-upload-pack"


class Remote(NamedTuple):
    """``url``: what git is given; ``options``: before its command; ``ssh``: its GIT_SSH_COMMAND."""

    url: str
    options: tuple[str, ...] = ()
    ssh: str = "ssh -o BatchMode=yes"


def reach_repository(url: str, reach: Reach) -> Remote:
    """Where git may go for this. Raises ProcmanError, without the URL: it may hold a password."""
    try:
        if found := SHORT.fullmatch(url):
            return by_ssh(url, found[1], None, reach)
        url = settled(url, reach)
        parts = urlsplit(url)
        if not HOST.fullmatch(parts.hostname or "") or parts.scheme not in PROTOCOLS:
            raise ProcmanError("it names no host")
        host, port = parts.hostname or "", parts.port or PORTS[parts.scheme]
        if parts.scheme == "ssh":
            return by_ssh(url, host, parts.port, reach)
        addresses = [f"[{each}]" if ":" in each else each for each in reach.addresses(host, port)]
    except (OSError, ValueError) as error:
        raise ProcmanError(reason(error) or getattr(error, "strerror", None) or str(error)) from None
    if parts.scheme == "git":
        return Remote(urlunsplit(parts._replace(netloc=f"{addresses[0]}:{port}")))
    stay = ("-c", "http.followRedirects=false")
    if is_address(host):  # there is nothing to look up, and curl takes no address of IPv6 for a name
        return Remote(url, stay)
    return Remote(url, ("-c", f"http.curloptResolve={host}:{port}:{','.join(addresses)}", *stay))


def by_ssh(url: str, host: str, port: int | None, reach: Reach) -> Remote:
    """The address is for ssh to go to; the name is what it goes on to know the host by."""
    address = reach.addresses(host, port or PORTS["ssh"])[0]
    alias = shlex.quote(f"[{host}]:{port}" if port else host)
    return Remote(url, ssh=f"{Remote._field_defaults['ssh']} -o HostName={address} -o HostKeyAlias={alias}")


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
