"""One run of a build: source in, builder process, output out, and the release of what came of it."""

import asyncio
import fcntl
import logging
import os
import shutil
import signal
import sqlite3
import sys
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from procman.builds import BuildRequest, BuildResult, read_result, write_request
from procman.builds.masker import Masker, hidden
from procman.core.records import App, Build, User
from procman.errors import ProcmanError
from procman.platform import deploys, slug_collection, trouble
from procman.platform.deploys import Ended
from procman.platform.host import Host
from procman.platform.outputs import Output
from procman.platform.releases import config_vars
from procman.store import tables
from procman.store.database import Tx

CHUNK = 64 << 10
REMIND_S = 5.0
LOOK_S = 0.1  # how often a build that waits asks for the lock
CANCELLED = "the build was cancelled"
log = logging.getLogger(__name__)


class BuildRun:
    """Carries one build out. ``done`` is set to how it ended, whatever happens."""

    def __init__(
        self, host: Host, user: User, app: App, build: Build, commit_description: str | None, output: Output
    ) -> None:
        self.build = build
        self.app = app
        self.output_name = output.name
        self.done: asyncio.Future[Ended] = asyncio.get_running_loop().create_future()
        self._host = host
        self._user = user
        self.commit_description = commit_description
        self._output = output
        self._work = host.layout.path("builds", build.id)
        self._process: asyncio.subprocess.Process | None = None
        self._cancelled = asyncio.Event()
        self._built = False

    def cancel(self) -> bool:
        """End it, if it is still being built."""
        if self.done.done() or self._built:
            return False
        self._cancelled.set()
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(signal.SIGTERM)
        return True

    def write(self, *lines: str) -> None:
        """Show whoever watches."""
        self._output.write("".join(f"{line}\n" for line in lines).encode())

    def write_bytes(self, data: bytes) -> None:
        """The same, as it comes."""
        self._output.write(data)

    async def carry_out(
        self, bring: Callable[[str], Sequence[str]], pushed: bool, lock: bool, before: Sequence[str]
    ) -> None:
        """Build and release. Nothing is raised: how it ended is told by ``done`` and by the output."""
        ended = Ended(False)
        held: list[int] = []
        layout = self._host.layout
        try:
            for path in ((layout.deploy_lock(self.app.id),) if lock else ()) + (layout.build_lock(self.app.id),):
                await self._take_turn(path, held)
            self.write(*before)
            threads = self._host.checkouts if pushed else self._host.sources
            bring = partial(self._bring, bring)
            result = await self._build(lambda folder: threads.run_for(self._user.id, bring, folder), held[-1])
            self._built = True
            if result.ok:
                ended = await deploys.release(self._host, self._user, self, result)
                await slug_collection.collect(self._host, self.app)
            else:
                await self._fail(result, pushed)
        except asyncio.CancelledError as why:
            self.write("", f" !     {why}")
            raise
        except Exception as error:
            known = trouble.is_known(error)
            log.log(logging.INFO if known else logging.ERROR, "build=%s error=%s", self.build.id, error,
                    exc_info=not known)
            words = trouble.words_of(error, layout.data)
            await self._fail(BuildResult(False, failure=words, reason="source"), pushed)
        finally:
            for fd in held:
                os.close(fd)
            self._output.close()
            if not self.done.done():
                self.done.set_result(ended)
            await asyncio.to_thread(shutil.rmtree, self._work, True)

    async def _take_turn(self, path: str, held: list[int]) -> None:
        """One deploy an app at a time. Asks again and again: a thread that waits in flock could not be told to stop."""
        held.append(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        loop = asyncio.get_running_loop()
        remind = loop.time()
        while not try_lock(held[-1]):
            if loop.time() >= remind:
                self.write("-----> Waiting for another deploy to end...")
                remind = loop.time() + REMIND_S
            try:
                await asyncio.wait_for(self._cancelled.wait(), LOOK_S)
            except TimeoutError:
                continue
            raise ProcmanError(CANCELLED)

    async def _build(self, bring: Callable[[str], Awaitable[Sequence[str]]], lock: int) -> BuildResult:
        """Fetch the source and run the builder, its output masked on the way. The builder holds the lock, too."""
        host = self._host
        source = os.path.join(self._work, "source")
        await slug_collection.make_room(host)
        await asyncio.to_thread(os.makedirs, source, 0o711)
        notes = await self._unless_cancelled(bring(source))
        self.write(*(f" ~     {note}" for note in notes))
        env = await host.db.run(lambda tx: config_vars(tx, self.app.id))
        request = self._request(source, env)
        os.makedirs(request.work, 0o700)
        path = os.path.join(self._work, "request.json")
        write_request(request, path)
        if self._cancelled.is_set():
            raise ProcmanError(CANCELLED)
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "procman.builds", path,
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, cwd=self._work, pass_fds=(lock,),
        )
        if self._cancelled.is_set():
            self._process.send_signal(signal.SIGTERM)
        await self._copy(self._process, Masker(hidden(env)))
        return read_result(request.work)

    async def _unless_cancelled(self, work: Awaitable[Sequence[str]]) -> Sequence[str]:
        """What comes of it. Raises ProcmanError at once when the build is cancelled: a thread may go on for a while."""
        coming, end = asyncio.ensure_future(work), asyncio.ensure_future(self._cancelled.wait())
        try:
            await asyncio.wait((coming, end), return_when=asyncio.FIRST_COMPLETED)
            if not coming.done():
                raise ProcmanError(CANCELLED)
            return coming.result()
        finally:
            coming.cancel()
            end.cancel()

    def _bring(self, bring: Callable[[str], Sequence[str]], folder: str) -> Sequence[str]:
        """On a thread, which may come to its end after the build that was cancelled: nothing of it stays."""
        try:
            return bring(folder)
        finally:
            if self._cancelled.is_set():
                shutil.rmtree(self._work, ignore_errors=True)

    def _request(self, source: str, env: dict[str, str]) -> BuildRequest:
        """What the builder is asked for."""
        layout, settings, app, build = self._host.layout, self._host.settings, self.app, self.build
        request = BuildRequest(
            build.id,
            app.name,
            source,
            layout.slug(build.id),
            layout.packed_slug(build.id),
            os.path.join(self._work, "work"),
            layout.path("cache", app.id),
            tuple(build.buildpacks),
            env,
            settings.stack,
            build.commit_hash or "",
            settings.mount,
            app.uid,
            app.uid,
        )
        limits = request.limits
        return request._replace(
            limits=limits._replace(
                seconds=settings.build_timeout, slug=settings.slug_limit, warn=min(limits.warn, settings.slug_limit),
                local=settings.allow_local_addresses,
            )
        )

    async def _copy(self, process: asyncio.subprocess.Process, masker: Masker) -> None:
        """The builder's words to whoever watches, without the values of config vars."""
        assert process.stdout is not None
        try:
            while chunk := await process.stdout.read(CHUNK):
                self._output.write(masker.feed(chunk))
            self._output.write(masker.end())
            await process.wait()
        except asyncio.CancelledError:
            process.send_signal(signal.SIGTERM)
            raise

    async def _fail(self, result: BuildResult, pushed: bool) -> None:
        """The build came to nothing: no release, no version used, nothing left of the slug."""
        if result.reason in ("source", "internal") and result.failure:
            self.write(f" !     {result.failure}", "", " !     Push failed")
        if pushed:
            self.write("Verifying deploy...", "", f"!\tPush rejected to {self.app.name}.")
        await asyncio.to_thread(shutil.rmtree, self._work, True)  # first of all: there may be no room for the note
        now = self._host.now()

        def note(tx: Tx) -> bool:
            build = tables.builds.get(tx, id=self.build.id)
            if build and build.status == "pending":
                tables.builds.update(tx, build.id, status="failed", updated_at=now)
            return tables.slugs.get(tx, id=self.build.id) is None

        try:
            if await self._host.db.run(note):
                await asyncio.to_thread(slug_collection.remove, self._host, self.build.id)
        except sqlite3.Error as error:  # the next start of the server puts it right
            log.warning("build=%s error=%s", self.build.id, error)
        url = f"{self._host.settings.api_url}/outputs/{self.output_name}"
        self._host.say(self.app.id, f"Build failed -- check your build output: {url}")
        self._host.tell("api:build", "update", self.app)


def try_lock(fd: int) -> bool:
    """Whether it is ours now."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
