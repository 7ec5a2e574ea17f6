"""HAProxy's master socket: commands to the master, and through it to each worker, the current one and old ones."""

import asyncio
import os
import re
from collections.abc import Sequence
from typing import NamedTuple

PATIENCE_S = 5.0
LINE_BYTES = 12_000  # HAProxy takes a line of one buffer
WORKER = re.compile(r"^(\d+)\s+worker\s+(\d+)", re.MULTILINE)
MASTER = re.compile(r"^(\d+)\s+master", re.MULTILINE)


class NotAnswering(ConnectionError):
    """No HAProxy at the socket, or none that is well."""


class Processes(NamedTuple):
    """``worker``: serves; None while there is none. ``old``: ended serving at a reload and have connections left."""

    master: int
    worker: int | None
    old: tuple[int, ...]


class Usage(NamedTuple):
    """Of a server (or a whole backend, ``BACKEND``): requests in flight, requests in its queue, whether it is up."""

    slot: str
    label: str
    sessions: int
    queued: int
    up: bool


class RuntimeSocket:
    """``directory``: a descriptor of the directory in which the socket lies: paths may be longer than addresses."""

    def __init__(self, directory: int, name: str) -> None:
        self._path = f"/proc/self/fd/{directory}/{name}"

    async def ask(self, line: str) -> str:
        """The master's answer to a line. Raises NotAnswering."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                reader, writer = await asyncio.open_unix_connection(self._path)
                try:
                    writer.write(line.encode() + b"\n")
                    writer.write_eof()
                    return (await reader.read(-1)).decode("utf-8", "replace")
                finally:
                    writer.close()
        except (OSError, TimeoutError) as error:
            raise NotAnswering(str(error) or "no answer") from None

    async def tell(self, pid: int, commands: Sequence[str]) -> str:
        """A worker's answers to commands, in their order."""
        answers: list[str] = []
        at = 0
        while at < len(commands):
            line: list[str] = []
            length = 0
            while at < len(commands) and (not line or length + len(commands[at]) < LINE_BYTES):
                line.append(f"@!{pid} {commands[at]}")
                length += len(line[-1]) + 1
                at += 1
            answers.append(await self.ask(";".join(line)))
        return "\n".join(answers)

    async def processes(self) -> Processes:
        """Who there is."""
        answer = await self.ask("show proc")
        master = MASTER.search(answer)
        if not master:
            raise NotAnswering("it names no master")
        current, _, old = answer.partition("# old workers")
        workers = [int(pid) for pid, _ in WORKER.findall(current)]
        return Processes(int(master[1]), max(workers, default=None), tuple(int(pid) for pid, _ in WORKER.findall(old)))

    async def description(self, pid: int) -> str:
        """What a worker says of itself: which configuration it was started with."""
        answer = await self.tell(pid, ["show info"])
        found = re.search(r"^description: (.*)$", answer, re.MULTILINE)
        return found[1].strip() if found else ""

    async def usage(self, pid: int, slots: Sequence[str] = ("-1",)) -> list[Usage]:
        """How busy backends and servers are, in one worker. ``-1``: all of them."""
        answer = await self.tell(pid, [f"show stat {slot} 6 -1" for slot in slots])
        rows = [row.split(",") for row in answer.splitlines() if row and row[0] not in "# "]
        return [
            Usage(row[0], row[1], int(row[4] or 0), int(row[2] or 0), row[17].startswith("UP"))
            for row in rows
            if len(row) > 17
        ]


def exists(directory: int, name: str) -> bool:
    """Whether there is something by the socket's name."""
    try:
        os.stat(name, dir_fd=directory)
    except FileNotFoundError:
        return False
    return True
