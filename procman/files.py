"""Small files that are replaced whole or not at all, for their owner alone."""

import os
from collections.abc import Iterator


def write_private(
    path: str, data: bytes | Iterator[bytes], mode: int = 0o600, lasting: bool = True, dir_fd: int | None = None
) -> None:
    """Put data there in one stroke, over whatever stood there. Raises OSError; what stood there is whole then.

    It is written to ``PATH.new`` first, so a path has one writer at a time. ``lasting``: also over a power cut (fsync,
    of the folder too: or else the old file may be back). ``dir_fd``: as in ``os.open``.
    """
    new = f"{path}.new"
    fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, mode, dir_fd=dir_fd)
    try:
        with open(fd, "wb") as file:
            os.fchmod(fd, mode)  # whatever the umask says, and whoever left a file of that name
            file.writelines([data] if isinstance(data, bytes) else data)
            file.flush()
            if lasting:
                os.fsync(fd)
        os.replace(new, path, src_dir_fd=dir_fd, dst_dir_fd=dir_fd)
    except BaseException:
        os.unlink(new, dir_fd=dir_fd)
        raise
    if lasting:
        folder = os.open(os.path.dirname(path) or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=dir_fd)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def read_secret(path: str) -> str | None:
    """What it says, without blanks around it; None when there is none."""
    try:
        with open(path, encoding="ascii") as file:
            return file.read().strip() or None
    except (OSError, UnicodeDecodeError):
        return None
