"""The ASGI application: from a request to a handler's answer, every refusal in Heroku's shape."""

import logging
import math
import uuid
from collections.abc import Callable, Iterable, Mapping
from urllib.parse import unquote

from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from procman.api.call import Call, Download, Page, Reply, Right, Route, Stream
from procman.api.credentials import key_of
from procman.errors import ProcmanError, TryLater
from procman.logs.news import AppLog
from procman.platform import trouble
from procman.platform.host import Host
from procman.platform.refusals import Refusal, forbidden
from procman.platform.users import Login, find_app, log_in, unauthorized

VERSION = "application/vnd.heroku+json; version=3"
PAGE_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
log = logging.getLogger(__name__)


class Api:
    """The API of one host. ``logs``: an app's log, by the app's id; without it there are no log sessions."""

    def __init__(self, host: Host, routes: Iterable[Route], logs: Callable[[str], AppLog] | None = None) -> None:
        self._host = host
        self._logs = logs
        self._routes: dict[int, list[tuple[tuple[str, ...], Route]]] = {}
        for route in routes:
            words = tuple(route.path.strip("/").split("/"))
            self._routes.setdefault(len(words), []).append((words, route))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        request = Request(scope, receive)
        identity = request_id(request)
        try:
            response = await self._serve(request)
        except Refusal as refusal:
            response = refused(refusal)
        except TryLater as error:
            response = refused_for_now(error)
        except ProcmanError as error:  # what runs dynos cannot do it now; its words are for people
            response = refused(Refusal("service_unavailable", str(error)))
        except ClientDisconnect:
            return
        except Exception as error:
            response = refused(self._failed(error, identity, request.method))
        response.headers["Request-Id"] = identity
        await response(scope, receive, send)

    def _failed(self, error: Exception, identity: str, method: str) -> Refusal:
        """What is said of it, here and in the server's own log: of a full disk what anybody can understand."""
        if trouble.is_hosts(error):
            words = trouble.words_of(error, self._host.layout.data)
            log.warning("request=%s method=%s error=%s", identity, method, words)
            return Refusal("service_unavailable", f"Cannot do this now: {words}.")
        log.error("request=%s method=%s", identity, method, exc_info=error)
        return Refusal("internal_server_error", f"Internal server error (request {identity}).")

    async def _serve(self, request: Request) -> Response:
        route, params = self._find(request.method, raw_segments(request.scope))
        call = Call(self._host, request, params, self._logs)
        if route.right is not Right.ANYBODY:
            call.login = await self._log_in(call)
        if "app" in params and route.right is not Right.ANYBODY:
            call.of_app(await self._host.db.run(lambda tx: find_app(tx, call.user, params["app"])))
        check_right(route.right, call)
        check_version(request.headers.get("accept", ""))
        if not route.raw:
            await call.read_body()
        return rendered(await route.handler(call))

    def _find(self, method: str, segments: tuple[str, ...]) -> tuple[Route, dict[str, str]]:
        """The route; literal words win over names. Raises Refusal."""
        method = "GET" if method == "HEAD" else method
        allowed = False
        best: tuple[int, Route, dict[str, str]] | None = None
        for words, route in self._routes.get(len(segments), ()):
            params = match(words, segments)
            if params is None:
                continue
            allowed = True
            if route.method == method and (best is None or len(params) < best[0]):
                best = len(params), route, params
        if best:
            return best[1], best[2]
        if allowed:
            raise Refusal("method_not_allowed", f"{method} is not possible here.")
        raise Refusal("not_found", "The requested API endpoint was not found. Are you using the right HTTP verb?")

    async def _log_in(self, call: Call) -> Login:
        key = key_of(call.request.headers.get("authorization", ""))
        login = await log_in(self._host, key)
        if login is None:
            if key:
                self._host.attempts.wrong_key(call.caller)
            raise unauthorized()
        return login


def request_id(request: Request) -> str:
    """Ours to trace by; the client's own last one if it looks like one."""
    told = request.headers.get("request-id", "").rpartition(",")[2].strip()
    return told if 0 < len(told) <= 64 and told.replace("-", "").isalnum() else str(uuid.uuid4())


def raw_segments(scope: Scope) -> tuple[str, ...]:
    """The path's segments, each decoded by itself. Raises Refusal."""
    raw = scope.get("raw_path") or scope["path"].encode()
    try:
        segments = tuple(unquote(part, errors="strict") for part in raw.decode("ascii").split("?")[0].split("/")[1:])
    except UnicodeDecodeError:
        raise Refusal("bad_request", "The path of the request is not UTF-8.") from None
    if any("\0" in segment for segment in segments):
        raise Refusal("bad_request", "The path of the request contains a NUL.")
    return segments[:-1] if len(segments) > 1 and segments[-1] == "" else segments


def match(words: tuple[str, ...], segments: tuple[str, ...]) -> dict[str, str] | None:
    """What the names of a route stand for; None when it is not this route."""
    params = {}
    for word, segment in zip(words, segments, strict=True):
        if word.startswith("{"):
            params[word[1:-1]] = segment
        elif word != segment:
            return None
    return params


def check_right(right: Right, call: Call) -> None:
    """Raises Refusal when the caller is not who he must be."""
    if right is Right.OWNER and not (call.user.admin or call.app.owner_id == call.user.id):
        raise forbidden(f"You do not have access to the app {call.app.name}: only its owner may do this.")
    if right is Right.ADMIN and not call.user.admin:
        raise forbidden("Only an administrator of this server may do this.")


def check_version(accept: str) -> None:
    """Raises Refusal for another version of the API than 3 and its variants (``3.sdk``, ``3.webhooks``)."""
    if "application/vnd.heroku+json" in accept and "version=3" not in accept.replace(" ", ""):
        raise Refusal("not_acceptable", f"Please specify a supported version: Accept: {VERSION}")


def refused(refusal: Refusal) -> Response:
    """``{id, message}``."""
    body = {"id": refusal.identity, "message": refusal.message}
    if refusal.resource:
        body["resource"] = refusal.resource
    headers = {"WWW-Authenticate": 'Basic realm="procman"'} if refusal.status == 401 else {}
    if refusal.status in (408, 413):
        headers["Connection"] = "close"  # the rest of the body is not wanted
    return JSONResponse(body, refusal.status, headers)


def refused_for_now(error: TryLater) -> Response:
    """429, and for how long."""
    seconds = math.ceil(error.seconds)
    response = refused(Refusal("rate_limit", f"{error.what.capitalize()}. Try again in {seconds} seconds."))
    response.headers.update({"Retry-After": str(seconds), "RateLimit-Remaining": "0"})
    return response


def rendered(answer: Reply) -> Response:
    """As Starlette sends it."""
    if isinstance(answer, Stream):
        headers: Mapping[str, str] = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return StreamingResponse(answer.chunks, answer.status, headers, media_type=answer.media_type)
    if isinstance(answer, Page):
        return HTMLResponse(answer.html, answer.status, {**PAGE_HEADERS, **answer.headers})
    if isinstance(answer, Download):
        return FileResponse(answer.path, media_type="application/octet-stream")
    headers = {"Cache-Control": "no-store", "RateLimit-Remaining": "4500", **answer.headers}
    return JSONResponse(answer.body, answer.status, dict(headers))
