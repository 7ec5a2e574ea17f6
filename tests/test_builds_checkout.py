"""Trees that somebody pushed with ill intent, or by mistake: refused with a sentence, or harmless."""

import hashlib
import os
import subprocess
import zlib
from pathlib import Path

import pytest

from procman.builds.checkout import materialise
from procman.builds.reading import Unreadable, read_capped
from procman.builds.request import Limits
from procman.errors import ProcmanError

FEW = Limits(entries=1_000, tree=10 << 20)
GIT = {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull, "GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b"}
GIT |= {"GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@b", "PATH": os.environ["PATH"]}
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 12345\n"


class Repository:
    """A bare repository into which any object can be written, also those that git would not make."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.git("init", "--quiet", "--bare", str(path))

    def git(self, *words: str, data: bytes | None = None) -> bytes:
        env = {**GIT, "GIT_DIR": str(self.path)}
        return subprocess.run(["git", *words], env=env, input=data, capture_output=True, check=True).stdout.strip()

    def object(self, kind: str, data: bytes) -> str:
        """Write it without git's checks."""
        whole = f"{kind} {len(data)}\0".encode() + data
        digest = hashlib.sha1(whole).hexdigest()
        path = self.path / "objects" / digest[:2] / digest[2:]
        path.parent.mkdir(exist_ok=True)
        if not path.exists():
            path.write_bytes(zlib.compress(whole, 1))
        return digest

    def tree(self, *entries: tuple[str, bytes, str]) -> str:
        return self.object("tree", b"".join(f"{m} ".encode() + n + b"\0" + bytes.fromhex(d) for m, n, d in entries))

    def commit(self, tree: str) -> str:
        person = "a <a@b> 1700000000 +0000"
        return self.object("commit", f"tree {tree}\nauthor {person}\ncommitter {person}\n\nx\n".encode())

    def blob(self, data: bytes) -> str:
        return self.object("blob", data)

    def files(self, **files: bytes) -> str:
        """A commit of plain files; ``__`` in a name stands for a dot."""
        entries = [("100644", name.replace("__", ".").encode(), self.blob(data)) for name, data in files.items()]
        return self.commit(self.tree(*sorted(entries, key=lambda entry: entry[1])))


@pytest.fixture
def repo(tmp_path):
    return Repository(tmp_path / "repo.git")


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "inside" / "tree"
    path.mkdir(parents=True)
    return path


def check_out(repo, commit, folder, limits=FEW):
    return materialise(str(repo.path), commit, str(folder), {}, limits)


def bomb(repo: Repository, entry: str, levels: int) -> str:
    """A tree of ten to the power of ``levels`` entries, from as many objects."""
    mode = "100644"
    for _ in range(levels):
        entry, mode = repo.tree(*((mode, b"%d" % number, entry) for number in range(10))), "40000"
    return repo.commit(entry)


def zeroes(repo: Repository, size: int) -> str:
    """A blob of so many zeroes, packed as it is hashed."""
    head, block = f"blob {size}\0".encode(), bytes(1 << 20)
    digest, packer = hashlib.sha1(head), zlib.compressobj(1)
    packed = [packer.compress(head)]
    for _ in range(size >> 20):
        digest.update(block)
        packed.append(packer.compress(block))
    name = digest.hexdigest()
    path = repo.path / "objects" / name[:2] / name[2:]
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"".join(packed) + packer.flush())
    return name


def link(repo, name, target):
    return ("120000", name, repo.blob(target))


def file(repo, name, data=b"x"):
    return ("100644", name, repo.blob(data))


def module(repo, url, path=b"lib"):
    text = b'[submodule "lib"]\n\tpath = ' + path + b"\n\turl = " + url + b"\n"
    return repo.commit(repo.tree(file(repo, b".gitmodules", text), ("160000", path, "1" * 40)))


