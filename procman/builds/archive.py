"""Unpacking what somebody else packed: nothing leaves the folder, and nothing is written that was not counted.

``tarfile``'s own filter cannot serve: it refuses the absolute links of every virtualenv, and resolves paths by name.
Here every path is walked by descriptors without following a link, and links are made when all files are there.
"""

import os
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from typing import IO, NamedTuple

from procman.builds.request import Limits
from procman.errors import ProcmanError

DEEPEST = 100
DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
FRESH = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class Member(NamedTuple):
    """One entry. ``kind``: ``file``, ``folder``, ``link`` (symbolic) or ``same`` (a hard link, copied)."""

    name: str
    kind: str
    size: int = 0
    executable: bool = False
    target: str = ""
    mtime: float = 0
    data: IO[bytes] | None = None


def refuse(what: str, why: str) -> ProcmanError:
    """The error of a bad archive."""
    return ProcmanError(f"cannot unpack the archive: {what!r} {why}")


def parts_of(name: str) -> list[str]:
    """A member's path, if it is one that stays inside. Raises ProcmanError."""
    if name.startswith("/") or "\0" in name:
        raise refuse(name, "is not a relative path")
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise refuse(name, "leads out of the folder")
    if len(parts) > DEEPEST or any(len(os.fsencode(part)) > 255 for part in parts):
        raise refuse(name[:80], "is too long or too deep")
    return parts


def unpack(members: Iterator[Member], folder: str, limits: Limits, below: str | None = None) -> None:
    """Write members into an existing, empty folder. ``below``: they must all lie in that one folder, which is dropped.

    Raises ProcmanError for what is refused; the folder is then half full and the caller's to remove.
    """
    root = os.open(folder, DIRECTORY)
    links: list[tuple[list[str], str]] = []
    entries = total = 0
    try:
        for member in members:
            entries += 1
            total += member.size
            if entries > limits.entries:
                raise ProcmanError(f"cannot unpack the archive: it has more than {limits.entries} entries")
            if total > limits.tree:
                raise ProcmanError(f"cannot unpack the archive: it holds more than {limits.tree >> 20} MB")
            parts = parts_of(member.name)
            if below is not None and parts[:1] not in ([], [below]):
                raise refuse(member.name, f"does not lie in {below}/")
            parts = parts[1:] if below is not None else parts
            if parts and member.kind == "link":
                links.append((parts, member.target))
            elif parts:
                _write(root, parts, member, below)
        for parts, target in links:
            _link(root, parts, target)
    except FileExistsError as error:
        raise refuse(str(error.filename), "is there twice") from None
    except NotADirectoryError as error:
        raise refuse(str(error.filename), "is a file and a folder") from None
    finally:
        os.close(root)


def _parent(root: int, parts: list[str]) -> int:
    """A descriptor of the folder a path lies in, made if missing; never through a link."""
    at = os.dup(root)
    for part in parts[:-1]:
        try:
            os.mkdir(part, 0o755, dir_fd=at)
        except FileExistsError:
            pass
        try:
            below = os.open(part, DIRECTORY, dir_fd=at)
        finally:
            os.close(at)
        at = below
    return at


def _write(root: int, parts: list[str], member: Member, below: str | None) -> None:
    at = _parent(root, parts)
    try:
        if member.kind == "folder":
            try:
                os.mkdir(parts[-1], 0o755, dir_fd=at)
            except FileExistsError:
                if not stat.S_ISDIR(os.stat(parts[-1], dir_fd=at, follow_symlinks=False).st_mode):
                    raise
            return
        with open(os.open(parts[-1], FRESH, 0o755 if member.executable else 0o644, dir_fd=at), "wb") as file:
            if member.kind == "same":
                _copy_same(root, member, below, file)
            elif member.data is not None:
                shutil.copyfileobj(member.data, file, 1 << 18)
            file.flush()
            os.utime(file.fileno(), (member.mtime, member.mtime))
    finally:
        os.close(at)


