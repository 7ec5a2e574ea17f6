"""Puts an export's files in a folder: each whole or not at all, and none in the place of somebody else's.

A record beside them, ``.APP.FORMAT.procman-export``, says what was written. By it the next export may replace its own
files, and takes away those that the formation no longer has. What was changed since, or was there before, stays.
"""

import contextlib
import hashlib
import json
import os
import secrets
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from procman.errors import ProcmanError
from procman.export.rendering import Rendered


class Delivery(NamedTuple):
    """What happened, as paths within the folder."""

    written: list[str]
    removed: list[str]
    kept: list[str]  # an earlier export's, no longer part of this one, but changed by somebody since


def deliver(folder: str, name: str, files: Sequence[Rendered]) -> Delivery:
    """Write them for their owner alone: they hold values of variables. ``name`` tells this export from others there.

    Raises ProcmanError; before the first file is in place, nothing has changed.
    """
    record = os.path.join(folder, f".{name}.procman-export")
    try:
        before = read_record(record)
        refuse_foreign(folder, files, before)
        place(folder, [*files, Rendered(os.path.basename(record), written_record(files, before), False)])
        if stale := before.keys() - {file.path for file in files}:
            removed, kept = take_away(folder, stale, before)
            left = {path: before[path] for path in kept}
            place(folder, [Rendered(os.path.basename(record), written_record(files, left), False)])
        else:
            removed, kept = [], []
    except OSError as error:
        path = error.filename or folder
        raise ProcmanError(f"cannot write {os.fsdecode(path)}: {(error.strerror or 'failed').lower()}") from error
    return Delivery([file.path for file in files], removed, kept)


def digest(content: bytes) -> str:
    """A file as its record has it: no content can be read out of it, as secrets are mixed with much else."""
    return hashlib.sha256(content).hexdigest()


def written_record(files: Sequence[Rendered], before: Mapping[str, str]) -> str:
    """The record for files, and for what is still to be taken away."""
    return json.dumps({**before, **{file.path: digest(file.content.encode()) for file in files}}, indent=1) + "\n"


def read_record(path: str) -> dict[str, str]:
    """What an earlier export wrote: digests by path. Nothing, if the record is missing or no record."""
    try:
        with open(path, "rb") as file:
            found = json.loads(file.read())
    except (FileNotFoundError, ValueError):
        return {}
    return {str(key): str(value) for key, value in found.items()} if isinstance(found, dict) else {}


def is_ours(path: str, recorded: str | None, also: str | None = None) -> bool:
    """Whether a file is as an earlier export left it, or as this one would leave it."""
    if os.path.islink(path) or not os.path.isfile(path):
        return False
    with open(path, "rb") as file:
        return digest(file.read()) in {recorded, also}


def refuse_foreign(folder: str, files: Sequence[Rendered], before: Mapping[str, str]) -> None:
    """ProcmanError when a place is taken by a file that is not ours, or no longer as we wrote it."""
    for file in files:
        path = os.path.join(folder, file.path)
        if os.path.lexists(path) and not is_ours(path, before.get(file.path), digest(file.content.encode())):
            changed = file.path in before
            reason = "it was changed since procman wrote it" if changed else "it is there already, and not procman's"
            raise ProcmanError(f"cannot write {path}: {reason}", f"mv {path} {path}.old, or another LOCATION")


def place(folder: str, files: Sequence[Rendered]) -> None:
    """All of them, beside their places first; when all are on the disk, one after the other in their places."""
    aside: list[tuple[str, str]] = []
    made: list[str] = []
    try:
        for file in files:
            path = os.path.join(folder, file.path)
            make_folders(os.path.dirname(path), made)
            temporary = os.path.join(os.path.dirname(path), f".procman-{secrets.token_hex(4)}")
            aside.append((temporary, path))  # before it is there: we may be interrupted at any moment
            with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as new:
                os.fchmod(new.fileno(), 0o700 if file.executable else 0o600)
                new.write(file.content.encode())
                new.flush()
                os.fsync(new.fileno())
        while aside:
            os.replace(*aside[0])
            del aside[0]
    except BaseException:
        for temporary, _ in aside:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)
        for path in reversed(made):
            if not os.listdir(path):
                os.rmdir(path)
        raise


def make_folders(path: str, made: list[str]) -> None:
    """A folder and those above it; ``made`` gets the ones that were not there."""
    missing = []
    while path and not os.path.isdir(path):
        missing.append(path)
        path = os.path.dirname(path)
    for folder in reversed(missing):
        os.mkdir(folder)
        made.append(folder)


def take_away(folder: str, paths: set[str], before: Mapping[str, str]) -> tuple[list[str], list[str]]:
    """Remove an earlier export's files that are still as it left them; those removed, and those kept."""
    removed, kept = [], []
    for relative in sorted(paths):
        path = os.path.join(folder, relative)
        if not os.path.lexists(path):
            continue
        if not is_ours(path, before[relative]):
            kept.append(relative)
            continue
        os.unlink(path)
        removed.append(relative)
        above = os.path.dirname(relative)
        while above and not os.listdir(os.path.join(folder, above)):
            os.rmdir(os.path.join(folder, above))
            above = os.path.dirname(above)
    return removed, kept
