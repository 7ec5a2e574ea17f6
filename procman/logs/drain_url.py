"""The URL of a log drain: what may be one, and what it says."""

from base64 import b64encode
from typing import NamedTuple
from urllib.parse import parse_qs, unquote_to_bytes, urlsplit

from procman.errors import ProcmanError

PORTS = {"syslog": 514, "syslog+tls": 6514, "http": 80, "https": 443}
HINT = "procman drains:add syslog+tls://logs.example.com:6514"


class Receiver(NamedTuple):
    """Where a drain leads. ``path``: with the query, for HTTP. ``authorization``: a header's value, a secret."""

    scheme: str
    host: str
    port: int
    insecure: bool = False  # TLS without checking the certificate
    path: str = ""
    authorization: str = ""

    @property
    def tls(self) -> bool:
        return self.scheme in ("https", "syslog+tls")

    @property
    def http(self) -> bool:
        return self.scheme in ("https", "http")

    def shown(self) -> str:
        """The URL without its secrets."""
        return f"{self.scheme}://{self.netloc()}"

    def netloc(self) -> str:
        """``host``, or ``host:port`` where that is not the usual one."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == PORTS[self.scheme] else f"{host}:{self.port}"


def parse_url(url: str) -> Receiver:
    """What a URL says. Raises ProcmanError, which does not repeat the URL: it may hold a password."""
    if not url.isascii() or not url.isprintable() or " " in url:
        raise refusal("it holds characters that no URL has")
    try:
        parts = urlsplit(url)
        port = parts.port
        (parts.hostname or "").encode("idna")  # as the resolver will: an empty or overlong part of a name
    except ValueError:  # its text, and so its traceback, may hold the URL
        raise refusal("it is not a URL") from None
    if parts.scheme not in PORTS:
        raise refusal("syslog, syslog+tls, https or http is wanted")
    if not parts.hostname:
        raise refusal("it names no host")
    if port == 0:
        raise refusal("there is no port 0")
    receiver = Receiver(parts.scheme, parts.hostname, port or PORTS[parts.scheme])
    if not receiver.http:
        if "@" in parts.netloc:
            raise refusal("syslog has no user and password")
        return receiver._replace(insecure=receiver.tls and parse_qs(parts.query).get("insecure") == ["true"])
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return receiver._replace(path=path, authorization=basic(parts.netloc))


def basic(netloc: str) -> str:
    """The header for a URL's user and password; "" without."""
    user_info, at, _ = netloc.rpartition("@")
    if not at:
        return ""
    user, _, password = user_info.partition(":")
    return "Basic " + b64encode(unquote_to_bytes(user) + b":" + unquote_to_bytes(password)).decode()


def refusal(why: str) -> ProcmanError:
    """Of a URL."""
    return ProcmanError(f"cannot use this drain URL: {why}", HINT)
