"""`procman backup` and `procman restore`: a server's data directory as one file, and back."""

import os
import shlex
from collections.abc import Mapping

from procman.cli.listing import emit
from procman.cli.options import Given
from procman.cli.server import directory
from procman.errors import UsageError


def backup(told: Given, _own: Mapping[str, bool]) -> int:
    """Write the file; a server may run."""
    from procman.server.backup import back_up

    data, path = directory(told), file_of(told, "backup")
    os.umask(0o077)
    size = back_up(data, path)
    emit(f"Wrote {path}: {size} bytes, of {data}. It holds keys and config vars: keep it as you keep those.")
    return 0


def restore(told: Given, _own: Mapping[str, bool]) -> int:
    """Make the data directory, and say what is left to type."""
    from procman.server.backup import restore as put_back

    data, path = directory(told), file_of(told, "restore")
    os.umask(0o077)
    about = put_back(path, data)
    emit(f"Restored {data} from {path}, of procman {about['procman']}")
    emit(f"Now type:\n  procman server --data {shlex.quote(data)}")
    return 0


def file_of(told: Given, verb: str) -> str:
    """The one file that was named. Raises UsageError."""
    if len(told.arguments) != 1:
        raise UsageError(f"cannot use '{' '.join(told.arguments)}': one file is wanted", f"procman {verb} FILE")
    return told.arguments[0]
