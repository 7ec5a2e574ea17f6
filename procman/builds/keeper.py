"""The keeper of a build: it has the rights and the clock, and it outlives whatever the build starts."""

# Some are imported only to be there when the build's user is entered, who may not be able to read our library.
import bz2  # noqa: F401
import encodings.ascii
import encodings.idna
import encodings.latin_1  # noqa: F401
import lzma  # noqa: F401
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator

from procman.builds import buildpack, descendants, isolation
from procman.builds.compiler import Compiler, ended, listen
from procman.builds.failure import Ended
from procman.builds.masker import Masker
from procman.builds.report import Report
from procman.builds.request import BuildRequest, BuildResult, decode_result, encode_result, result_path, write_private
from procman.formats import advice, line_diagnosis  # noqa: F401

GRACE_S = 20.0  # for a compiler that was told to stop
MOST_RESULT = 8 << 20
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
TYPE = re.compile(r"[-\w]{1,128}", re.ASCII)


class Keeper:
    """Carries one request out; ``run`` returns whether there is a slug."""

    def __init__(self, request: BuildRequest) -> None:
        self.request = request
        self.part = f"{request.packed}.part"
        self._child = 0
        self._cancelled = False

    def run(self) -> bool:
        """Prepare, fork, wait, clean up, and leave the result."""
        isolation.adopt_orphans()
        os.umask(0o022)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._cancel)
        isolation.end_with_parent()
        try:
            self._prepare()
            result = self._build()
        except OSError as error:
            result = BuildResult(False, failure=f"cannot build: {error}", reason="internal")
        finally:
            descendants.end_all()
        result = self._settle(result)
        write_private(result_path(self.request.work), encode_result(result))
        return result.ok

    def _cancel(self, number: int, frame: object) -> None:
        self._cancelled = True
        if self._child:
            os.kill(self._child, signal.SIGTERM)

    def _prepare(self) -> None:
        """Everything to its place, and to its owner."""
        request = self.request
        shutil.move(request.source, request.slug)
        os.chmod(request.slug, 0o755)  # noqa: S103 - dynos read it as other users
        buildpack.lay_out(f"{request.work}/buildpacks")
        for name in ("tmp", "env"):
            os.mkdir(f"{request.work}/{name}", 0o700)
        for name, value in request.env.items():
            if VARIABLE.fullmatch(name):
                write_private(f"{request.work}/env/{name}", value.encode("utf-8", "surrogateescape"))
        os.makedirs(request.cache, mode=0o700, exist_ok=True)
        if request.uid is not None:
            os.chmod(request.work, 0o711)  # noqa: S103
            owned = [request.slug, *(f"{request.work}/{name}" for name in ("buildpacks", "tmp", "env"))]
            if os.stat(request.cache).st_uid != request.uid:
                owned.append(request.cache)
            gid = request.uid if request.gid is None else request.gid
            for path in owned:
                for entry in everything(path):
                    os.lchown(entry, request.uid, gid)

    def _build(self) -> BuildResult:
        """Fork the compiler and wait for what it says."""
        reader, writer = os.pipe()
        packed = os.open(self.part, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        sys.stdout.flush()
        self._child = os.fork()
        if self._child == 0:
            os.close(reader)
            status = 1
            try:
                status = compile_apart(self.request, packed, writer)
            finally:
                os._exit(status)
        os.close(writer)
        if self._cancelled:
            os.kill(self._child, signal.SIGTERM)
        try:
            data = self._wait(reader)
            return self._judge(data, packed)
        finally:
            os.close(reader)
            os.close(packed)

    def _wait(self, reader: int) -> bytes:
        """What the compiler sends until it ends; told to stop when time is up, and killed when it does not."""
        data = b""
        pidfd = os.pidfd_open(self._child)
        deadline, told = time.monotonic() + self.request.limits.seconds, False
        poll = select.poll()
        poll.register(reader, select.POLLIN)
        poll.register(pidfd, select.POLLIN)
        try:
            while True:
                ready = {fd for fd, _ in poll.poll(max(0.0, deadline - time.monotonic()) * 1000)}
                if reader in ready:
                    chunk = os.read(reader, 1 << 16)
                    data += chunk
                    if not chunk:
                        poll.unregister(reader)
                    if len(data) > MOST_RESULT:
                        os.kill(self._child, signal.SIGKILL)
                elif pidfd in ready:
                    return data
                elif not ready:
                    os.kill(self._child, signal.SIGKILL if told else signal.SIGALRM)
                    deadline, told = time.monotonic() + GRACE_S, True
        finally:
            os.close(pidfd)

    def _judge(self, data: bytes, packed: int) -> BuildResult:
        """The compiler's word, as far as it can be checked: it ran beside code that nobody knows."""
        try:
            result = decode_result(data)
        except ValueError:
            why = "the build's process was killed: for want of memory, or by the build itself"
            return BuildResult(False, failure=why, reason="internal")
        if result.ok:
            os.fsync(packed)
            types = {**result.process_types, **result.default_process_types}
            if not all(TYPE.fullmatch(name) and isinstance(command, str) for name, command in types.items()):
                return BuildResult(False, failure="the build made process types of no good name", reason="internal")
            request = self.request
            return result._replace(size=os.fstat(packed).st_size, slug=request.slug, packed=request.packed)
        return result

    def _settle(self, result: BuildResult) -> BuildResult:
        """Both forms of the slug, or none; nothing else is left but the cache."""
        request = self.request
        for name in ("buildpacks", "tmp", "env"):
            remove(f"{request.work}/{name}")
        if result.ok:
            try:
                os.rename(self.part, request.packed)
            except OSError as error:
                result = BuildResult(False, failure=f"cannot keep the slug: {error}", reason="internal")
        if not result.ok:
            remove(request.slug)
            if os.path.lexists(self.part):
                os.unlink(self.part)
        return result


def compile_apart(request: BuildRequest, packed: int, writer: int) -> int:
    """The forked half: away from the host and down to the build's user, then the build. Its exit status."""
    listen()
    isolation.adopt_orphans()
    report = Report(1, Masker(request.env.values()))
    try:
        build_dir, why = request.slug, ""
        if request.mount is not None:
            why = isolation.appear_at(request.slug, request.mount)
            build_dir = request.slug if why else request.mount
            mine = (request.slug, request.work, request.cache)
            if not why and not any(os.path.realpath(path).startswith("/tmp/") for path in mine):  # noqa: S108
                isolation.cover("/tmp", f"{request.work}/tmp")  # noqa: S108
        isolation.become(request.uid, request.gid)
        isolation.end_with_parent()
        os.environ["HOME"] = os.environ.get("HOME", "/") if request.uid is None else f"{request.work}/tmp"  # noqa: S108
        os.chdir(build_dir)
        if why:
            report.note(f"The app is not built at {request.mount}: {why}")
        with open(packed, "wb", closefd=False) as file:
            result = Compiler(request, build_dir, report, os.environ).run(file)
    except Ended as end:
        result = ended(request, report, end.reason)
    except Exception as error:
        traceback.print_exc()
        result = BuildResult(False, failure=f"internal error: {error}", reason="internal", lines=report.last())
    finally:
        descendants.end_all()
    data = encode_result(result)
    while data:
        data = data[os.write(writer, data) :]
    return 0 if result.ok else 1


def everything(path: str) -> Iterator[str]:
    """A folder and all below it; links as links."""
    yield path
    for base, folders, files in os.walk(path):
        yield from (f"{base}/{name}" for name in (*folders, *files))


def remove(path: str) -> None:
    """Remove a folder, also where its owner has locked it."""
    shutil.rmtree(path, ignore_errors=True)
    if os.path.isdir(path):
        subprocess.run(["chmod", "-R", "u+rwX", "--", path], stderr=subprocess.DEVNULL, check=False)
        shutil.rmtree(path, ignore_errors=True)
