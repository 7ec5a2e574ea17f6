"""Archives that somebody uploaded, the packed slug, and what .slugignore takes out."""

import io
import os
import tarfile
import zipfile
from pathlib import Path

import pytest

from procman.builds import slug
from procman.builds.archive import source_tarball
from procman.builds.request import Limits
from procman.errors import ProcmanError
from procman.formats import slugignore
from tests.builds_harness import write_tree

FEW = Limits(entries=100, tree=1 << 20)


def member(name: str, data: bytes = b"x", **facts) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(data) if facts.get("type", tarfile.REGTYPE) == tarfile.REGTYPE else 0
    for key, value in facts.items():
        setattr(info, key, value)
    return info, data


def symlink(name: str, target: str) -> tuple[tarfile.TarInfo, bytes]:
    return member(name, type=tarfile.SYMTYPE, linkname=target)


def tarball(path: Path, *members: tuple[tarfile.TarInfo, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for info, data in members:
            archive.addfile(info, io.BytesIO(data) if info.isreg() else None)
    return path


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "inside"
    path.mkdir()
    return path


HOSTILE = {
    "an absolute name": ([member("/etc/x")], "is not a relative path"),
    "a name with ..": ([member("a/../../x")], "leads out of the folder"),
    "a name that is ..": ([member("..", type=tarfile.DIRTYPE)], "leads out of the folder"),
    "a file twice": ([member("a"), member("a")], "is there twice"),
    "a file and a folder": ([member("a"), member("a/b")], "is a file and a folder"),
    "a device": ([member("a", type=tarfile.CHRTYPE)], "is a device"),
    "a pipe": ([member("a", type=tarfile.FIFOTYPE)], "is a device"),
    "a hard link outside": ([member("a", type=tarfile.LNKTYPE, linkname="../../etc/passwd")], "leads out"),
    "a hard link to nothing": ([member("a", type=tarfile.LNKTYPE, linkname="b")], "to what is not in the archive"),
    "101 files": ([member(f"f{number}") for number in range(101)], "more than 100 entries"),
    "too many bytes": ([member(f"f{number}", bytes(600 << 10)) for number in range(2)], "more than 1 MB"),
    "one huge file": ([member("zeroes", bytes(2 << 20))], "is larger than 1 MB"),
    "a long name": ([member("x" * 300)], "too long or too deep"),
    "a deep name": ([member("a/" * 150 + "b")], "too long or too deep"),
    "a link and a file below it": ([symlink("a", "/tmp"), member("a/b")], "is there twice"),
    "nothing": ([], "it is empty"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_archive_is_refused_with_a_sentence(name, folder, tmp_path):
    members, said = HOSTILE[name]
    with pytest.raises(ProcmanError) as refused:
        source_tarball(str(tarball(tmp_path / "x.tgz", *members)), str(folder), FEW)
    assert said in refused.value.what
    assert {path.name for path in tmp_path.iterdir()} == {"inside", "x.tgz"}


def test_a_file_never_goes_through_a_link(folder, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    hostile = [symlink("a", str(outside)), member("a/b/c"), symlink("d", "a"), member("e")]
    with pytest.raises(ProcmanError):
        source_tarball(str(tarball(tmp_path / "x.tgz", *hostile)), str(folder), FEW)
    assert list(outside.iterdir()) == []


@pytest.mark.parametrize("data", [b"", b"hello", b"PK\3\4 no zip", b"\x1f\x8b\x08\0\0", bytes(2048)])
def test_what_is_no_archive_is_refused(data, folder, tmp_path):
    path = tmp_path / "x"
    path.write_bytes(data)
    with pytest.raises(ProcmanError):
        source_tarball(str(path), str(folder), FEW)


def test_the_one_folder_that_holds_it_all_is_dropped(folder, tmp_path):
    path = tarball(tmp_path / "x.tgz", member("app-1.0/Procfile"), member("app-1.0/bin/run", mode=0o755))
    source_tarball(str(path), str(folder), FEW)
    assert (folder / "Procfile").exists()
    assert os.access(folder / "bin" / "run", os.X_OK)


def test_a_zip_is_taken_too(folder, tmp_path):
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("Procfile", "web: x")
        archive.writestr("a/b.txt", "b")
    source_tarball(str(tmp_path / "x.zip"), str(folder), FEW)
    assert (folder / "a" / "b.txt").read_text() == "b"


@pytest.mark.parametrize("name", ["../x", "/x"])
def test_a_hostile_zip_is_refused(name, folder, tmp_path):
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr(name, "x")
    with pytest.raises(ProcmanError):
        source_tarball(str(tmp_path / "x.zip"), str(folder), FEW)
    assert list(folder.iterdir()) == []


def test_a_slug_comes_back_as_it_was(tmp_path, folder):
    tree = tmp_path / "tree"
    write_tree(tree, {"Procfile": "web: x", "*bin/run": "#!/bin/sh", "a/é\n.txt": b"\xff"})
    (tree / "python").symlink_to("/usr/bin/python3")
    (tree / "empty").mkdir()
    os.link(tree / "Procfile", tree / "same")
    os.chmod(tree / "bin" / "run", 0o4755)
    os.mkfifo(tree / "pipe")
    with open(tmp_path / "slug.tgz", "wb") as file:
        packed = slug.pack(str(tree), file, 1 << 20)
    with tarfile.open(tmp_path / "slug.tgz") as archive:
        assert archive.getnames()[0] == "./app"
        assert all(name.startswith("./app") for name in archive.getnames())
        assert archive.getmember("./app/bin/run").mode == 0o755
        assert archive.getmember("./app/Procfile").uname == ""
    assert packed.size == (tmp_path / "slug.tgz").stat().st_size
    slug.unpack_slug(str(tmp_path / "slug.tgz"), str(folder))
    assert {path.name for path in folder.iterdir()} == {"Procfile", "bin", "a", "python", "empty", "same"}
    assert os.readlink(folder / "python") == "/usr/bin/python3"
    assert (folder / "same").read_text() == "web: x"
    assert (folder / "a" / "é\n.txt").read_bytes() == b"\xff"
    assert int((folder / "Procfile").stat().st_mtime) == int((tree / "Procfile").stat().st_mtime)


def test_the_same_tree_packs_to_the_same_bytes(tmp_path):
    write_tree(tmp_path / "tree", {"b": "1", "a/c": "2"})
    sums = []
    for name in ("1.tgz", "2.tgz"):
        with open(tmp_path / name, "wb") as file:
            sums.append(slug.pack(str(tmp_path / "tree"), file, 1 << 20).checksum)
    assert sums[0] == sums[1]


def test_a_slug_outside_of_app_is_refused(tmp_path, folder):
    with pytest.raises(ProcmanError, match="does not lie in app/"):
        slug.unpack_slug(str(tarball(tmp_path / "x.tgz", member("./app/a"), member("b"))), str(folder))


def test_packing_stops_at_the_limit(tmp_path):
    write_tree(tmp_path / "tree", {"noise": os.urandom(1 << 20)})
    with open(tmp_path / "x.tgz", "wb") as file, pytest.raises(slug.TooLarge):
        slug.pack(str(tmp_path / "tree"), file, 100 << 10)


def test_what_slugignore_matches_is_removed_and_links_are_not_followed(tmp_path):
    outside = tmp_path / "outside"
    write_tree(outside, {"a.psd": "x"})
    tree = tmp_path / "tree"
    write_tree(tree, {"art/a.psd": "x", "art/b.txt": "x", "test/c": "x", "Procfile": "x"})
    (tree / "link").symlink_to(outside)
    (tree / "tests").symlink_to(outside)
    assert slug.leave_out(str(tree), slugignore.parse(b"*.psd\n/test\ntests\n")) == 3
    found = sorted(str(path.relative_to(tree)) for path in tree.rglob("*") if "link/" not in str(path))
    assert found == ["Procfile", "art", "art/b.txt", "link"]
    assert (outside / "a.psd").exists()
