"""The slug: what .slugignore takes out before the build, and the packed form after it (``./app/…`` in a gzip'd tar)."""

import gzip
import hashlib
import os
import stat
import tarfile
from typing import IO, NamedTuple

from procman.builds.archive import tar_members, unpack
from procman.builds.request import Limits
from procman.errors import ProcmanError
from procman.formats.slugignore import SlugIgnore

LEVEL = 1  # of gzip: the others take three times as long for a tenth of the size


COUNTED = 3  # times the limit; how large a slug would be is told up to that


class TooLarge(Exception):
    """The packed slug goes over the limit. ``size``: its bytes; ``whole``: whether that is all of it."""

    def __init__(self, size: int, whole: bool) -> None:
        super().__init__(size)
        self.size = size
        self.whole = whole


class Packed(NamedTuple):
    """A packed slug. ``unpacked``: bytes of the files in it."""

    size: int
    unpacked: int
    checksum: str


class _Counted:
    """A file that hashes and counts what is written to it; over the limit it counts only."""

    def __init__(self, file: IO[bytes], limit: int) -> None:
        self.file, self.limit, self.size, self.hash = file, limit, 0, hashlib.sha256()

    def write(self, data: bytes) -> int:
        self.size += len(data)
        if self.size > self.limit:
            if self.size > COUNTED * self.limit:
                raise TooLarge(self.size, whole=False)
            return len(data)
        self.hash.update(data)
        return self.file.write(data)

    def flush(self) -> None:
        self.file.flush()


def leave_out(folder: str, ignore: SlugIgnore) -> int:
    """Remove what the patterns match; how many files that were. Nothing outside is touched: links are not followed."""
    gone = 0
    for path, folders, files in os.walk(folder):
        base = os.path.relpath(path, folder)
        for name in list(folders):
            relative = name if base == "." else f"{base}/{name}"
            link = os.path.islink(f"{path}/{name}")
            if ignore.matches(relative, not link):
                gone += _remove(f"{path}/{name}", link)
                folders.remove(name)
        for name in files:
            if ignore.matches(name if base == "." else f"{base}/{name}", False):
                os.unlink(f"{path}/{name}")
                gone += 1
    return gone


def _remove(path: str, link: bool) -> int:
    if link:
        os.unlink(path)
        return 1
    count = 0
    for below, folders, files in os.walk(path, topdown=False):
        for name in files:
            os.unlink(f"{below}/{name}")
        for name in folders:
            inner = f"{below}/{name}"
            (os.unlink if os.path.islink(inner) else os.rmdir)(inner)
        count += len(files)
    os.rmdir(path)
    return count


def pack(folder: str, file: IO[bytes], limit: int) -> Packed:
    """Pack a folder, in the order of names. Sockets, devices, owners and setuid bits are left out. Raises TooLarge."""
    counted = _Counted(file, limit)
    unpacked = 0
    with (
        gzip.GzipFile(filename="", mode="wb", compresslevel=LEVEL, fileobj=counted, mtime=0) as zipped,
        tarfile.open(fileobj=zipped, mode="w|", format=tarfile.PAX_FORMAT, bufsize=1 << 18) as archive,
    ):
        for path, arc in _entries(folder):
            info = archive.gettarinfo(path, arc)
            if info is None or not (info.isreg() or info.isdir() or info.issym() or info.islnk()):
                continue
            info.uid = info.gid = 0
            info.uname = info.gname = ""
            info.mode &= 0o777
            info.mtime = int(info.mtime)
            if info.isreg():
                unpacked += info.size
                with open(path, "rb", opener=_no_follow) as data:
                    archive.addfile(info, data)
            else:
                archive.addfile(info)
            archive.members = []  # type: ignore[attr-defined]
    counted.flush()
    if counted.size > limit:
        raise TooLarge(counted.size, whole=True)
    return Packed(counted.size, unpacked, f"SHA256:{counted.hash.hexdigest()}")


def _entries(folder: str) -> "list[tuple[str, str]]":
    found = [(folder, "./app")]
    for path, folders, files in os.walk(folder):
        folders.sort()
        arc = "./app" + path[len(folder) :]
        found += [(f"{path}/{name}", f"{arc}/{name}") for name in (*folders, *files)]
    return sorted(found, key=lambda entry: entry[1])


def _no_follow(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)


def drop_setuid(folder: str) -> None:
    """Take away what would give a file's user or group to whoever runs it; done by the owner of the files."""
    for path, _, files in os.walk(folder):
        for name in files:
            found = os.lstat(f"{path}/{name}")
            if stat.S_ISREG(found.st_mode) and found.st_mode & (stat.S_ISUID | stat.S_ISGID):
                os.chmod(f"{path}/{name}", stat.S_IMODE(found.st_mode) & 0o777)


def unpack_slug(path: str, folder: str, limits: Limits | None = None) -> None:
    """A packed slug, ours or uploaded, into an existing, empty folder; every member must lie in ``app/``.

    Raises ProcmanError for what is refused; the folder is then half full and the caller's to remove.
    """
    limits = limits or Limits(tree=4 << 30)
    if os.path.getsize(path) > limits.slug:
        raise ProcmanError(f"cannot unpack the slug: it is larger than {limits.slug >> 20} MB")
    unpack(tar_members(path, limits), folder, limits, below="app")
