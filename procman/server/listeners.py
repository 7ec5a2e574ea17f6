"""The sockets that the server listens on, and uvicorn behind each of them, on a loop and under signals of our own."""

import asyncio
import email.utils
import os
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import NamedTuple, TypeVar

import uvicorn
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from procman.api.serving import Protocol, config, uncounted
from procman.control.sockets import listen
from procman.errors import ProcmanError
from procman.server.descriptors import places
from procman.server.door import Door

S = TypeVar("S", bound=socket.socket)
FINISH_S = 3  # for requests on their way, when the server ends
HANG_UP_S = 2.5  # for those whose answer has begun: a log that is followed has no end
BACKLOG = 512
PATH_BYTES = 107  # of a Unix socket, for those who connect: sun_path of unix(7) without its NUL
AT_ONCE = 16  # connections taken in a turn of the loop; and tries, a second, while there are no descriptors for them
GOING = {"id": "service_unavailable", "message": "The server is being restarted. Try again in a moment."}


class Sockets(NamedTuple):
    """All of them, bound and not yet listening."""

    plain: socket.socket
    tls: Door
    rendezvous: Door
    unix: socket.socket


def bind_all(ports: tuple[int, int, int], path: str, host: str = "127.0.0.1") -> Sockets:
    """Take the ports (API, TLS, rendezvous) and the Unix socket. Raises ProcmanError for one that is taken."""
    plain, tls, rendezvous = ports
    door = partial(Door, most=places().handshakes)
    return Sockets(
        bind(host, plain, socket.socket), bind(host, tls, door), bind(host, rendezvous, door), bind_unix(path)
    )


def bind(host: str, port: int, kind: Callable[[int, int, int], S]) -> S:
    """A TCP socket on loopback."""
    # With its protocol named: only then asyncio turns off, for each connection, that small answers wait (TCP_NODELAY).
    sock = kind(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((host, port))
        sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        raise ProcmanError(f"cannot listen on {host}:{port}: {error.strerror}", "procman server --port 5500") from None
    return sock


def bind_unix(path: str) -> socket.socket:
    """The Unix socket, 0600, in place of a stale one: whoever holds the server's lock may."""
    if len(os.fsencode(path)) > PATH_BYTES:
        raise ProcmanError(f"cannot listen on {path}: the path is too long for a socket", "a shorter --data DIR")
    return listen(path, "server's")


class Front:
    """What every listener serves: ``/APP.git/…`` by ``git``, all else by ``api``."""

    def __init__(self, api: ASGIApp, git: ASGIApp) -> None:
        self._api = api
        self._git = git

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        first = scope["path"].lstrip("/").partition("/")[0]  # a URL in a path of the API may hold .git/, too
        app = self._git if first.endswith(".git") else self._api
        begun = False

        async def dated(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                date = email.utils.formatdate(usegmt=True).encode()
                message = {**message, "headers": [(b"date", date), *message.get("headers", ())]}
            await send(message)

        try:
            await app(scope, receive, dated)
        except asyncio.CancelledError:  # the server is going, and has waited long enough
            if not begun:
                await JSONResponse(GOING, 503)(scope, receive, dated)


class Listener:
    """One uvicorn. Its own loop, which wakes up ten times a second, is not used: nothing of it is needed here."""

    def __init__(self, app: ASGIApp, sock: socket.socket, context: ssl.SSLContext | None = None) -> None:
        own = {"date_header": False, "timeout_graceful_shutdown": FINISH_S, "backlog": AT_ONCE}
        made = config(app, most=places().api, let_in=sock.let_in if isinstance(sock, Door) else uncounted, **own)
        made.load()
        made.ssl = context
        self._server = uvicorn.Server(made)
        self._server.lifespan = made.lifespan_class(made)
        self._socket = sock

    async def start(self) -> None:
        """From now on requests are served."""
        await self._server.startup(sockets=[self._socket])
        self._socket.listen(BACKLOG)  # asyncio takes its own number for this one, too

    async def stop(self) -> None:
        """Accept nothing more, and let what is on its way finish, for a while."""
        if self._server.started:
            enough = asyncio.get_running_loop().call_later(HANG_UP_S, self._hang_up)
            await self._server.shutdown(sockets=[self._socket])
            enough.cancel()
            if self._server.server_state.tasks:
                await asyncio.wait(self._server.server_state.tasks, timeout=1.0)

    def _hang_up(self) -> None:
        for connection in list(self._server.server_state.connections):
            if isinstance(connection, Protocol):
                connection.cut_short()


@asynccontextmanager
async def listening(front: Front, sockets: Sockets, context: ssl.SSLContext) -> AsyncIterator[None]:
    """Requests are served on all of them for as long as this lasts."""
    listeners = [Listener(front, sockets.plain), Listener(front, sockets.tls, context), Listener(front, sockets.unix)]
    try:
        for listener in listeners:
            await listener.start()
        yield
    finally:
        await asyncio.gather(*(listener.stop() for listener in listeners))
