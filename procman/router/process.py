"""HAProxy as a process: checked, started so that it outlives us, reloaded, watched, ended."""

import asyncio
import contextlib
import os
import re
import select
import signal
from collections.abc import Callable

from procman.errors import ProcmanError
from procman.router.binary import Binary
from procman.router.configuration import LOG_VARIABLE, MASTER_SOCKET
from procman.router.runtime_socket import NotAnswering, Processes, RuntimeSocket

CONFIGURATION, ERRORS, PID = "haproxy.cfg", "haproxy.err", "haproxy.pid"
READY_S = 20.0  # for a start or a reload, on a busy host
NAMED_S = 1.0  # in which one that runs in the background has written who it is
GLANCE_S = 0.01
ALERT = re.compile(r"^\[ALERT\]\s+\(\d+\) : (.*)$", re.MULTILINE)


class Process:
    """Runs ``binary`` with the configuration in ``directory``: a master with workers, which end when it ends.

    ``log``: the descriptor on which it shall log.
    """

    def __init__(self, binary: Binary, directory: str, socket: RuntimeSocket, log: int) -> None:
        self._binary = binary
        self._directory = directory
        self._socket = socket
        self._log = log
        self._handle: int | None = None

    async def check(self, file: str) -> None:
        """Raise ProcmanError with HAProxy's own words if it would not take this configuration."""
        status, words = await self._call("-c", "-f", file)
        if status:
            raise ProcmanError(f"cannot configure HAProxy: {words}")

    async def start(self, description: str) -> None:
        """Start it, in the background and by itself. Raises ProcmanError. Returns when it serves."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(self._directory, PID))
        status, words = await self._call(
            "-W", "-D", "-f", CONFIGURATION, "-p", PID, "-S", f"unix@{MASTER_SOCKET},mode,600"
        )
        if status:
            raise ProcmanError(f"cannot start HAProxy: {words}")
        await self._wait_for(description, None)

    def _has_ended(self, waited: float) -> bool:
        """Whether the master that was started last is no more; it may end when it has gone to the background."""
        try:
            with open(os.path.join(self._directory, PID), encoding="ascii") as file:
                handle = os.pidfd_open(int(file.read().split()[0]))
        except ProcessLookupError:
            return True
        except (OSError, ValueError, IndexError):
            return waited > NAMED_S  # it has not said yet who it is
        try:
            return bool(select.select([handle], [], [], 0)[0])  # so also of one whose end nobody has taken note of
        finally:
            os.close(handle)

    async def reload(self, description: str) -> None:
        """A new worker takes the listening sockets over; the old one ends what it has begun. Raises ProcmanError."""
        before = (await self._socket.processes()).worker
        try:
            await self._socket.ask("reload")
        except NotAnswering:
            pass  # the master replaces its own program, and may hang up first
        await self._wait_for(description, before)

    async def _wait_for(self, description: str, before: int | None) -> Processes:
        began = asyncio.get_running_loop().time()
        while (waited := asyncio.get_running_loop().time() - began) < READY_S:
            try:
                found = await self._socket.processes()
                if found.worker not in {None, before}:
                    assert found.worker is not None
                    if await self._socket.description(found.worker) == description:
                        return found
            except NotAnswering:
                if self._has_ended(waited):
                    raise ProcmanError(f"cannot start HAProxy: it ended; see {self._directory}/{ERRORS}") from None
            await asyncio.sleep(GLANCE_S)
        raise ProcmanError(f"cannot start HAProxy: it does not serve after {READY_S:g} s")

    async def _call(self, *arguments: str) -> tuple[int, str]:
        # Its words go to a file: a daemon that writes to a pipe without a reader is killed by that.
        with open(os.path.join(self._directory, ERRORS), "w+b", opener=private) as words:
            process = await asyncio.create_subprocess_exec(
                self._binary.path,
                "-C",
                self._directory,
                *arguments,
                env={"PATH": os.defpath, LOG_VARIABLE: str(self._log)},  # nothing more of ours is HAProxy's business
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=words,
                pass_fds=(self._log,),
                start_new_session=True,
            )
            status = await process.wait()
            words.seek(0)
            text = words.read().decode("utf-8", "replace")
        return status, "; ".join(ALERT.findall(text)[:3]) or text.strip()[-500:]

    async def watch(self, on_end: Callable[[], None]) -> None:
        """Call back, once, when it has ended. Raises NotAnswering."""
        self.unwatch()
        pid = (await self._socket.processes()).master
        try:
            self._handle = os.pidfd_open(pid)
        except ProcessLookupError:
            raise NotAnswering("it has ended") from None
        asyncio.get_running_loop().add_reader(self._handle, self._ended, on_end)

    def _ended(self, on_end: Callable[[], None]) -> None:
        self.unwatch()
        on_end()

    def unwatch(self) -> None:
        """Look away: it runs on."""
        if self._handle is not None:
            asyncio.get_running_loop().remove_reader(self._handle)
            os.close(self._handle)
            self._handle = None

    async def stop(self) -> None:
        """End it, and every request in it. Returns when it has gone."""
        self.unwatch()
        try:
            found = await self._socket.processes()
        except NotAnswering:
            return
        handles = []
        for pid in (found.master, found.worker, *found.old):
            try:
                handles.append(os.pidfd_open(pid or 0))
            except (OSError, ValueError):
                continue
        try:
            os.kill(found.master, signal.SIGTERM)
        except ProcessLookupError:
            pass
        for handle in handles:
            await asyncio.get_running_loop().run_in_executor(None, select.select, [handle], [], [], 10.0)
            os.close(handle)


def private(path: str, flags: int) -> int:
    """Opens files for ourselves alone."""
    return os.open(path, flags, 0o600)
