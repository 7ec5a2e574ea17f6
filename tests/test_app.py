"""The app as it would run: formation, environment, ports, and every refusal with nothing started."""

import os

import pytest

from procman.cli.app import load
from procman.cli.options import Given, read_fast
from procman.cli.settings import resolve
from procman.errors import ProcmanError

PROCFILE = "web: run\nworker: go\nrelease: migrate\nclock: tick\n"


@pytest.fixture
def app(tmp_path):
    """Write the files, read the command line, load; files of the same name are overwritten."""

    def loaded(words="", environ=None, procfile_needed=True, **files):
        for name, content in {"Procfile": PROCFILE, **files}.items():
            if content is not None:
                (tmp_path / name.replace("dot_", ".")).write_text(content)
        given = read_fast("start", ["-d", str(tmp_path), *words.split()])
        assert given is not None
        environ = {} if environ is None else environ
        return load(resolve(given, environ), environ, procfile_needed)

    return loaded


SLIPS = ("cannot use the command line", "cannot use -")


@pytest.mark.parametrize(
    ("words", "formation"),
    [
        ("", {"web": 1, "worker": 1, "clock": 1}),
        ("clock web", {"web": 1, "clock": 1}),
        ("web=2", {"web": 2}),
        ("web=2,worker=3", {"web": 2, "worker": 3}),
        ("release", {"release": 1}),
        ("release=2 web", {"web": 1, "release": 2}),
        ("all=2", {"web": 2, "worker": 2, "clock": 2}),
        ("all=2 release", {"web": 2, "worker": 2, "release": 1, "clock": 2}),
        ("-m web=2", {"web": 2, "worker": 1, "clock": 1}),
        ("-m all=3,web=1", {"web": 1, "worker": 3, "clock": 3}),
        ("-m all=0,web=1", {"web": 1}),
        ("-m release=1,all=2", {"web": 2, "worker": 2, "release": 1, "clock": 2}),
        ("-m web=5 web", {"web": 5}),
        ("-m web=5 web=2", {"web": 2}),
        ("-m worker=2 web", {"web": 1}),
        ("-x web,clock", {"worker": 1}),
        ("-x web web worker", {"worker": 1}),
        ("-c worker=0", {"web": 1, "clock": 1}),
    ],
)
def test_formation(app, words, formation):
    loaded = app(words)
    assert loaded.formation == formation
    assert list(loaded.formation) == list(formation)
    assert [name for name, _ in loaded.processes] == ["web", "worker", "release", "clock"]


def test_root_is_absolute(app, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path.parent)
    assert os.path.isabs(app().root)


@pytest.mark.parametrize(
    ("words", "environ", "env_file", "port_and_origin"),
    [
        ("", {}, None, (5000, "default")),
        ("", {"PORT": "6000"}, None, (6000, "environment")),
        ("", {"PORT": ""}, None, (5000, "default")),
        ("", {"PORT": "6000"}, "A=1\nPORT=7000\n", (7000, ".env:2")),
        ("-p 8000", {"PORT": "bad"}, "PORT=bad\n", (8000, "--port")),
    ],
)
def test_base_port(app, words, environ, env_file, port_and_origin):
    loaded = app(words, environ, dot_env=env_file)
    assert (loaded.base_port, loaded.base_port_origin) == port_and_origin


def test_environment_and_origins(app):
    loaded = app(
        "-e one,two", {"A": "caller", "B": "caller"}, one="A=1\nC=${A}${B}\n", two="\nC=${C}2\nD=3\n"
    )
    assert loaded.env == {"A": "1", "B": "caller", "C": "1caller2", "D": "3", "PYTHONUNBUFFERED": "1"}
    assert loaded.env_origins == {
        "A": "one:1", "B": "environment", "C": "two:2", "D": "two:3", "PYTHONUNBUFFERED": "default",
    }  # fmt: skip


def test_pythonunbuffered_stays_as_it_is_set(app):
    assert app(environ={"PYTHONUNBUFFERED": ""}).env["PYTHONUNBUFFERED"] == ""


def test_named_env_files_replace_the_implied_one(app):
    loaded = app("-e one", dot_env="A=implied\n", one="B=1\n")
    assert "A" not in loaded.env


def test_a_virtual_environment_called_env_is_only_a_warning(app, tmp_path):
    (tmp_path / ".env").mkdir()
    assert [found.code for found in app().warnings] == ["env-directory"]


