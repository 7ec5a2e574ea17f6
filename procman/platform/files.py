"""Small files that hold secrets: written whole or not at all, for their owner alone."""

import os
import tempfile


def write_secret(path: str, data: bytes) -> None:
    """Put it there, 0600. Raises OSError; what stood there before is whole then."""
    fd, new = tempfile.mkstemp(dir=os.path.dirname(path), prefix=".new-")
    try:
        with open(fd, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(fd)
        os.replace(new, path)
    except BaseException:
        os.unlink(new)
        raise


def read_secret(path: str) -> str | None:
    """What it says, without blanks around it; None when there is none."""
    try:
        with open(path, encoding="ascii") as file:
            return file.read().strip() or None
    except (OSError, UnicodeDecodeError):
        return None
