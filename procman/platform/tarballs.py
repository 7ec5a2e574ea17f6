"""Tarballs that somebody uploaded: unpacked whole or not at all, and never outside of where they belong."""

import os
import shutil
import tarfile
from collections.abc import Callable

from procman.platform.refusals import invalid

MOST_BYTES = 2 << 30
MOST_ENTRIES = 200_000


def unpack(packed: str, tree: str, place: Callable[[str], str | None]) -> None:
    """Make the folder ``tree``. ``place``: a member's path in it, None for what is left out. Raises Refusal."""
    part = f"{tree}.{os.urandom(6).hex()}.part"
    try:
        os.mkdir(part, 0o700)
        size = entries = 0
        with tarfile.open(packed) as archive:
            for member in archive:
                size, entries = size + member.size, entries + 1
                if size > MOST_BYTES or entries > MOST_ENTRIES:
                    raise invalid(f"The tarball is too big: {MOST_BYTES >> 20} MB, {MOST_ENTRIES} files at most.")
                extract(archive, member, part, place)
        os.rename(part, tree)
    except (tarfile.TarError, EOFError, ValueError) as error:
        raise invalid(f"The tarball cannot be unpacked: {type(error).__name__}.") from None
    except OSError as error:
        raise invalid(f"The tarball cannot be unpacked: {error.strerror or type(error).__name__}.") from None
    finally:
        shutil.rmtree(part, ignore_errors=True)


def extract(archive: tarfile.TarFile, member: tarfile.TarInfo, part: str, place: Callable[[str], str | None]) -> None:
    """One member, at its place. Links and names that lead out of the folder are refused (tarfile's filter "data")."""
    inside = place(member.name)
    if inside is None:
        return
    moved = member.replace(name=inside, deep=False)
    if member.islnk():
        target = place(member.linkname)
        if target is None:
            raise ValueError("a link leads outside")
        moved = moved.replace(linkname=target, deep=False)
    archive.extract(moved, part, filter="data")


def below_app(name: str) -> str | None:
    """``bin/run`` for ``./app/bin/run`` (Heroku: slugs)."""
    words = plain(name)
    return "/".join(words[1:]) or None if words and words[0] == "app" else None


def as_it_is(name: str) -> str | None:
    """``bin/run`` for ``./bin/run``."""
    return "/".join(plain(name)) or None


def plain(name: str) -> list[str]:
    """A path's words. Upward ones stay, for tarfile to refuse."""
    return [word for word in name.split("/") if word not in ("", ".")]


def lift(tree: str) -> None:
    """Of a tarball with one folder at its top, as GitHub makes them, that folder's content is the tree."""
    names = os.listdir(tree)
    inner = os.path.join(tree, names[0]) if len(names) == 1 else ""
    if inner and os.path.isdir(inner) and not os.path.islink(inner):
        aside = f"{tree}.{os.urandom(6).hex()}.part"
        os.rename(inner, aside)
        os.rmdir(tree)
        os.rename(aside, tree)


def hand_over(tree: str, uid: int | None) -> None:
    """To the user that the app's dynos run as; nobody else may look."""
    if uid is not None:
        for folder, _, files in os.walk(tree):
            for name in (folder, *(os.path.join(folder, file) for file in files)):
                os.chown(name, uid, uid, follow_symlinks=False)
    os.chmod(tree, 0o700)