def _copy_same(root: int, member: Member, below: str | None, file: IO[bytes]) -> None:
    parts = parts_of(member.target)[below is not None :]
    try:
        at = _parent(root, parts)
        try:
            fd = os.open(parts[-1], os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=at)
        finally:
            os.close(at)
    except (OSError, IndexError):
        raise refuse(member.name, "is a hard link to what is not in the archive") from None
    with open(fd, "rb") as origin:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise refuse(member.name, "is a hard link to what is not a file")
        shutil.copyfileobj(origin, file, 1 << 18)
        os.fchmod(file.fileno(), os.fstat(fd).st_mode & 0o755)


def _link(root: int, parts: list[str], target: str) -> None:
    at = _parent(root, parts)
    try:
        os.symlink(target, parts[-1], dir_fd=at)
    finally:
        os.close(at)


def tar_members(path: str, limits: Limits) -> Iterator[Member]:
    """What a tar file holds, of any usual compression. Raises ProcmanError."""
    copied: dict[str, int] = {}
    try:
        with tarfile.open(path, "r|*") as archive:
            for info in archive:
                archive.members = []  # type: ignore[attr-defined]  # a stream keeps them all: millions fill the memory
                if info.size > limits.tree:
                    raise refuse(info.name, f"is larger than {limits.tree >> 20} MB")
                mode = bool(info.mode & 0o100)
                if info.isreg():
                    copied[info.name] = info.size
                    yield Member(info.name, "file", info.size, mode, mtime=info.mtime, data=archive.extractfile(info))
                elif info.isdir():
                    yield Member(info.name, "folder")
                elif info.issym():
                    yield Member(info.name, "link", target=info.linkname)
                elif info.islnk():
                    size = copied.get(info.linkname, 0)
                    yield Member(info.name, "same", size, mode, info.linkname, info.mtime)
                else:
                    raise refuse(info.name, "is a device or another thing that no source has")
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        if isinstance(error, OSError) and error.errno:
            raise
        raise ProcmanError(f"cannot unpack the archive: it is damaged, or not a tar file ({error})") from None


def zip_members(path: str, limits: Limits) -> Iterator[Member]:
    """What a zip file holds. Raises ProcmanError."""
    try:
        with zipfile.ZipFile(path) as archive:
            for info in archive.infolist():
                mode = info.external_attr >> 16
                if info.file_size > limits.tree:
                    raise refuse(info.filename, f"is larger than {limits.tree >> 20} MB")
                if info.is_dir():
                    yield Member(info.filename, "folder")
                elif stat.S_ISLNK(mode):
                    target = archive.read(info)[:4096].decode("utf-8", "surrogateescape")
                    yield Member(info.filename, "link", target=target)
                else:
                    with archive.open(info) as data:
                        yield Member(info.filename, "file", info.file_size, bool(mode & 0o100), data=data)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, zlib.error, EOFError) as error:
        raise ProcmanError(f"cannot unpack the archive: {error}") from None


def source_tarball(path: str, folder: str, limits: Limits | None = None) -> None:
    """A source somebody uploaded (tar of any compression, or zip) into an existing, empty folder.

    One folder that holds it all, as in GitHub's archives, is dropped. Raises ProcmanError.
    """
    limits = limits or Limits()
    members = zip_members if zipfile.is_zipfile(path) else tar_members
    unpack(members(path, limits), folder, limits)
    names = os.listdir(folder)
    if not names:
        raise ProcmanError("cannot build from the archive: it is empty")
    inner = os.path.join(folder, names[0])
    wrapper = names[0] not in ("bin", "public", ".git") and os.path.isdir(inner) and not os.path.islink(inner)
    if len(names) == 1 and wrapper:
        aside = os.path.join(folder, ".procman-inner")
        os.rename(inner, aside)
        for name in os.listdir(aside):
            os.rename(os.path.join(aside, name), os.path.join(folder, name))
        os.rmdir(aside)
