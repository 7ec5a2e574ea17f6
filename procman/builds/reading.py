"""Reading a file that somebody else wrote: no symlink is followed, nothing blocks, and there is a cap."""

import os
import stat

CAP = 1 << 20


class Unreadable(Exception):
    """The file is there and may not be read; the sentence says why."""


def read_capped(folder: str, name: str, cap: int = CAP) -> bytes | None:
    """A regular file's bytes; None if there is none. Raises Unreadable for links, devices and what is too large."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        fd = os.open(os.path.join(folder, name), flags)
    except FileNotFoundError:
        return None
    except OSError as error:
        if os.path.islink(os.path.join(folder, name)):
            raise Unreadable(f"{name} is a symbolic link, which is not followed: commit the file itself") from None
        raise Unreadable(f"{name} cannot be read: {error.strerror}") from None
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise Unreadable(f"{name} is not a regular file")
    with open(fd, "rb") as file:
        data = file.read(cap + 1)
    if len(data) > cap:
        raise Unreadable(f"{name} is larger than {cap >> 10} KB")
    return data
