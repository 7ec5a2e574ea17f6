"""What can be set about the router; the values that are not given are Heroku's."""

import ipaddress
import os
import pwd
import re
from typing import NamedTuple

from procman.errors import ProcmanError

SECONDS = re.compile(r"[0-9]{1,6}(\.[0-9]{1,3})?")
LONGEST_S = 86_400  # HAProxy's own limit is 24 days
USER = re.compile(r"[a-z_][a-z0-9_-]{0,31}")


class Timeouts(NamedTuple):
    """All in seconds (Heroku: request-timeout, http-routing).

    ``first_byte``: until a response begins (H12). ``idle``: without a byte, after that (H15), in a request's body
    (H28) and in a tunnel. ``head``: for a request's head to come in. ``keep_alive``: between two requests of a
    connection. ``boot``: how long requests wait for a dyno that starts (H20) or comes back (H99). ``quarantine``: after
    which a dyno that refused a connection is looked at again (Heroku: up to 5).
    """

    connect: float = 5.0
    first_byte: float = 30.0
    idle: float = 55.0
    head: float = 30.0
    keep_alive: float = 60.0
    boot: float = 75.0
    quarantine: float = 0.5


class Settings(NamedTuple):
    """``http``, ``https``: ``HOST:PORT``; ``[::]:443`` or ``*:443`` for every address.

    ``certificate``: path of a PEM for names that no other certificate has; None: such connections are refused.
    ``user``: whom HAProxy's workers run as when it is started by root. ``backlog``: requests in flight per dyno, above
    which there is H11. ``slots``: backends to begin with.
    """

    http: str
    https: str | None = None
    certificate: str | None = None
    timeouts: Timeouts = Timeouts()
    user: str | None = None
    backlog: int = 200
    slots: int = 64
    sticky_slots: int = 8


def read_timeouts(text: str) -> Timeouts:
    """``first-byte=10,idle=30.5``: these, and Heroku's for the others. Raises ValueError with a reason."""
    told: dict[str, float] = {}
    for part in text.split(","):
        name, _, value = part.strip().partition("=")
        field = name.replace("-", "_")
        if field not in Timeouts._fields:
            raise ValueError(f"{name!r} is none of {', '.join(Timeouts._fields).replace('_', '-')}")
        if not SECONDS.fullmatch(value) or not 0.001 <= float(value) <= LONGEST_S:
            raise ValueError(f"{name} is to be in seconds, from 0.001 to {LONGEST_S}")
        told[field] = float(value)
    return Timeouts(**told)


def check_settings(settings: Settings) -> None:
    """Raise ProcmanError for what must not stand in a configuration."""
    split_address(settings.http)
    if settings.https is not None:
        split_address(settings.https)
    if settings.user is not None and not USER.fullmatch(settings.user):
        raise ProcmanError(f"cannot run HAProxy as {settings.user!r}: it is no user name")
    if min(settings.timeouts) < 0.001 or min(settings.slots, settings.sticky_slots, settings.backlog) < 1:
        raise ProcmanError("cannot configure HAProxy: times and numbers of it are above zero")


def split_address(address: str) -> tuple[str, int]:
    """Host as HAProxy writes it, and port. Raises ProcmanError."""
    host, colon, port = address.rpartition(":")
    plain = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    try:
        if plain not in {"", "*"}:
            ipaddress.ip_address(plain)
        if not colon or not port.isascii() or not port.isdecimal() or not 0 < int(port) < 1 << 16:
            raise ValueError
    except ValueError:
        raise ProcmanError(f"cannot listen on {address!r}: it is not HOST:PORT", "127.0.0.1:8080") from None
    return plain or "*", int(port)


def default_user() -> str | None:
    """Whom the workers run as: nobody special, unless we are not root anyway."""
    if os.geteuid():
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return next((name for name in ("haproxy", "nobody") if name in names), None)
