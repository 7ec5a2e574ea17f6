"""Smart HTTP: what ``git push``, ``git fetch`` and ``git clone`` speak, answered by git itself (gitprotocol-http)."""

import asyncio
import base64
import binascii
import contextlib
import logging
import math
import os
import zlib
from collections import Counter
from collections.abc import AsyncIterator
from typing import Protocol

from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from procman.core.grant import Ends, Grant
from procman.errors import ProcmanError, TryLater
from procman.gitpush.repository import (
    branches,
    git_environment,
    make_repository,
    pack,
    point_head,
    quarantines,
    remove_unless_locked,
)
from procman.gitpush.updates import BRANCHES

SERVICES = ("git-receive-pack", "git-upload-pack")
CHUNK = 64 << 10
KILLED = b"\x03git was killed on the server: push again\n"  # sideband 3: the client ends with it (gitprotocol-pack)
FATAL = b"%04x%b0000" % (len(KILLED) + 4, KILLED)
NO_CACHE = {"Cache-Control": "no-cache, max-age=0, must-revalidate", "Pragma": "no-cache", "Expires": "0"}
log = logging.getLogger(__name__)


class Access(Protocol):
    """Who may push to which app."""

    async def authorize(self, app_name: str, key: str, write: bool, ends: Ends) -> Grant | None:
        """None: the key is nobody's. Raises LookupError when the caller has no such app, TryLater.

        ``ends``: of the connection, the client's and ours.
        """

    def forget(self, grant: Grant) -> None:
        """The push is over."""


class Git:
    """The ASGI application for paths ``/APP.git/…``."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._tending: set[asyncio.Task[None]] = set()
        self._at_work: Counter[str] = Counter()  # gits, by repository

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        request = Request(scope, receive)
        try:
            response = await self._serve(request)
        except ClientDisconnect:
            return
        await response(scope, receive, send)

    async def _serve(self, request: Request) -> Response:
        name, _, rest = request.url.path.strip("/").partition(".git/")
        service = request.query_params.get("service", "") if rest == "info/refs" else rest
        if service not in SERVICES or "/" in name:
            return PlainTextResponse("This is a git repository: clone it with git.\n", 404)
        if request.method != ("GET" if rest == "info/refs" else "POST"):
            return PlainTextResponse("Method not allowed\n", 405)
        try:
            ends = request.scope.get("client"), request.scope.get("server")
            grant = await self._access.authorize(name, key_of(request), service == "git-receive-pack", ends)
        except LookupError as error:
            return PlainTextResponse(f"{error}\n", 404)
        except TryLater as error:
            return PlainTextResponse(f"{error}\n", 429, {"Retry-After": str(math.ceil(error.seconds))})
        if grant is None:
            return PlainTextResponse("Invalid credentials provided.\n", 401, {"WWW-Authenticate": 'Basic realm="git"'})
        program = service.removeprefix("git-")
        answer = self._advertise if rest == "info/refs" else self._exchange
        try:
            await asyncio.to_thread(make_repository, grant.repository, grant.hooks)
            return await answer(request, grant, program)
        except (ProcmanError, OSError) as error:
            self._access.forget(grant)
            log.warning("app=%s error=%s", grant.app_name, error)
            return PlainTextResponse(f"{error}\n", 500)

    async def _advertise(self, request: Request, grant: Grant, program: str) -> Response:
        process = await asyncio.create_subprocess_exec(
            "git", program, "--stateless-rpc", "--http-backend-info-refs", grant.repository,
            env=environment(request), stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
        )
        refs, _ = await process.communicate()
        self._access.forget(grant)
        head = "" if request.headers.get("git-protocol") == "version=2" and program == "upload-pack" else (
            f"{len(program) + 19:04x}# service=git-{program}\n0000"
        )
        media = f"application/x-git-{program}-advertisement"
        return Response(head.encode() + refs, media_type=media, headers=NO_CACHE)

    async def _exchange(self, request: Request, grant: Grant, program: str) -> Response:
        lock = os.open(grant.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        env = environment(request) | {
            "PROCMAN_APP": grant.app_name,
            "PROCMAN_SOCKET": grant.socket,
            "PROCMAN_PUSH": grant.secret,
            "PROCMAN_LOCK_FD": str(lock),
        }
        self._at_work[grant.repository] += 1
        try:
            before = await asyncio.to_thread(branches, grant.repository)
            process = await asyncio.create_subprocess_exec(
                "git", program, "--stateless-rpc", grant.repository,
                env=env, pass_fds=(lock,), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
            )
        except BaseException:
            self._at_work[grant.repository] -= 1
            raise
        finally:
            os.close(lock)
        # git goes on to its end when the client leaves: what it says then is read here and thrown away.
        lines: asyncio.Queue[bytes] = asyncio.Queue(16)
        left = asyncio.Event()
        task = asyncio.create_task(self._tend(process, grant, before, lines, left))
        self._tending.add(task)
        task.add_done_callback(self._tending.discard)
        try:
            await feed(request, process)
        except ClientDisconnect:
            left.set()
            process.stdin.close()  # type: ignore[union-attr]
            raise
        return StreamingResponse(
            said(lines, left), media_type=f"application/x-git-{program}-result", headers=NO_CACHE
        )

    async def _tend(
        self,
        process: asyncio.subprocess.Process,
        grant: Grant,
        before: dict[str, str],
        lines: asyncio.Queue[bytes],
        left: asyncio.Event,
    ) -> None:
        assert process.stdout is not None
        after: dict[str, str] = {}
        try:
            while chunk := await process.stdout.read(CHUNK):
                await hand_over(chunk, lines, left)
            if await process.wait() < 0:  # a client whose answer stops short would wait for ever
                await hand_over(FATAL, lines, left)
            after = await asyncio.to_thread(branches, grant.repository)
            moved = [name for name in BRANCHES if after.get(name) != before.get(name) and name in after]
            if moved:
                await asyncio.to_thread(point_head, grant.repository, moved[0])
        except Exception:
            if os.path.isdir(grant.repository):  # or else the app was destroyed meanwhile
                log.exception("app=%s", grant.app_name)
        finally:
            self._access.forget(grant)
            self._at_work[grant.repository] -= 1
            await hand_over(b"", lines, left)
            with contextlib.suppress(OSError):  # the app is gone, perhaps
                await self._clear(grant)
        if after and after != before:
            try:
                await asyncio.to_thread(pack, grant.repository)
            except ProcmanError as error:
                log.warning("app=%s error=%s", grant.app_name, error)

    async def _clear(self, grant: Grant) -> None:
        """Remove what gits that were killed have left: while none is at work there, it is nobody's."""
        if not self._at_work[grant.repository]:
            del self._at_work[grant.repository]
            if left := quarantines(grant.repository):
                await asyncio.to_thread(remove_unless_locked, grant.lock, left)

    async def close(self) -> None:
        """Wait for nobody: git processes that run go on by themselves."""
        for task in self._tending:
            task.cancel()


