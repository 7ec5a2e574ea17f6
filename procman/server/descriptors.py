"""The server's descriptors: as many as the host gives, and what is said when there are none for somebody who comes."""

import asyncio
import logging
import math
import resource
from typing import Any

WANTED = 65_536  # what we start inherits it; programs that go through all they might have are not to take seconds
EVERY_S = 10.0  # for as long as it lasts, it is said so often
log = logging.getLogger(__name__)


def take() -> None:
    """A shell gives 1,024, and leave to take more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = WANTED if hard == resource.RLIM_INFINITY else min(WANTED, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


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