REFUSED = {
    "an entry ..": (lambda r: r.commit(r.tree(file(r, b".."))), "path '..'"),
    "an entry .": (lambda r: r.commit(r.tree(file(r, b"."))), "path '.'"),
    "an entry ../x": (lambda r: r.commit(r.tree(file(r, b"../x"))), "path '../x'"),
    "an absolute path": (lambda r: r.commit(r.tree(file(r, b"/etc/x"))), "path '/etc/x'"),
    "an entry below ..": (lambda r: r.commit(r.tree(("40000", b"..", r.tree(file(r, b"x"))))), "path '..'"),
    "a .git folder": (lambda r: r.commit(r.tree(("40000", b".git", r.tree(file(r, b"config"))))), "path '.git'"),
    "a .GIT folder": (lambda r: r.commit(r.tree(("40000", b".GIT", r.tree(file(r, b"config"))))), "path '.GIT'"),
    "a .git below": (lambda r: r.commit(r.tree(("40000", b"a", r.tree(file(r, b".git"))))), "path 'a/.git'"),
    "an empty name": (lambda r: r.commit(r.tree(file(r, b""))), "cannot check out"),
    "10^6 files": (lambda r: bomb(r, r.blob(b"x"), 6), "more than 1000 files and folders"),
    "10^8 folders": (lambda r: bomb(r, r.tree(), 8), "more than 1000 files and folders"),
    "64 MB of zeroes": (lambda r: r.commit(r.tree(("100644", b"zeroes", zeroes(r, 64 << 20)))), "more than 10 MB"),
    "a long name": (lambda r: r.commit(r.tree(file(r, b"x" * 300))), "too long"),
    "a missing blob": (lambda r: r.commit(r.tree(("100644", b"x", "2" * 40))), "cannot check out"),
    "a tree that is none": (lambda r: r.commit(r.blob(b"x")), "cannot check out"),
    "a submodule at file://": (lambda r: module(r, b"file:///etc"), "only https:// and http:// are fetched"),
    "a submodule at a path": (lambda r: module(r, b"/etc"), "only https:// and http:// are fetched"),
    "a submodule with an option": (lambda r: module(r, b"-u./payload"), "only https:// and http:// are fetched"),
    "a submodule with ext::": (lambda r: module(r, b"ext::sh -c touch% /tmp/x"), "only https:// and http://"),
    "a submodule over ssh": (lambda r: module(r, b"git@example.com:x/y.git"), "only https:// and http://"),
    "a relative submodule": (lambda r: module(r, b"../other.git"), "only https:// and http:// are fetched"),
    "a submodule that is not there": (lambda r: module(r, b"http://127.0.0.1:9/x.git"), "'lib' cannot be fetched"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_hostile_tree_is_refused_with_a_sentence(name, repo, folder):
    make, said = REFUSED[name]
    with pytest.raises(ProcmanError) as refused:
        check_out(repo, make(repo), folder)
    assert said in refused.value.what
    assert [path.name for path in folder.parent.iterdir()] == ["tree"]
    assert [path.name for path in folder.parent.parent.iterdir() if path.name not in ("inside", "repo.git")] == []


def test_a_counted_tree_is_refused_before_one_file_is_written(repo, folder):
    with pytest.raises(ProcmanError):
        check_out(repo, bomb(repo, repo.blob(b"x"), 4), folder)
    assert list(folder.iterdir()) == []


def test_a_file_and_a_folder_of_one_name_stay_inside(repo, folder, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    inner = repo.tree(file(repo, b"x"))
    tree = repo.tree(link(repo, b"a", str(outside).encode()), ("40000", b"a", inner))
    try:
        check_out(repo, repo.commit(tree), folder)
    except ProcmanError as refused:
        assert "cannot check out" in refused.what
    assert list(outside.iterdir()) == []


HARMLESS_NAMES = [b"-rf", b"--help", b"a\nb", b"$(reboot)", b"; ls", b"\xff\xfe", "é".encode(), b"con", b" "]


@pytest.mark.parametrize("name", HARMLESS_NAMES)
def test_an_odd_name_is_a_plain_file(name, repo, folder):
    check_out(repo, repo.commit(repo.tree(file(repo, name, b"content"))), folder)
    assert (Path(os.fsdecode(os.fsencode(folder) + b"/" + name))).read_bytes() == b"content"


@pytest.mark.parametrize("name", ["Procfile", "app.json", ".slugignore"])
def test_a_link_in_place_of_a_file_is_made_and_never_followed(name, repo, folder):
    check_out(repo, repo.commit(repo.tree(link(repo, name.encode(), b"/etc/passwd"))), folder)
    with pytest.raises(Unreadable, match="symbolic link, which is not followed"):
        read_capped(str(folder), name)


def test_other_things_in_place_of_a_file_are_not_read(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "large").write_bytes(bytes(2 << 20))
    for name in ("pipe", "folder", "large"):
        with pytest.raises(Unreadable):
            read_capped(str(tmp_path), name)
    assert read_capped(str(tmp_path), "absent") is None


def test_export_attributes_neither_drop_nor_change_a_file(repo, folder):
    attributes = b"secret.txt export-ignore\nversion.txt export-subst\n"
    commit = repo.files(__gitattributes=attributes, secret__txt=b"kept", version__txt=b"$Format:%H$")
    assert check_out(repo, commit, folder).entries == 3
    assert (folder / "secret.txt").read_bytes() == b"kept"
    assert (folder / "version.txt").read_bytes() == b"$Format:%H$"


def test_no_filter_of_the_host_is_run(repo, folder, tmp_path, monkeypatch):
    marker = tmp_path / "ran"
    (tmp_path / "gitconfig").write_text(f'[filter "x"]\n\tsmudge = touch {marker}; cat\n')
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))
    check_out(repo, repo.files(__gitattributes=b"* filter=x\n", a=b"a"), folder)
    assert (folder / "a").read_bytes() == b"a"
    assert not marker.exists()


def test_modes_are_normalised(repo, folder):
    entries = [("104755", b"a", repo.blob(b"x")), ("100777", b"b", repo.blob(b"x")), ("100600", b"c", repo.blob(b"x"))]
    check_out(repo, repo.commit(repo.tree(*entries)), folder)
    assert [oct((folder / name).stat().st_mode & 0o7777) for name in "abc"] == ["0o755", "0o755", "0o644"]


def test_lfs_pointers_are_named(repo, folder):
    found = check_out(repo, repo.files(model__bin=LFS, a=b"x"), folder)
    assert found.notes == ("'model.bin': Git LFS pointers, not the files. Git LFS is not supported (nor on Heroku).",)


def test_a_submodule_that_is_not_described_is_an_empty_folder(repo, folder):
    found = check_out(repo, repo.commit(repo.tree(("160000", b"lib", "1" * 40))), folder)
    assert list((folder / "lib").iterdir()) == []
    assert "'lib' is a submodule that .gitmodules does not describe" in found.notes[0]


def test_a_link_above_a_submodule_leads_nowhere(repo, folder, tmp_path):
    inner = repo.tree(("160000", b"lib", "1" * 40))
    text = b'[submodule "x"]\n\tpath = up/lib\n\turl = http://127.0.0.1:9/x\n'
    rows = (file(repo, b".gitmodules", text), link(repo, b"up", str(tmp_path).encode()), ("40000", b"up", inner))
    with pytest.raises(ProcmanError):
        check_out(repo, repo.commit(repo.tree(*rows)), folder)
    assert not (tmp_path / "lib").exists()


@pytest.mark.parametrize("commit", ["HEAD", "--help", "master; ls", "", "1" * 39])
def test_only_a_whole_digest_names_a_commit(commit, repo, folder):
    with pytest.raises(ProcmanError, match="is not a commit"):
        check_out(repo, commit, folder)


def test_an_annotated_tag_is_checked_out_as_its_commit(repo, folder):
    commit = repo.files(a=b"x")
    text = f"object {commit}\ntype commit\ntag v1\ntagger a <a@b> 1700000000 +0000\n\nx\n"
    check_out(repo, repo.object("tag", text.encode()), folder)
    assert (folder / "a").read_bytes() == b"x"


def test_the_empty_tree_is_no_error_here(repo, folder):
    assert check_out(repo, repo.commit(repo.tree()), folder).entries == 0
