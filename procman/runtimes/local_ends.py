"""How a supervisor's process ends: asked to, waited for, and let go."""

import asyncio
import os
import subprocess

from procman.errors import ProcmanError
from procman.runtimes.local_control import Gone, connect
from procman.runtimes.local_home import AppHome


def reap(process: "subprocess.Popen[bytes]") -> None:
    """Let a child of ours go when it has ended; until then nothing waits for it."""
    loop = asyncio.get_running_loop()
    try:
        handle = os.pidfd_open(process.pid)
    except OSError:
        process.poll()
        return

    def ended() -> None:
        loop.remove_reader(handle)
        os.close(handle)
        process.wait()

    loop.add_reader(handle, ended)


async def shut_down(home: AppHome, patience: float | None = None) -> None:
    """Have a supervisor end, and wait for it; who takes longer than ``patience`` kills its dynos at once."""
    for now in (False, True):
        connection = await connect(home.socket, home.uid)
        gone = asyncio.create_task(exit_of(connection.pid))
        try:
            async with asyncio.timeout(None if now else patience):
                try:
                    async for answer in connection.ask("shutdown", now=now):
                        if not answer.get("ok"):
                            raise ProcmanError(f"cannot end the app's supervisor: {answer.get('error')}")
                except Gone:
                    pass
                await gone
                return
        except TimeoutError:
            continue
        finally:
            gone.cancel()
            connection.close()


async def exit_of(pid: int) -> None:
    """Return when there is no such process any more; `ProcmanError` where that cannot be waited for."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    except OSError as error:
        raise ProcmanError(f"cannot wait for process {pid}: {error.strerror}") from error
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_reader(handle, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(handle)
        os.close(handle)
