"""What a build prints: Heroku's prefixes, whole lines, masked, and the last ones remembered."""

import os
import re
from collections import deque
from collections.abc import Sequence

from procman.builds.masker import Masker

LAST_LINES = 50
LONGEST = 64 << 10  # a line that does not end is printed in pieces of so many bytes
MEMORY = 2_000  # bytes of a line that are remembered
STEP, DETAIL, WARNING, NOTE = "-----> ", "       ", " !     ", " ~     "
USERINFO = re.compile(r"(?<=://)[^/@\s]+@")


class Report:
    """The stdout of a build. Trouble with it is nobody's reason to stop: a client that is gone does not end a build."""

    def __init__(self, fd: int, masker: Masker) -> None:
        self._fd = fd
        self._masker = masker
        self._part = b""
        self._lines: deque[bytes] = deque(maxlen=LAST_LINES)

    def step(self, text: str) -> None:
        """``-----> Compressing...``."""
        self.line(STEP + text)

    def detail(self, text: str) -> None:
        """A line below a step."""
        self.line(DETAIL + text)

    def warn(self, *texts: str) -> None:
        """Errors and warnings."""
        for text in texts:
            self.line((WARNING + text).rstrip() if text else WARNING.rstrip())

    def note(self, *texts: str) -> None:
        """Something to know."""
        for text in texts:
            self.line(NOTE + text)

    def line(self, text: str = "") -> None:
        """One line as it is."""
        self._put(self._masker.whole(text.encode("utf-8", "surrogateescape")) + b"\n")

    def feed(self, data: bytes) -> None:
        """What a buildpack printed."""
        data = self._part + self._masker.feed(data)
        cut = data.rfind(b"\n") + 1
        if len(data) - cut > LONGEST:
            cut = len(data)
        self._part = data[cut:]
        if cut:
            self._put(data[:cut])

    def finish(self) -> None:
        """A buildpack has ended: its last line, too."""
        rest, self._part = self._part + self._masker.end(), b""
        if rest:
            self._put(rest if rest.endswith(b"\n") else rest + b"\n")

    def last(self) -> tuple[str, ...]:
        """The last lines, as text."""
        return tuple(line.decode("utf-8", "replace") for line in self._lines)

    def forget(self) -> None:
        """Another buildpack begins."""
        self._lines.clear()

    def _put(self, data: bytes) -> None:
        self._lines.extend(line[:MEMORY] for line in data[:-1].split(b"\n")[-LAST_LINES:])
        view = memoryview(data)
        while view and self._fd >= 0:
            try:
                view = view[os.write(self._fd, view) :]
            except OSError:
                self._fd = -1


def size(count: float) -> str:
    """``24.5M``, ``4K``: as the slug compiler writes sizes."""
    for unit in ("K", "M", "G"):
        count /= 1024
        if count < 999.95 or unit == "G":
            break
    text = f"{count:.1f}"
    return f"{max(1, round(count))}K" if unit == "K" else f"{text}{unit}"


def without_password(url: str) -> str:
    """An address fit to be shown."""
    return USERINFO.sub("", url)


def listed(words: Sequence[str]) -> str:
    """``a, b and c``."""
    return " and ".join(filter(None, (", ".join(words[:-1]), words[-1]))) if words else ""
