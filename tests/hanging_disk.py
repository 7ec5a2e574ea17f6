"""A disk that hangs in the middle of a write: a full pipe in place of the next segment of a log."""

import os
from pathlib import Path


class HangingDisk:
    """The log directory of an app, whose next segment takes nothing until it is let go."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        segment = directory / f"log.{len(list(directory.iterdir())) + 1:06d}"
        os.mkfifo(segment, 0o600)
        self.directory = directory
        self.fd = os.open(segment, os.O_RDWR | os.O_NONBLOCK)
        while True:
            try:
                os.write(self.fd, b"x" * 4096)
            except BlockingIOError:
                return

    def let_go(self) -> None:
        """The write that hangs gets through; what follows is written to regular segments."""
        while True:
            try:
                os.read(self.fd, 1 << 20)
            except BlockingIOError:
                return

    def log(self) -> str:
        """What the regular segments hold."""
        return "".join(path.read_text() for path in sorted(self.directory.iterdir()) if path.is_file())
