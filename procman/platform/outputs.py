"""Stored output of builds and release phases: written as it is made, read from its beginning while it grows.

An output's name is its secret: whoever knows it may read (Heroku: output_stream_url carries no credentials).
"""

import asyncio
import os
import re
import secrets
from collections.abc import AsyncIterator

from procman.platform.layout import Layout

CHUNK = 64 << 10
MOST_BYTES = 300 << 20  # Heroku: limits, build output
MOST_HELD = 1 << 20  # bytes in memory while the disk is full
NAME = re.compile(r"[A-Za-z0-9_-]{20,80}")


class Output:
    """One that is being written. With a full disk the last of it is held in memory, and readers are given that."""

    def __init__(self, outputs: "Outputs", name: str) -> None:
        self.name = name
        self._outputs = outputs
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        self._fd = os.open(outputs.layout.output(name), flags, 0o600)
        self._size = 0
        self.held = b""  # what comes after the file's end

    def write(self, data: bytes) -> None:
        """Append, and wake the readers."""
        if self._size < MOST_BYTES and len(self.held) < MOST_HELD:
            self._size += len(data)
            self.held += data
            self._keep()
        self._outputs.wake(self.name)

    def _keep(self) -> None:
        try:
            while self.held:
                self.held = self.held[os.write(self._fd, self.held) :]
        except OSError:
            return

    def close(self) -> None:
        """It is complete."""
        self._keep()
        os.close(self._fd)
        self._outputs.end(self.name)


class Outputs:
    """All outputs of a server."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self._growing: dict[str, asyncio.Event] = {}
        self._open: dict[str, Output] = {}

    def open(self, name: str | None = None) -> Output:
        """A new output under a new name."""
        output = Output(self, name or new_name())
        self._growing[output.name] = asyncio.Event()
        self._open[output.name] = output
        return output

    def prune(self, before: float) -> None:
        """Remove those that were last written to before that time (seconds since the epoch)."""
        folder = self.layout.path("output")
        for entry in os.scandir(folder):
            if entry.name not in self._growing and entry.stat().st_mtime < before:
                os.unlink(entry.path)

    def wake(self, name: str) -> None:
        """There is more; each waiter holds the event it waits on."""
        event, self._growing[name] = self._growing[name], asyncio.Event()
        event.set()

    def end(self, name: str) -> None:
        """No more will come."""
        self._growing.pop(name).set()
        self._open.pop(name)

    def exists(self, name: str) -> bool:
        """Whether there is such an output."""
        return NAME.fullmatch(name) is not None and os.path.isfile(self.layout.output(name))

    async def read(self, name: str) -> AsyncIterator[bytes]:
        """All of it, from the beginning to its end, as it comes. Raises FileNotFoundError."""
        output, place = self._open.get(name), 0
        with open(self.layout.output(name), "rb") as file:
            while True:
                event = self._growing.get(name)  # before the reading, so that nothing written meanwhile is missed
                file.seek(place)
                while chunk := file.read(CHUNK):
                    place += len(chunk)
                    yield chunk
                if output and (held := output.held[place - os.fstat(file.fileno()).st_size :]):
                    place += len(held)
                    yield held
                if event is None:
                    return
                await event.wait()


def new_name() -> str:
    """A name that cannot be guessed."""
    return secrets.token_urlsafe(24)
