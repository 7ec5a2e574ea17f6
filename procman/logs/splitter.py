"""Chunks in, whole lines out."""

LINE_LIMIT = 4 << 20  # bytes; a longer line is passed on in pieces, so that memory stays bounded


class LineSplitter:
    """Holds back the unfinished line at the end of a stream of chunks."""

    __slots__ = ("_rest", "size")

    def __init__(self) -> None:
        self._rest: list[bytes] = []
        self.size = 0  # bytes held back

    def feed(self, chunk: bytes) -> bytes:
        """All lines that are now whole, each with its newline; b"" if there is none."""
        cut = chunk.rfind(b"\n") + 1
        if not cut:
            self._rest.append(chunk)
            self.size += len(chunk)
            return b""
        whole = b"".join((*self._rest, memoryview(chunk)[:cut])) if self._rest else chunk[:cut]
        rest = chunk[cut:]
        self._rest = [rest] if rest else []
        self.size = len(rest)
        return whole

    def take(self) -> bytes:
        """The unfinished line; it is no longer held back."""
        rest = b"".join(self._rest)
        self._rest.clear()
        self.size = 0
        return rest
