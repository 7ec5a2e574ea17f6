"""One run of a build: source in, builder process, output out, and the release of what came of it."""

import asyncio
import fcntl
import logging
import os
import shutil
import signal
import sys
from collections.abc import Callable, Sequence

from procman.builds import BuildRequest, BuildResult, read_result, write_request
from procman.builds.masker import Masker
from procman.core.records import App, Build, User
from procman.errors import ProcmanError
from procman.platform import deploys, slug_collection
from procman.platform.deploys import Ended
from procman.platform.host import Host
from procman.platform.outputs import Output
from procman.platform.releases import config_vars
from procman.store import tables
from procman.store.database import Tx

CHUNK = 64 << 10
REMIND_S = 5.0
log = logging.getLogger(__name__)


class BuildRun:
    """Carries one build out. ``done`` is set to how it ended, whatever happens."""

    def __init__(
        self, host: Host, user: User, app: App, build: Build, commit_description: str | None, output: Output
    ) -> None:
        self.build = build
        self.output_name = output.name
        self.done: asyncio.Future[Ended] = asyncio.get_running_loop().create_future()
        self._host = host
        self._user = user
        self._app = app
        self.commit_description = commit_description
        self._output = output
        self._work = host.layout.path("builds", build.id)
        self._process: asyncio.subprocess.Process | None = None
        self._cancelled = False

    def cancel(self) -> bool:
        """End it, if it is still being built."""
        if self.done.done() or (self._process is not None and self._process.returncode is not None):
            return False
        self._cancelled = True
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
        return True

    def write(self, *lines: str) -> None:
        """Show whoever watches."""
        self._output.write("".join(f"{line}\n" for line in lines).encode())

    def write_bytes(self, data: bytes) -> None:
        """The same, as it comes."""
        self._output.write(data)

    async def carry_out(
        self, bring: Callable[[str], object], pushed: bool, lock: bool, before: Sequence[str]
    ) -> None:
        """Build and release. Nothing is raised: how it ended is told by ``done`` and by the output."""
        ended = Ended(False)
        held = None
        try:
            if lock:
                held = await self._take_turn()
            self.write(*before)
            result = await self._build(bring)
            if result.ok:
                ended = await deploys.release(self._host, self._user, self._app, self.build, self, result)
                await slug_collection.collect(self._host, self._app)
            else:
                await self._fail(result, pushed)
        except asyncio.CancelledError:
            raise
        except Exception as error:
            known = isinstance(error, ProcmanError)
            log.log(logging.INFO if known else logging.ERROR, "build=%s error=%s", self.build.id, error,
                    exc_info=not known)
            words = str(error) if known else f"internal error ({type(error).__name__})"
            await self._fail(BuildResult(False, failure=words, reason="source"), pushed)
        finally:
            if held is not None:
                os.close(held)
            self._output.close()
            if not self.done.done():
                self.done.set_result(ended)
            await asyncio.to_thread(shutil.rmtree, self._work, True)

    async def _take_turn(self) -> int:
        """One deploy an app at a time: the same lock that a push holds."""
        path = self._host.layout.deploy_lock(self._app.id)
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        taking = asyncio.ensure_future(asyncio.to_thread(fcntl.flock, fd, fcntl.LOCK_EX))
        while not (await asyncio.wait((taking,), timeout=REMIND_S))[0]:
            self.write("-----> Waiting for another deploy to end...")
        return fd

    async def _build(self, bring: Callable[[str], object]) -> BuildResult:
        """Fetch the source and run the builder, its output masked on the way."""
        host, layout, slug_id = self._host, self._host.layout, self.build.id
        source = os.path.join(self._work, "source")
        await asyncio.to_thread(os.makedirs, source, 0o711)
        await asyncio.to_thread(bring, source)
        env = await host.db.run(lambda tx: config_vars(tx, self._app.id))
        request = BuildRequest(
            self.build.id,
            self._app.name,
            source,
            layout.slug(slug_id),
            layout.packed_slug(slug_id),
            os.path.join(self._work, "work"),
            layout.path("cache", self._app.id),
            tuple(self.build.buildpacks),
            env,
            host.settings.stack,
            self.build.commit_hash or "",
            host.settings.mount,
            self._app.uid,
            self._app.uid,
        )
        request = request._replace(limits=request.limits._replace(seconds=host.settings.build_timeout))
        os.makedirs(request.work, 0o700)
        path = os.path.join(self._work, "request.json")
        write_request(request, path)
        if self._cancelled:
            return BuildResult(False, failure="the build was cancelled", reason="cancelled")
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "procman.builds", path,
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, cwd=self._work,
        )
        await self._copy(self._process, Masker(env.values()))
        return read_result(request.work)

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
        """The build came to nothing: no release, no version used."""
        if result.reason in ("source", "internal") and result.failure:
            self.write(f" !     {result.failure}", "", " !     Push failed")
        if pushed:
            self.write("Verifying deploy...", "", f"!\tPush rejected to {self._app.name}.")
        now = self._host.now()

        def note(tx: Tx) -> None:
            tables.builds.update(tx, self.build.id, status="failed", updated_at=now)

        await self._host.db.run(note)
        url = f"{self._host.settings.api_url}/outputs/{self.output_name}"
        self._host.say(self._app.id, f"Build failed -- check your build output: {url}")
        self._host.tell("api:build", "update", self._app)
