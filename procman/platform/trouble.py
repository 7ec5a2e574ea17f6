"""What is said of work that ended by an exception: a sentence for whoever pushed, with numbers where they help."""

import errno
import sqlite3

from procman.errors import ProcmanError
from procman.platform.refusals import Refusal
from procman.platform.slug_collection import free_bytes

FULL = (errno.ENOSPC, errno.EDQUOT)
SCARCE = (*FULL, errno.EFBIG, errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ENOMEM, errno.EIO, errno.EROFS)


def is_known(error: Exception) -> bool:
    """Whether it is somebody's doing, or the disk's, and no mistake of ours."""
    return isinstance(error, ProcmanError | Refusal) or is_full(error)


def is_hosts(error: Exception) -> bool:
    """Whether the host could not do it, and may be able to later: no room, no descriptors, no processes, a bad disk."""
    if isinstance(error, sqlite3.OperationalError):
        return getattr(error, "sqlite_errorcode", None) != sqlite3.SQLITE_ERROR  # that would be a mistake of ours
    return isinstance(error, OSError) and error.errno in SCARCE


def is_full(error: Exception) -> bool:
    """Whether the disk had no room."""
    if isinstance(error, sqlite3.OperationalError):
        return getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL
    return isinstance(error, OSError) and error.errno in FULL


def words_of(error: Exception, folder: str) -> str:
    """``folder``: where the server keeps its data."""
    if isinstance(error, Refusal):
        return error.message
    if is_full(error):
        return f"the disk is full: {free_megabytes(folder)} are free where {folder} lies"
    if isinstance(error, sqlite3.OperationalError):
        return f"the database cannot be used: {error}"
    if isinstance(error, OSError):
        return f"{error.strerror}: {error.filename}" if error.strerror and error.filename else str(error)
    if isinstance(error, ProcmanError):
        return str(error)
    return f"internal error ({type(error).__name__})"


def free_megabytes(folder: str) -> str:
    """``12M``."""
    try:
        return f"{free_bytes(folder) >> 20}M"
    except OSError:
        return "0M"
