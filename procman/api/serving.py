"""How the API is served: uvicorn with limits for everything that a stranger can send.

uvicorn bounds headers but not the time they take; ``Protocol`` adds that. There is no access log: paths of log sessions
and uploads are secrets.
"""

import asyncio
from collections.abc import Callable
from typing import Any

import h11
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

HEADERS_S = 20.0  # in which a request's headers must have come
KEEP_ALIVE_S = 75
HEADER_BYTES = 32 << 10
CONNECTIONS = 2000


class Protocol(H11Protocol):
    """Hangs up on who does not finish a request's headers in time; answers what is no HTTP in the API's own shape.

    ``idle``: who has no request in hand, in the order of their coming. When there are too many, the first of these
    makes room: a crowd that says nothing keeps nobody out who has something to ask. ``let_in``: who counts those that
    are on their way here is told that one has come.
    """

    headers_s = HEADERS_S
    most = CONNECTIONS
    idle: "dict[Protocol, None]"
    let_in: Callable[[asyncio.BaseTransport], None]
    _impatience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Somebody has come: the clock runs."""
        super().connection_made(transport)
        self.let_in(transport)
        self._wait_for(self.headers_s)
        if len(self.connections) > self.most:
            next(iter(self.idle)).give_way()

    def connection_lost(self, exc: Exception | None) -> None:
        """Gone."""
        self._calm()
        super().connection_lost(exc)

    def handle_events(self) -> None:
        """Data has come; once it has made a request, that request has limits of its own."""
        super().handle_events()
        if self.cycle is not None and not self.cycle.response_complete:
            self._calm()

    def on_response_complete(self) -> None:
        """The keep-alive of uvicorn ends with the next request's first byte: so ours begins anew, and counts on."""
        super().on_response_complete()
        self._calm()
        if not self.transport.is_closing():
            self._wait_for(KEEP_ALIVE_S + self.headers_s)

    def give_way(self) -> None:
        """Go at once: with TLS, a farewell would wait for an answer."""
        self._calm()
        self.transport.abort()

    def cut_short(self) -> None:
        """Go, if an answer is on its way."""
        if self.cycle and self.cycle.response_started and not self.cycle.response_complete:
            self.give_way()

    def send_400_response(self, msg: str) -> None:
        """What came is no HTTP, or too much of it."""
        body = b'{"id":"bad_request","message":"Invalid HTTP request, or headers over %d bytes."}' % HEADER_BYTES
        headers = [
            (b"Content-Type", b"application/json"),
            (b"Content-Length", b"%d" % len(body)),
            (b"Connection", b"close"),
        ]
        events = (h11.Response(status_code=400, headers=headers), h11.Data(data=body), h11.EndOfMessage())
        for event in events:
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def _wait_for(self, seconds: float) -> None:
        self.idle[self] = None
        self._impatience = self.loop.call_later(seconds, self._hang_up)

    def _calm(self) -> None:
        self.idle.pop(self, None)
        if self._impatience is not None:
            self._impatience.cancel()
            self._impatience = None

    def _hang_up(self) -> None:
        self._calm()
        if self.cycle is None or self.cycle.response_complete:
            self.transport.close()


def uncounted(transport: asyncio.BaseTransport) -> None:
    """Where nobody counts those that are on their way."""


def config(
    app: ASGIApp,
    headers_s: float = HEADERS_S,
    most: int = CONNECTIONS,
    let_in: Callable[[asyncio.BaseTransport], None] = uncounted,
    **more: Any,
) -> uvicorn.Config:
    """For ``uvicorn.Server``. ``most``: connections at once; ``more``: host, port, fd, uds, TLS files."""
    own = {"headers_s": headers_s, "most": most, "idle": {}, "let_in": staticmethod(let_in)}
    protocol = type("Protocol", (Protocol,), own)
    return uvicorn.Config(
        app,
        http=protocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        h11_max_incomplete_event_size=HEADER_BYTES,
        **more,
    )
