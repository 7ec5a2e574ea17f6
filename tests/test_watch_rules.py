"""`start --watch`: rules as text, and .gitignore as git reads it."""

import os
import subprocess
from importlib import util
from pathlib import Path

import pytest

from procman.cli.watching import outputs, without
from procman.errors import ProcmanError
from procman.formats.watch_rules import join_values, parse, written
from procman.supervisor.ignored import Ignored
from procman.supervisor.watch import check_installed
from procman.supervisor.watcher import Concerns


@pytest.mark.parametrize(
    ("texts", "rules"),
    [
        ([""], {"*": ("*",)}),
        (["*.py"], {"*": ("*.py",)}),
        (["*.py", "templates/**"], {"*": ("*.py", "templates/**")}),
        (["*.py, !tests/**"], {"*": ("*.py", "!tests/**")}),
        (["web=*.py,templates/**", "worker=jobs/**"], {"web": ("*.py", "templates/**"), "worker": ("jobs/**",)}),
        (["web=*.py,worker=jobs/**"], {"web": ("*.py",), "worker": ("jobs/**",)}),
        (["all=*.py", "web="], {"*": ("*.py",), "web": ("*",)}),
        (["./src/**"], {"*": ("/src/**",)}),
        (["#odd"], {"*": ("\\#odd",)}),
        (["[ab].py", "\\[odd"], {"*": ("[ab].py", "\\[odd")}),
    ],
)
def test_rules(texts, rules):
    assert parse(texts) == rules
    assert parse(written(rules)) == rules


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("../lib/**", "leaves the app root"),
        ("/", "names no file"),
        ("!*.py", "only takes back"),
        ("[", "a bracket that is never closed"),
        ("src/[a/b]", "a bracket that is never closed"),
        ("a\0b", "names no file"),
    ],
)
def test_rules_that_make_no_sense(text, says):
    with pytest.raises(ValueError, match=says):
        parse([text])


@pytest.mark.parametrize(
    ("words", "joined"),
    [
        (["--watch"], ["--watch="]),
        (["--watch", "web=2", "worker"], ["--watch=", "web=2", "worker"]),
        (["--watch", "*.py", "web"], ["--watch=*.py", "web"]),
        (["--watch", "web=*.py,lib/**", "--watch", "-q", "web"], ["--watch=web=*.py,lib/**", "--watch=", "-q", "web"]),
        (["--watch=Makefile"], ["--watch=Makefile"]),
        (["--", "--watch", "x.py"], ["--", "--watch", "x.py"]),
    ],
)
def test_a_word_behind_the_flag_is_its_value_only_if_it_can_be_nothing_else(words, joined):
    assert join_values(words) == joined


@pytest.mark.parametrize(
    ("path", "types"),
    [
        ("app.py", ["web"]),
        ("lib/deep/x.py", ["web"]),
        ("jobs/mail.py", ["web", "worker"]),
        ("jobs/sub/data.txt", ["worker"]),
        ("tests/test_x.py", []),
        ("lib/jobs/x.txt", []),
    ],
)
def test_whom_a_file_concerns(path, types):
    assert Concerns(parse(["web=*.py,!tests/**", "worker=jobs/**"])).types(path) == types


GITIGNORES = {
    "": "*.txt\n!keep.txt\n/anchored\nbuild/\nlogs/*\n!logs/kept\nout/**\n**/deep\nmid/*/end\n\\#odd\ntrail \n!\n[a\n"
    "vendor/\n!vendor/mine\n",
    "sub": "!x.txt\n*.c\nonly/\n",
    "sub/sub": "!a.c\n",
}
FILES = """
    a.txt keep.txt sub/keep.txt sub/x.txt sub/y.txt anchored sub/anchored build/x sub/build/x sub2/build
    logs/a logs/kept
    out/x out/y/z deep/x sub/deep/x mid/1/end mid/1/2/end #odd trail a.c sub/a.c sub/sub/a.c sub/sub/b.c sub/only/x
    sub/sub/only vendor/mine vendor/x plain [a
""".split()  # noqa: SIM905
LEFTOVERS = """
    .git/index __pycache__/a.pyc a.pyc .venv/x venv/lib/x node_modules/a/b.js .a.py.swp a.py~ 4913 #a.py# .#a.py
    db.sqlite3 db.sqlite3-wal x-journal app-shm server.log server.log.1 web.pid
""".split()  # noqa: SIM905


def make_files(root: Path, names=FILES) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("")


def test_gitignore_as_git_reads_it(tmp_path):
    make_files(tmp_path)
    for folder, text in GITIGNORES.items():
        (tmp_path / folder / ".gitignore").write_text(text)
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    said = subprocess.run(
        ["git", "check-ignore", "--no-index", "--stdin", "-z"],
        cwd=tmp_path, input="\0".join(FILES), capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    ignored = Ignored(str(tmp_path))
    assert [name for name in FILES if ignored.file(str(tmp_path / name))] == said.split("\0")[:-1]


def test_a_gitignore_above_the_app_root_counts_within_the_repository(tmp_path):
    (tmp_path / ".gitignore").write_text("*.out\n/app/gen/\n")
    app = tmp_path / "app"
    app.mkdir()
    assert not Ignored(str(app)).file(str(app / "x.out"))
    (tmp_path / ".git").mkdir()
    assert Ignored(str(app)).file(str(app / "x.out"))
    assert Ignored(str(app)).file(str(app / "gen" / "x"))


@pytest.mark.parametrize("name", LEFTOVERS)
def test_leftovers_are_nobodys_concern(tmp_path, name):
    assert Ignored(str(tmp_path)).file(str(tmp_path / name))


def test_a_virtual_environment_by_any_name(tmp_path):
    make_files(tmp_path, ["env3/pyvenv.cfg", "env3/lib/x.py", "env/x.py"])
    assert Ignored(str(tmp_path)).file(str(tmp_path / "env3/lib/x.py"))
    assert not Ignored(str(tmp_path)).file(str(tmp_path / "env/x.py"))


def test_a_missing_package_is_said_with_the_way_out(monkeypatch):
    monkeypatch.setattr(util, "find_spec", lambda name: None)
    with pytest.raises(ProcmanError, match="cannot watch: the package watchfiles is not installed") as refused:
        check_installed()
    assert refused.value.hint == "pip install 'procman[watch]'"


def test_what_procman_writes_itself_within_the_app_is_spared(tmp_path):
    (tmp_path / "state").mkdir()
    with open(tmp_path / "[my], out!.txt", "w") as file, open(os.devnull, "w") as nowhere:
        ours = (str(tmp_path / "state"), *outputs((file.fileno(), nowhere.fileno())))
        rules = without({"web": ("*",)}, str(tmp_path), (*ours, "/elsewhere"))
    concerns = Concerns(rules)
    seen = [path for path in ("[my], out!.txt", "state/log/x", "my out!.txt", "a/state/x") if concerns.types(path)]
    assert seen == ["my out!.txt", "a/state/x"]
