"""The server's descriptors: as many as the host gives, who gets them, and what is said when there are none left."""

import asyncio
import logging
import math
import resource
from typing import Any, NamedTuple

from procman.api import serving
from procman.platform import logins
from procman.rendezvous import server as rendezvous

WANTED = 65_536  # what we start inherits it; programs that go through all they might have are not to take seconds
MOST_HANDSHAKES = 500
EVERY_S = 10.0  # for as long as it lasts, it is said so often
log = logging.getLogger(__name__)


def take() -> None:
    """A shell gives 1,024, and leave to take more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = WANTED if hard == resource.RLIM_INFINITY else min(WANTED, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


class Places(NamedTuple):
    """For how many there is room at once. ``api``: at each of its three doors (plain, TLS, Unix); ``attached``: clients
    of ``heroku run``; ``logins``: in a browser, each of which may hold one of the API's places for ten minutes;
    ``handshakes``: that are not over yet, at each of the two doors with TLS.
    """

    api: int
    attached: int
    logins: int
    handshakes: int


def places() -> Places:
    """Those of a server that may have as many descriptors as we may now."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return places_of(WANTED if soft == resource.RLIM_INFINITY else soft)


def places_of(limit: int) -> Places:
    """Whoever is in gets half of all descriptors at most; apps, logs, drains, git and the database need some, too.

    An attached client takes two: his own, and one to his dyno. Nobody has to be known for a login, and who waits for
    one cannot be sent away for who comes: so all logins together leave three quarters of a door to others.
    """
    api, attached = min(serving.CONNECTIONS, limit // 8), min(rendezvous.CONNECTIONS, limit // 16)
    return Places(api, attached, min(logins.MOST_PENDING, max(1, api // 4)), min(MOST_HANDSHAKES, max(1, limit // 32)))


class Shortage:
    """The loop's exception handler. asyncio tells of every try to take a connection, with a traceback each."""

    def __init__(self) -> None:
        self._said = -math.inf

    def __call__(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Something of asyncio's own went wrong."""
        error = context.get("exception")
        if not isinstance(error, OSError) or "accept" not in str(context.get("message")):
            loop.default_exception_handler(context)
        elif loop.time() - self._said > EVERY_S:
            self._said = loop.time()
            soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
            log.error("connections wait: %s (%d may be open; see ulimit -n, LimitNOFILE)", error.strerror, soft)
