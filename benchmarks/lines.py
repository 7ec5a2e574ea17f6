"""The lines that dynos write in the log measures, and readers of what a manager makes of them."""

import mmap
import os
import re
import select
import threading
from pathlib import Path

LINE_BYTES = 100
END = b"~"  # in a dyno's last line and nowhere else
CLOCK = rb"(?:\d?\d:\d\d:\d\d (?:[AP]M )?)?"
NAME = re.compile(CLOCK + rb"\[?worker\.?(\d+)\]? *([|*]?) *")  # and blanks: no dyno's line begins with one
NEWS = re.compile(CLOCK + rb"(?:(?:system|procman|forego) *[|*]|\[(?:OKAY|WARN|DONE)\])")  # what a manager says itself
TAKE = 1 << 20  # bytes of one read


def make(path: Path, count: int) -> bytes:
    """``count`` lines of 100 bytes, every one different: its number eleven times over."""
    data = b"".join(f"{(f'{number:08d} ' * 11):<{LINE_BYTES - 1}}\n".encode() for number in range(count))
    path.write_bytes(data)
    return data


def read_to_the_end(reader: int, dynos: int, limit_s: float) -> int:
    """Read until every dyno's last line was seen, looking at nothing else; bytes read."""
    taken = ended = 0
    buffer = bytearray(TAKE)
    while ended < dynos:
        if not select.select([reader], [], [], limit_s)[0]:
            raise TimeoutError(f"the lines of {dynos - ended} dynos stopped coming")
        count = os.readv(reader, [buffer])
        if not count:
            raise EOFError(f"the manager ended after {ended} of {dynos} dynos")
        taken += count
        ended += buffer.count(END, 0, count)
    return taken


def drain(reader: int) -> threading.Thread:
    """Go on reading, and close the descriptor at its end: a manager that stops must not lose its reader."""

    def read() -> None:
        while os.read(reader, TAKE):
            pass
        os.close(reader)

    thread = threading.Thread(target=read)
    thread.start()
    return thread


def ended_in_file(path: Path) -> int:
    """How many last lines a file holds."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as view:
        return view[:].count(END)


class Verdict:
    """Judges a manager's output line by line: every dyno's lines whole, in order, all there."""

    def __init__(self, expected: bytes, dynos: int) -> None:
        self._expected = expected
        self._at = {str(number).encode(): 0 for number in range(1, dynos + 1)}
        self._rest = b""
        self.ended = 0
        self.torn = 0  # lines that are not what their dyno wrote next
        self.first_torn = b""

    def read(self, chunk: bytes) -> None:
        """Judge the next bytes."""
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        expected, at = self._expected, self._at
        for line in lines:
            found = NAME.match(line)
            name = found[1] if found else b""
            position = at.get(name)
            if NEWS.match(line) or (found and found[2] == b"*"):
                continue
            if position is None or found is None:
                self._tear(line)
            elif line[found.end() :] == expected[position : position + LINE_BYTES - 1]:
                at[name] = position + LINE_BYTES
            else:
                self._unexpected(line, line[found.end() :], name)

    def missing(self) -> int:
        """Lines that never came."""
        return sum(len(self._expected) - position for position in self._at.values()) // LINE_BYTES

    def _unexpected(self, line: bytes, text: bytes, name: bytes) -> None:
        if text == END:
            self.ended += 1
        elif not text.startswith(b"started with pid"):  # foreman's word about a dyno
            self._tear(line)
            if text[:8].isdigit() and len(text) == LINE_BYTES - 1:
                self._at[name] = (int(text[:8]) + 1) * LINE_BYTES  # go on behind what is lost

    def _tear(self, line: bytes) -> None:
        self.torn += 1
        self.first_torn = self.first_torn or line[:300]