async def hand_over(chunk: bytes, lines: "asyncio.Queue[bytes]", left: asyncio.Event) -> None:
    """Give the client a chunk; one who has left gets none and holds nobody up."""
    if left.is_set():
        return
    put, gone = asyncio.ensure_future(lines.put(chunk)), asyncio.ensure_future(left.wait())
    await asyncio.wait((put, gone), return_when=asyncio.FIRST_COMPLETED)
    put.cancel()
    gone.cancel()


async def said(lines: "asyncio.Queue[bytes]", left: asyncio.Event) -> AsyncIterator[bytes]:
    """What git says, to its end."""
    try:
        while chunk := await lines.get():
            yield chunk
    finally:
        left.set()


async def feed(request: Request, process: asyncio.subprocess.Process) -> None:
    """The request's body into git, unpacked if it comes packed. git may stop reading before the end."""
    assert process.stdin is not None
    packed = request.headers.get("content-encoding") in ("gzip", "x-gzip")
    chunks = unpacked(request.stream()) if packed else request.stream()
    broken = False
    async for chunk in chunks:
        if not broken:
            try:
                process.stdin.write(chunk)
                await process.stdin.drain()
            except (BrokenPipeError, ConnectionResetError):
                broken = True
    process.stdin.close()


async def unpacked(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Gzip taken off, a bounded piece at a time; what is no gzip ends the stream."""
    unpack = zlib.decompressobj(31)
    async for chunk in chunks:
        rest = chunk
        try:
            while rest:
                yield unpack.decompress(rest, CHUNK)
                rest = unpack.unconsumed_tail
        except zlib.error:
            return


def environment(request: Request) -> dict[str, str]:
    """What git gets, and the protocol version that the client asks for."""
    version = request.headers.get("git-protocol", "")
    known = version.startswith("version=") and version.removeprefix("version=").isdigit()
    return git_environment() | ({"GIT_PROTOCOL": version} if known else {})


def key_of(request: Request) -> str:
    """The password of basic authorisation: git's user name does not matter (Heroku: git)."""
    scheme, _, rest = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return ""
    try:
        return base64.b64decode(rest, validate=True).decode().partition(":")[2]
    except (binascii.Error, UnicodeDecodeError):
        return ""