def test_warnings_come_along(app):
    assert [found.code for found in app(Procfile="web:run\n", dot_env="A=1\nA=2\n").warnings] == [
        "no-blank", "duplicate-key",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("words", "files", "said"),
    [
        ("wbe", {}, "cannot use the command line: no process type 'wbe' in Procfile: did you mean 'web'?"),
        (
            "-q zzz",
            {},
            "cannot use --quiet: no process type 'zzz' in Procfile: there is web, worker, release, clock",
        ),
        ("-x wrker", {}, "cannot use --except: no process type 'wrker'"),
        ("-m wrker=1", {}, "cannot use --formation: no process type 'wrker'"),
        ("-t wrker=1", {}, "cannot use --timeout: no process type 'wrker'"),
        ("--restart wrker=dev", {}, "cannot use --restart: no process type 'wrker'"),
        ("--exit-with wrker", {}, "cannot use --exit-with: no process type 'wrker'"),
        (
            "",
            {"dot_procman.toml": "\nquiet = 'wrker'"},
            "cannot use .procman.toml:2: no process type 'wrker'",
        ),
        ("-e nope", {}, "cannot use nope: no such env file in /"),
        ("-f nope", {}, "cannot use nope: not found in /"),
        ("-f .", {}, "cannot use .: a directory, not a file"),
        ("", {"Procfile": None}, "cannot use Procfile: not found in /"),
        (
            "",
            {"Procfile": None, "procfile": "web: x"},
            "but 'procfile' is: rename it with 'mv procfile Procfile'",
        ),
        ("", {"Procfile": None, "Procfile.dev": "web: x"}, "did you mean -f Procfile.dev?"),
        ("", {"Procfile": "web: a\n\nweb: b\n"}, "cannot use Procfile:3: 'web' is declared on lines 1 and 3"),
        ("", {"dot_env": "A='x\n"}, "cannot use .env:1: the single quote"),
        ("", {"dot_env": "PORT=http\n"}, "cannot use .env:1: PORT: 'http' is not a port number"),
        ("", {"Procfile": "release: x\n"}, "cannot use this app: the Procfile has only a release step"),
        ("-x web,worker,clock", {}, "cannot use this app: nothing is left after the options"),
    ],
)
def test_refusals(app, words, files, said):
    with pytest.raises(ProcmanError) as caught:
        app(words, **files)
    assert caught.value.exit_code == (2 if said.startswith(SLIPS) and "no process type" in said else 1)
    assert said in caught.value.what
    assert "\n" not in caught.value.what


@pytest.mark.parametrize(
    ("words", "hint"), [("", "procman check"), ("-f Procfile -e .env", "procman check -f Procfile -e .env")]
)
def test_the_hint_checks_the_files_that_were_meant(app, tmp_path, words, hint):
    with pytest.raises(ProcmanError) as caught:
        app(words, Procfile="web: a\nweb: b\n", dot_env="A=1\n")
    assert caught.value.hint.replace(f" -d {tmp_path}", "") == hint


def test_several_errors_are_all_told_a_line_each(app):
    with pytest.raises(ProcmanError) as caught:
        app(Procfile="web run\nworker:\nclock: x\n", dot_env="A B=1\nPORT=x\n")
    assert [line.split(": ")[0] for line in caught.value.what.splitlines()] == [
        "cannot use this app", "Procfile:1", "Procfile:2", ".env:1", ".env:2",
    ]  # fmt: skip


def test_a_bad_port_of_the_environment_says_so(app):
    with pytest.raises(ProcmanError, match="cannot use environment: PORT: 'x' is not a port number"):
        app(environ={"PORT": "x"})


def test_an_endless_file_is_refused(app):
    with pytest.raises(ProcmanError, match="cannot use /dev/zero: larger than 8 MiB"):
        app("-f /dev/zero")


def test_a_removed_current_directory(tmp_path, monkeypatch):
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(ProcmanError, match="the current directory was removed"):
        load(resolve(Given({}), {}), {})


def test_an_unreadable_procfile(app, tmp_path):
    (tmp_path / "P").symlink_to("P")
    with pytest.raises(ProcmanError, match="cannot use P: too many levels of symbolic links"):
        app("-f P")


def test_run_needs_no_procfile_but_no_broken_one(app):
    assert app("-f nope", procfile_needed=False).processes == ()
    assert app(Procfile="release: x\n", procfile_needed=False).processes == (("release", "x"),)
    with pytest.raises(ProcmanError):
        app(Procfile="web x\n", procfile_needed=False)
