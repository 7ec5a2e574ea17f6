"""The keeper of a build: it has the rights and the clock, and it outlives whatever the build starts."""

import os
import re
import select
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator

from procman.builds import buildpack, descendants, isolation
from procman.builds.apart import AGAIN, STOPS, compile_apart
from procman.builds.compiler import ended
from procman.builds.masker import Masker
from procman.builds.report import Report, size
from procman.builds.request import KILLED, BuildRequest, BuildResult, decode_result, encode_result, result_path
from procman.files import write_private

GRACE_S = 20.0  # for a compiler that was told to stop
MOST_RESULT = 8 << 20
LEAST_FREE = 50 << 20  # bytes: with less on the disk, what runs needs them more
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
TYPE = re.compile(r"[-\w]{1,128}", re.ASCII)


class Keeper:
    """Carries one request out; ``run`` returns whether there is a slug."""

    def __init__(self, request: BuildRequest) -> None:
        self.request = request
        self.part = f"{request.packed}.part"
        self._child = 0
        self._why = ""  # it is to be ended

    def run(self) -> bool:
        """Prepare, fork, wait, clean up, and leave the result."""
        isolation.adopt_orphans()
        os.umask(0o022)
        for number in STOPS:
            signal.signal(number, self._stop)
        isolation.end_with_parent(signal.SIGTERM)
        taken = [path for path in (self.request.slug, self.request.packed) if os.path.lexists(path)]
        if taken:  # and it is not ours to remove
            return self._leave(BuildResult(False, failure=f"cannot build: {taken[0]} is there", reason="internal"))
        try:
            self._prepare()
            result = self._build()
        except OSError as error:
            result = BuildResult(False, failure=f"cannot build: {error}", reason="internal")
        finally:
            descendants.end_all()
        result = self._settle(result)
        left = self._leave(result)
        if result.ok and not left:
            self._discard()
        return left

    def _leave(self, result: BuildResult) -> bool:
        """Write the result; whether there is a slug, and somebody will know of it."""
        try:
            write_private(result_path(self.request.work), encode_result(result))
        except OSError as error:
            print(f"error: cannot keep the result of the build: {error.strerror}", file=sys.stderr)
            return False
        return result.ok

    def _stop(self, number: int, frame: object) -> None:
        """Tell the compiler that time is up, or that nobody wants the build; a second alarm ends one that is stuck."""
        if not self._why:
            self._why = {signal.SIGALRM: "timeout", signal.SIGHUP: "killed"}.get(signal.Signals(number), "cancelled")
            signal.setitimer(signal.ITIMER_REAL, GRACE_S)
            self._tell(number)
        elif number == signal.SIGALRM:
            self._tell(signal.SIGKILL)

    def _tell(self, number: int) -> None:
        if self._child:
            os.kill(self._child, number)
            os.kill(self._child, signal.SIGCONT)  # the build runs as the same user, and may have stopped it

    def _prepare(self) -> None:
        """Everything to its place, and to its owner."""
        request = self.request
        folder = os.path.dirname(request.slug)
        disk = os.statvfs(folder)
        free = disk.f_bavail * disk.f_frsize
        if free < LEAST_FREE:
            raise OSError(f"{size(free)} are free on the disk of {folder}, {size(LEAST_FREE)} are needed")
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
            for folder in (os.path.dirname(request.work), request.work):  # to be passed, whatever our umask
                os.chmod(folder, stat.S_IMODE(os.stat(folder).st_mode) | 0o011)  # noqa: S103
            owned = [request.slug, *(f"{request.work}/{name}" for name in ("buildpacks", "tmp", "env"))]
            if os.stat(request.cache).st_uid != request.uid:
                owned.append(request.cache)
            gid = request.uid if request.gid is None else request.gid
            for path in owned:
                for entry in everything(path):
                    os.lchown(entry, request.uid, gid)

    def _build(self) -> BuildResult:
        """Let the compiler run, where possible among processes of its own."""
        packed = os.open(self.part, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            signal.setitimer(signal.ITIMER_REAL, self.request.limits.seconds)
            said = self._compile(packed, True)
            if said == AGAIN:
                said = self._compile(packed, False)
            signal.setitimer(signal.ITIMER_REAL, 0)
            return self._judge(said, packed)
        finally:
            os.close(packed)

    def _compile(self, packed: int, alone: bool) -> bytes:
        """Fork the compiler; what it says until it ends. Signals wait until it can be told of them."""
        reader, writer = os.pipe()
        sys.stdout.flush()
        signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)
        here = isolation.begin_processes() if alone else -1
        child = os.fork()
        if child == 0:
            status = 1
            try:
                os.close(reader)
                status = compile_apart(self.request, packed, writer, here >= 0)
            finally:
                os._exit(status)
        os.close(writer)
        if here >= 0:
            isolation.end_processes(here)
        self._child = child
        if self._why:
            self._tell(signal.SIGTERM)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)
        try:
            return self._listen(reader)
        finally:
            self._child = 0
            os.close(reader)

    def _listen(self, reader: int) -> bytes:
        """Not to the end of the pipe, but of the process: the pipe might be held by another."""
        data = b""
        pidfd = os.pidfd_open(self._child)
        poll = select.poll()
        poll.register(reader, select.POLLIN)
        poll.register(pidfd, select.POLLIN)
        try:
            while True:
                ready = {fd for fd, _ in poll.poll()}
                if reader in ready:
                    chunk = os.read(reader, 1 << 16)
                    data += chunk
                    if not chunk:
                        poll.unregister(reader)
                    if len(data) > MOST_RESULT:
                        os.kill(self._child, signal.SIGKILL)
                elif pidfd in ready:
                    return data
        finally:
            os.close(pidfd)

    def _judge(self, data: bytes, packed: int) -> BuildResult:
        """The compiler's word, as far as it can be checked: it ran beside code that nobody knows."""
        try:
            result = decode_result(data)
        except ValueError:
            if self._why:
                return ended(self.request, Report(1, Masker(())), self._why)
            why = f"{KILLED}: for want of memory, or by the build itself"
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
            self._discard()
        return result

    def _discard(self) -> None:
        remove(self.request.slug)
        for path in (self.part, self.request.packed):
            if os.path.lexists(path):
                os.unlink(path)


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
