"""How a server waits for the end of a supervisor's process."""

import asyncio
import subprocess
import sys

import pytest

from procman.errors import ProcmanError
from procman.runtimes.local_ends import exit_of
from tests.harness import DEADLINE_S


def test_an_end_is_waited_for_and_who_has_ended_is_not():
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)

    async def wait() -> None:
        waiting = asyncio.create_task(exit_of(process.pid))
        await asyncio.sleep(0)  # it looks at the living process
        assert not waiting.done()
        process.stdin.close()
        await asyncio.wait_for(waiting, DEADLINE_S)

    asyncio.run(wait())
    process.wait()
    asyncio.run(exit_of(process.pid))


def test_a_process_that_cannot_be_waited_for_is_not_taken_for_gone():
    with pytest.raises(ProcmanError, match="cannot wait for process 0: Invalid argument"):
        asyncio.run(exit_of(0))
