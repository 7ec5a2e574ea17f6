"""What stands in the segments of a log store, and disks to write them to."""

import ctypes
import os
import re
import subprocess
import traceback
from collections.abc import Callable

import pytest
from hypothesis import strategies as st

from procman.core.model import DynoName
from procman.logs.formats import Source
from procman.logs.line import parse_line
from procman.logs.store import segment_path, segments

WEB = Source(DynoName("web", 1), "app")
WORKER = Source(DynoName("worker", 2), "app", "stderr")
KEEPER = Source(DynoName("web", 1), "heroku", "system")
WALL = 1714557600.5
PREFIX = b"2024-05-01T10:00:00.500000+00:00 app[web.1]: "
ALL = 1 << 30  # more lines than any test writes
LOST = re.compile(rb"(\d+) lines? \((\d+) bytes\) of log were lost: (.+)")

lines_of_bytes = st.binary(max_size=12).map(lambda text: text.replace(b"\n", b"\r"))
batches = st.lists(st.lists(lines_of_bytes, min_size=1, max_size=6))


def read_segments(directory) -> list[bytes]:
    """The bytes of each segment, oldest first."""
    contents = []
    for number in segments(str(directory)):
        with open(segment_path(str(directory), number), "rb") as file:
            contents.append(file.read())
    return contents


def read_all(follower) -> bytes:
    """All there is for now."""
    return b"".join(iter(follower.read, b""))


def read_once(follower) -> bytes:
    """The same, from one that is not needed any more."""
    try:
        return read_all(follower)
    finally:
        follower.close()


def messages(text: bytes) -> list[bytes]:
    """What web.1 said, of whole stored lines."""
    parsed = [parse_line(line) for line in text.split(b"\n")[:-1]]
    return [line.message for line in parsed if (line.source, line.ps) == ("app", "web.1")]


def losses(text: bytes) -> list[tuple[int, int, bytes]]:
    """Lines, bytes and reason of each gap that the log tells of."""
    parsed = [parse_line(line) for line in text.split(b"\n")[:-1]]
    said = [LOST.fullmatch(line.message) for line in parsed if (line.source, line.ps) == ("heroku", "procman")]
    return [(int(found[1]), int(found[2]), found[3]) for found in said if found]


def in_a_child(body: Callable[[], None]) -> None:
    """Run what changes limits or mounts of its process in a fork, and pass on how it failed."""
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            body()
        except BaseException:  # noqa: BLE001, RUF100 - all of it belongs to the parent
            os.write(writing, traceback.format_exc().encode()[-4000:])
        finally:
            os._exit(0)
    os.close(writing)
    with open(reading, "rb") as pipe:
        failure = pipe.read().decode()
    os.waitpid(pid, 0)
    if failure.rstrip().endswith("_NoMountError"):
        pytest.skip("may not mount a file system")
    assert not failure, failure


class _NoMountError(Exception):
    pass


def mount_small_disk(path: str, size: str) -> None:
    """A tmpfs that only this process and its children see."""
    new_mounts, new_user = 0x00020000, 0x10000000
    libc = ctypes.CDLL(None)
    if libc.unshare(new_mounts) and libc.unshare(new_mounts | new_user):
        raise _NoMountError
    # What is mounted here shall not spread to where it came from.
    for command in (["mount", "--make-rprivate", "/"], ["mount", "-t", "tmpfs", "-o", f"size={size}", "none", path]):
        if subprocess.run(command, capture_output=True, check=False).returncode:
            raise _NoMountError
