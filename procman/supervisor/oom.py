"""Whether the kernel killed something for want of memory."""


class OomCounter:
    """Compares the kernel's own count of such kills with the last look at it."""

    def __init__(self, path: str = "/proc/vmstat") -> None:
        self._path = path
        self._seen = self._read()

    def has_killed(self) -> bool:
        """True when the kernel has killed for memory since the last look."""
        before, self._seen = self._seen, self._read()
        return self._seen > before

    def _read(self) -> int:
        try:
            with open(self._path, "rb") as file:
                data = file.read()
        except OSError:
            return 0
        start = data.find(b"oom_kill ")
        return int(data[start + 9 :].split(None, 1)[0]) if start >= 0 else 0
