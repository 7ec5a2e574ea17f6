"""The lives that ended, one line of JSON each, kept across restarts of procman itself."""

import json
import os

from procman.typed import Any, Iterator

LIMIT = 512 << 10  # bytes; at that size the older half goes
CHUNK = 16 << 10  # bytes: the whole at once would leave our heap 0.8 MiB larger


class History:
    """Appends lives to a file, 0600. Trouble with the disk costs entries, never dynos."""

    def __init__(self, path: str) -> None:
        self._path = path

    def add(self, life: dict[str, Any]) -> None:
        """Remember one life: dyno, run, started, ended (epoch seconds), status, words, asked."""
        try:
            fd = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError:
            return
        try:
            os.write(fd, json.dumps(life).encode() + b"\n")
            if os.fstat(fd).st_size > LIMIT:
                self._halve()
        except OSError:
            return
        finally:
            os.close(fd)

    def lives(self, dyno: str | None = None) -> Iterator[dict[str, Any]]:
        """Oldest first; of one dyno, or of all. A torn line, as after a power cut, is passed over."""
        try:
            with open(self._path, "rb") as file:
                lines = file.read().split(b"\n")
        except OSError:
            return
        for line in lines:
            try:
                life = json.loads(line)
            except ValueError:
                continue
            if isinstance(life, dict) and dyno in (None, life.get("dyno")):
                yield life

    def _halve(self) -> None:
        from procman.files import write_private  # noqa: PLC0415 - once in a long life

        with open(self._path, "rb") as file:
            file.seek(LIMIT // 2)
            file.readline()  # the rest of a line
            write_private(self._path, iter(lambda: file.read(CHUNK), b""))
