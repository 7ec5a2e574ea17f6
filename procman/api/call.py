"""One call of the API: who calls, about which app, with which body; and what is answered."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from enum import Enum
from typing import Any, NamedTuple

from starlette.requests import Request

from procman.core.records import App, User
from procman.logs.news import AppLog
from procman.platform.callers import caller_of
from procman.platform.host import Host
from procman.platform.refusals import Refusal, invalid
from procman.platform.users import Login

BODY_LIMIT = 1 << 20  # bytes of a JSON body
BODY_DRAINED = 16 << 20  # bytes that are thrown away, so that the client comes to read the refusal
BODY_S = 30.0  # in which all of it must have come
CHUNK_S = 30.0  # in which an upload must go on


class Right(Enum):
    """What a caller must be."""

    ANYBODY = "anybody"
    USER = "user"  # anybody with a key
    APP = "app"  # may use the app that the path names
    OWNER = "owner"  # owns it
    ADMIN = "admin"


class Call:
    """Handed to every handler. ``params``: what the path holds, decoded; ``app``: of routes under ``/apps/{app}``."""

    def __init__(
        self, host: Host, request: Request, params: Mapping[str, str], logs: Callable[[str], AppLog] | None = None
    ) -> None:
        self.host = host
        self.request = request
        self.params = params
        self.logs = logs
        self.login: Login | None = None
        self._app: App | None = None
        self._body: Any = None

    @property
    def user(self) -> User:
        """Who calls; only for routes that need somebody."""
        return self.logged_in.user

    @property
    def logged_in(self) -> Login:
        """Who calls, and by which key; only for routes that need somebody."""
        assert self.login is not None
        return self.login

    @property
    def caller(self) -> str:
        """Who calls, before he has proved to be anybody: to count by."""
        return caller_of(self.request.scope.get("client"), self.request.scope.get("server"))

    @property
    def app(self) -> App:
        """The app that the path names; only for routes that name one."""
        assert self._app is not None
        return self._app

    def of_app(self, app: App) -> None:
        """The application has found it."""
        self._app = app

    async def read_body(self) -> None:
        """Read the JSON body, if there is one. Raises Refusal."""
        data, size = bytearray(), 0
        try:
            async with asyncio.timeout(BODY_S):
                async for chunk in self.request.stream():
                    size += len(chunk)
                    if size <= BODY_LIMIT:
                        data += chunk
                    elif size > BODY_DRAINED:
                        break
        except TimeoutError:
            raise Refusal("request_timeout", f"The request body did not come within {BODY_S:.0f} s.") from None
        if size > BODY_LIMIT:
            raise Refusal("payload_too_large", f"The request body is over {BODY_LIMIT} bytes.")
        if data.strip():
            self._body = parsed(bytes(data))

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body of a route that reads it itself, as it comes. Raises Refusal when it stops coming."""
        stream = self.request.stream()
        while True:
            try:
                async with asyncio.timeout(CHUNK_S):
                    chunk = await anext(stream, None)
            except TimeoutError:
                raise Refusal("request_timeout", f"The upload stopped for {CHUNK_S:.0f} s.") from None
            if chunk is None:
                return
            if chunk:
                yield chunk

    @property
    def body(self) -> dict[str, Any]:
        """The body, an object; empty when none was sent. Raises Refusal."""
        if self._body is None:
            return {}
        if not isinstance(self._body, dict):
            raise Refusal("bad_request", "The request body must be a JSON object.")
        return self._body

    def text(self, key: str, required: bool = True) -> str | None:
        """A string of the body. Raises Refusal."""
        value = self.body.get(key)
        if value is None and not required:
            return None
        if not isinstance(value, str):
            raise invalid(f"{key} must be a string.")
        return value

    def must(self, key: str) -> str:
        """A string of the body that has to be there. Raises Refusal."""
        value = self.text(key)
        assert value is not None
        return value

    def must_have(self, key: str) -> None:
        """Raises Refusal when the body has no such key."""
        if key not in self.body:
            raise invalid(f"{key} is missing.")

    def flag(self, key: str, default: bool = False) -> bool:
        """A boolean of the body. Raises Refusal."""
        value = self.body.get(key, default)
        if not isinstance(value, bool):
            raise invalid(f"{key} must be true or false.")
        return value


def parsed(data: bytes) -> Any:
    """JSON, of which everything can be stored and sent back. Raises Refusal, which repeats nothing of it."""
    try:
        body = json.loads(data, parse_constant=unknown)
        json.dumps(body, ensure_ascii=False).encode()  # half a surrogate pair is no text
    except (ValueError, RecursionError):
        raise Refusal("bad_request", "Unable to parse the JSON of the request body.") from None
    return body


def unknown(word: str) -> None:
    """``NaN`` and ``Infinity`` are Python's, not JSON's."""
    raise ValueError("not JSON")


class Answer(NamedTuple):
    """A JSON answer."""

    body: Any
    status: int = 200
    headers: Mapping[str, str] = {}


class Stream(NamedTuple):
    """An answer that comes bit by bit."""

    chunks: AsyncIterator[bytes]
    media_type: str
    status: int = 200


class Page(NamedTuple):
    """An answer for a browser."""

    html: str
    status: int = 200
    headers: Mapping[str, str] = {}


class Download(NamedTuple):
    """An answer that is a file."""

    path: str


Reply = Answer | Stream | Page | Download
Handler = Callable[[Call], Awaitable[Reply]]


class Route(NamedTuple):
    """A row of the API. ``path``: with ``{names}``; ``raw``: the handler reads the body itself."""

    method: str
    path: str
    handler: Handler
    right: Right
    raw: bool = False
