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
NAME = re.compile(r"[A-Za-z0-9_-]{20,80}")


class Output:
    """One that is being written. Trouble with the disk costs what is stored, never the build."""

    def __init__(self, outputs: "Outputs", name: str) -> None:
        self.name = name
        self._outputs = outputs
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        self._fd = os.open(outputs.layout.output(name), flags, 0o600)
        self._size = 0

    def write(self, data: bytes) -> None:
        """Append, and wake the readers."""
        if self._size < MOST_BYTES:
            self._size += len(data)
            try:
                os.write(self._fd, data)
            except OSError:
                self._size = MOST_BYTES
        self._outputs.wake(self.name)

    def close(self) -> None:
        """It is complete."""
        os.close(self._fd)
        self._outputs.end(self.name)


class Outputs:
    """All outputs of a server."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self._growing: dict[str, asyncio.Event] = {}

    def open(self, name: str | None = None) -> Output:
        """A new output under a new name."""
        output = Output(self, name or new_name())
        self._growing[output.name] = asyncio.Event()
        return output

    def wake(self, name: str) -> None:
        """There is more; each waiter holds the event it waits on."""
        event, self._growing[name] = self._growing[name], asyncio.Event()
        event.set()

    def end(self, name: str) -> None:
        """No more will come."""
        self._growing.pop(name).set()

    def exists(self, name: str) -> bool:
        """Whether there is such an output."""
        return NAME.fullmatch(name) is not None and os.path.isfile(self.layout.output(name))

    async def read(self, name: str) -> AsyncIterator[bytes]:
        """All of it, from the beginning to its end, as it comes. Raises FileNotFoundError."""
        with open(self.layout.output(name), "rb") as file:
            while True:
                event = self._growing.get(name)  # before the reading, so that nothing written meanwhile is missed
                while chunk := file.read(CHUNK):
                    yield chunk
                if event is None:
                    return
                await event.wait()


def new_name() -> str:
    """A name that cannot be guessed."""
    return secrets.token_urlsafe(24)
