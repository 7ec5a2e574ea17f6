"""`procman check` and `procman env`, through the command line: bad files, advice, JSON, no secrets."""

import json
import subprocess

import pytest

from procman.cli.env import masked
from procman.cli.main import dispatch

GOOD = b"web: serve --port $PORT\n"


@pytest.fixture
def procman(tmp_path, capsysbinary, monkeypatch):
    """Write the files (at first a good Procfile too), run the words there; exit status, stdout, stderr."""
    written = {"Procfile": GOOD}
    for name in ("PORT", "DYNO", "PS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)

    def run(*words, **files):
        written.update(files)
        for name, content in written.items():
            if content is not None:
                (tmp_path / name.replace("dot_", ".")).write_bytes(content)
        status = dispatch(list(words))
        captured = capsysbinary.readouterr()
        return status, captured.out.decode(), captured.err.decode()

    return run


# What is wrong, with which severity and code, on which line, and a word that makes the message pointed.
BAD_PROCFILES = [
    (b"web serve $PORT\n", 1, "error", "missing-colon", "write 'web: "),
    (b"# x\n\nweb\n", 3, "error", "missing-colon", "web: COMMAND"),
    (b"web:serve $PORT\n", 1, "warning", "no-blank", "Heroku drops this line"),
    (b"web : serve $PORT\n", 1, "warning", "blank-before-colon", "before the colon"),
    (b"   web: serve $PORT\n", 1, "warning", "indentation", "honcho"),
    (b"web: serve $PORT\nx: 1\nweb: two $PORT\n", 3, "error", "duplicate", "lines 1 and 3"),
    (b"\xef\xbb\xbfweb: serve $PORT\n", 1, "warning", "bom", "BOM"),
    (b"web: serve $PORT\r\n", 1, "warning", "crlf", "CRLF"),
    (b"web:\tserve $PORT\n", 1, "warning", "tab", "tab"),
    (GOOD + b"a" * 64 + b": x\n", 2, "warning", "long-name", "64 characters"),
    (b"web:\n", 1, "error", "empty-command", "no command"),
    (GOOD + b"worker:   \n", 2, "error", "empty-command", "'worker'"),
    (b"", None, "error", "empty-file", "nothing to run"),
    (b"# only a note\n", None, "error", "empty-file", "nothing to run"),
    (b"worker: x\n", None, "warning", "no-web", "'web'"),
    (GOOD + b"hello world\n", 2, "error", "prose", "a type 'hello'"),
    (b"web: serve $PORT # note\n", 1, "warning", "trailing-comment", "comment"),
    (GOOD + b"x: \xe9\n", 2, "error", "not-utf-8", "0xe9 at byte 4"),
    (b"\xff\xfew\0e\0b\0", 1, "error", "not-utf-8", "UTF-16"),
    (b"web: a\0 $PORT\n", 1, "error", "nul-byte", "byte 7"),
    (b"web: serve \\\n  --port $PORT\n", 2, "error", "continuation", "line 1"),
    (GOOD + b"my-worker: x\n", 2, "warning", "hyphen", "heroku local"),
    (b"Web: serve $PORT\n", 1, "warning", "uppercase", "not 'web'"),
    (GOOD + b"my worker: x\n", 2, "error", "invalid-name", "'my worker'"),
    (GOOD + b"TOKEN=hunter2\n", 2, "error", "assignment", ".env"),
    (GOOD + b"<<<<<<< HEAD\n", 2, "error", "conflict-marker", "git"),
    ("web\uff1a serve $PORT\n".encode(), 1, "error", "wide-colon", "U+FF1A"),
    ("web: serve \u2018$PORT\u2019\n".encode(), 1, "warning", "smart-quote", "typographic"),
    (b"web: serve 8000\n", 1, "warning", "no-port", "$PORT"),
    (b"web: serve 127.0.0.1:$PORT\n", 1, "warning", "loopback", "0.0.0.0"),
    (b"web: nodemon app.js $PORT\n", 1, "warning", "local-only", "'nodemon'"),
    (b"web: uvicorn app:app --reload --port $PORT\n", 1, "warning", "local-only", "'--reload'"),
    (GOOD + b"db: redis-server\n", 2, "warning", "local-only", "add-on"),
    (b"web: venv/bin/serve $PORT\n", 1, "warning", "local-only", "virtual environment"),
    (b"web: /home/me/serve $PORT\n", 1, "warning", "local-only", "path of this machine"),
    (GOOD + b"my_job: x\nmy-job: y\n", 3, "warning", "shared-port", "MY_JOB_PORT is the port of 'my-job'"),
    (b"web: serve $PORT\nWEB: x\n", 2, "warning", "shared-port", "that of 'web' has no variable"),
]
BAD_ENV_FILES = [
    (b"A=1\nB='x\n", 2, "error", "unterminated-quote", "quote that opens the value of 'B'"),
    (b'A="x\nB="y"\n', 2, "error", "text-after-quote", "line 1"),
    (b"A='x'y\n", 1, "error", "text-after-quote", "'A'"),
    (b"\nKEY\n", 2, "error", "missing-equals", "NAME=value"),
    (b"1A=x\n", 1, "error", "invalid-key", "'1A'"),
    (b"A B=x\n", 1, "error", "invalid-key", "no blanks"),
    (b"a-b=x\n", 1, "error", "invalid-key", "'a-b'"),
    (b"=x\n", 1, "error", "missing-key", "before '='"),
    (b"A=1\nA=2\n", 2, "warning", "duplicate-key", "lines 1 and 2"),
    (b"A=1\nB=\xff\n", 2, "error", "not-utf-8", "0xff"),
    (b"A=1\0\n", 1, "error", "nul-byte", "NUL"),
    ("A=\u201cx\u201d\n".encode(), 1, "error", "smart-quote", "typographic"),
    (b"A=$(whoami)\n", 1, "warning", "command-substitution", "never runs"),
    (b"A=${NO_SUCH_VARIABLE}\n", 1, "warning", "undefined-variable", "NO_SUCH_VARIABLE"),
    (b"source .env.local\n", 1, "error", "shell-command", "never run"),
    (b"a: yaml\n", 1, "error", "unparsable", "YAML"),
    (b"PORT=http\n", 1, "error", "bad-port", "'http' is not a port number"),
    (b"PORT=6000\n", 1, "warning", "set-per-dyno", "PORT"),
    (b"DYNO=x\n", 1, "warning", "set-per-dyno", "DYNO"),
]


def check_one(procman, file, case, **files):
    line, severity, code, word = case
    place = file if line is None else f"{file}:{line}"
    expected = 1 if severity == "error" else 0
    status, out, err = procman("check", **files)
    said = next(
        (
            text
            for text in out.splitlines()
            if text.startswith(f"{place}: {severity}: ") and f"[{code}]" in text
        ),
        "",
    )
    assert word in said, out
    assert (status, err) == (expected, "")
    assert "Traceback" not in out
    assert "hunter2" not in out
    status, out, err = procman("check", "--json")
    told = json.loads(out)
    assert set(told) == {"processes", "env", "diagnostics"}
    assert [line, severity] in [[d["line"], d["severity"]] for d in told["diagnostics"] if d["code"] == code]
    assert (status, err) == (expected, "")
    if severity == "error":  # and then nothing is started
        status, _, err = procman("start")
        assert status == 1
        assert word in err


@pytest.mark.parametrize("case", BAD_PROCFILES)
def test_bad_procfiles(procman, case):
    check_one(procman, "Procfile", case[1:], Procfile=case[0])


@pytest.mark.parametrize("case", BAD_ENV_FILES)
def test_bad_env_files(procman, case):
    check_one(procman, ".env", case[1:], dot_env=case[0])


def test_links_to_nothing_and_a_directory_are_not_skipped(procman, tmp_path):
    for name, code in ((".env", "unreadable"), (".procman.toml", "settings"), ("pyproject.toml", "settings")):
        (tmp_path / name).symlink_to("gone")
        status, out, _ = procman("check")
        assert (status, f"a link to 'gone', which is not there [{code}]" in out) == (1, True)
        status, _, err = procman("start")
        assert (status != 0, "a link to 'gone'" in err) == (True, True)
        (tmp_path / name).unlink()
    (tmp_path / ".procman.toml").mkdir()
    (tmp_path / "app.json").mkdir()
    status, out, _ = procman("check")
    assert (status, out.count("error: ")) == (1, 1)
    assert ".procman.toml: error: a directory, not a file [settings]" in out


def test_a_good_app(procman):
    status, out, err = procman("check", dot_env=b"A=1\n")
    assert (status, err) == (0, "")
    assert out.splitlines()[0] == "Procfile: 1 process type; nothing to complain about"


def test_everything_is_told_at_once(procman):
    status, out, _ = procman("check", Procfile=b"web x\nworker:\nclock: x\n", dot_env=b"A='\nB B=1\n")
    assert status == 1
    for place in ("Procfile:1: ", "Procfile:2: ", ".env:1: "):
        assert place in out
    assert "Procfile: 1 process type; " in out


def test_where_each_value_comes_from(procman):
    status, out, _ = procman(
        "check",
        "-p",
        "6000",
        "web=2",
        dot_foreman=b"timeout: 5\n",
        **{"dot_procman.toml": b"\nlog-format = 'json'\n"},
    )
    assert status == 0
    values = {line.split()[0]: line.split()[1:] for line in out.splitlines() if line.startswith("  ")}
    assert values["port"] == ["6000", "--port"]
    assert values["formation"] == ["web=2", "the", "command", "line"]
    assert values["grace"] == ["5s", ".foreman:1"]
    assert values["log-format"] == ["json", ".procman.toml:2"]
    assert values["restart"] == ["dev", "default"]


def test_every_value_that_a_start_would_go_by_is_shown(procman):
    words = ["-x", "b", "--watch=web=*.py", "--name", "shop", "--wait", "--wait-timeout", "5s"]
    status, out, _ = procman("check", *words, Procfile=GOOD + b"b: x\n", **{"dot_procman.toml": b"detach = true\n"})
    assert status == 0
    shown = [" ".join(line.split()) for line in out.splitlines()]
    for line in ("except b --except", "watch web=*.py --watch", "name shop --name", "detach yes .procman.toml:1"):
        assert line in shown
    assert procman("check", "--wait-timeout", "soon")[0] == 2


def test_all_mistakes_of_settings_files_are_told_at_once(procman):
    settings = b'port = "x"\nprot = 1\ncolor = "q"\n'
    files = {"dot_procman.toml": settings, "dot_foreman": b"timeout: soon\nport: [1]\n"}
    status, out, _ = procman("check", **files)
    assert (status, [line for line in out.splitlines() if "[settings]" in line]) == (
        1,
        [
            ".foreman:1: error: timeout: 'soon': not a duration such as 30, 30s, 500ms or 5m [settings]",
            ".foreman:2: error: port: only 'key: value' on one line is understood [settings]",
            ".procman.toml:1: error: port: 'x' is not a port number [settings]",
            ".procman.toml:2: error: 'prot': no such setting: did you mean 'port'? [settings]",
            ".procman.toml:3: error: color: must be true or false [settings]",
        ],
    )


def told(procman, *words, **files):
    status, out, err = procman("check", "--json", *words, **files)
    assert err == ""
    return status, json.loads(out)


def test_json_holds_processes_in_order_and_what_the_env_files_set_but_no_secret(procman):
    status, answer = told(procman, Procfile=b"worker: b\nweb: a $PORT\n", dot_env=b"SECRET=x\nA='$y'\n")
    assert status == 0
    assert answer == {
        "processes": [["worker", "b"], ["web", "a $PORT"]],
        "env": {"SECRET": "********", "A": "$y"},
        "diagnostics": [],
    }


def test_quantities_of_types_that_are_not_named_are_a_warning(procman):
    status, answer = told(procman, "-m", "worker=2,web=2", "web", Procfile=GOOD + b"worker: x\n")
    assert (status, [found["code"] for found in answer["diagnostics"]]) == (0, ["not-named"])
    assert told(procman, "-m", "worker=2", "web", "worker")[1]["diagnostics"] == []
    assert told(procman, "web", **{"dot_procman.toml": b"formation = {worker = 2}\n"})[1]["diagnostics"] == []


@pytest.mark.parametrize(
    ("words", "files", "code"),
    [
        ((), {"Procfile": None}, "no-procfile"),
        ((), {"Procfile": None, "procfile": GOOD}, "no-procfile"),
        (("-f", "."), {}, "unreadable"),
        (("-f", "a\0b"), {}, "unreadable"),
        (("-e", "nope"), {}, "no-env-file"),
        (("wbe",), {}, "unknown-type"),
        ((), {"dot_procman.toml": b"port = 'x'\n"}, "settings"),
        ((), {"dot_procman.toml": b"prot = 1\n"}, "settings"),
        ((), {"pyproject.toml": b"[tool.procman\n"}, "settings"),
    ],
)
def test_json_is_one_object_whatever_is_wrong(procman, words, files, code):
    status, answer = told(procman, *words, **files)
    assert status == 1
    assert code in [found["code"] for found in answer["diagnostics"]]


def codes(procman, **files):
    _, answer = told(procman, **files)
    return [(found["file"], found["line"], found["code"]) for found in answer["diagnostics"]]


def test_keys_of_an_example_that_nothing_sets(procman):
    found = codes(procman, dot_env=b"A=1\n", **{"dot_env.example": b"# x\nA=\nNO_SUCH_KEY=\n"})
    assert found == [(".env.example", 3, "missing-key")]


def test_required_keys_of_app_json(procman):
    content = b"""{"env": {
      "A": "default",
      "B": {"description": "b"},
      "C": {"required": false},
      "D": {"generator": "secret"}}}"""
    assert codes(procman, dot_env=b"D=1\n", **{"app.json": content}) == [
        ("app.json", 2, "missing-key"), ("app.json", 3, "missing-key"),
    ]  # fmt: skip


@pytest.mark.parametrize("content", [b"{\n", b"[]", b'{"env": []}', b"\xff", b"[" * 100_000, b""])
def test_a_bad_app_json_is_a_warning(procman, content):
    assert [code for _, _, code in codes(procman, **{"app.json": content})] == ["app-json"]


def test_an_env_file_tracked_by_git(procman, tmp_path):
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    assert codes(procman, dot_env=b"A=1\n") == []
    subprocess.run(["git", "add", ".env"], cwd=tmp_path, check=True)
    assert codes(procman) == [(".env", None, "tracked-env")]


@pytest.mark.parametrize(
    "command",
    [
        "gunicorn app:app",
        "bin/rails server",
        "vendor/bin/heroku-php-apache2 public",
        "serve ${PORT:-5000}",
        "x -p $PORT",
    ],
)
def test_web_commands_that_find_their_port(procman, command):
    assert codes(procman, Procfile=f"web: {command}\n".encode()) == []


def test_env_masks_secrets_and_says_how_to_see_them(procman, monkeypatch):
    monkeypatch.setenv("SHELL", "/bin/sh")
    files = {"dot_env": b"API_KEY=hunter2\nURL=postgres://me:hunter2@host/db\nB='a b'\nDATABASE_URL=x\n"}
    status, out, err = procman("env", **files)
    assert status == 0
    assert out.splitlines()[:4] == [
        "API_KEY='********'",
        "B='a b'",
        "DATABASE_URL='********'",
        "URL='postgres://me:********@host/db'",
    ]
    assert "PORT=5000" in out.splitlines()
    assert "--reveal" in err
    assert "hunter2" not in out + err
    status, out, err = procman("env", "--explain", "--reveal")
    assert "API_KEY=hunter2 # .env:1" in " ".join(out.split())
    assert "PORT=5000 # default" in " ".join(out.split())
    assert "SHELL=/bin/sh # environment" in " ".join(out.split())
    assert err == ""
    status, out, _ = procman("env", "--json")
    assert json.loads(out)["API_KEY"] == "********"
    status, out, _ = procman("env", "--json", "--explain", "--reveal")
    assert json.loads(out)["API_KEY"] == {"value": "hunter2", "origin": ".env:1"}


def test_env_needs_no_procfile_but_readable_env_files(procman):
    assert procman("env", Procfile=None)[0] == 0
    status, out, err = procman("env", Procfile=b"broken\n", dot_env=b"A='hunter2\n")
    assert (status, out) == (1, "")
    assert ".env:1: error" in err
    assert "hunter2" not in err


def test_what_env_prints_is_an_env_file(procman, tmp_path, monkeypatch):
    value = "a 'b' \\ \"c\" #d\n$e ${f}"
    monkeypatch.setenv("ODD", value)
    _, out, _ = procman("env", "--reveal")
    _, answer = told(procman, "-e", "all", all=out.encode())
    assert answer["env"]["ODD"] == value


def test_what_no_env_file_can_hold_is_left_out_and_named(procman, monkeypatch):
    for name, value in (("BASH_FUNC_foo%%", "() {  :\n}"), ("a.b", "1"), ("RAW", "\udcff"), ("CR", "a\r\nb")):
        monkeypatch.setenv(name, value)
    status, out, err = procman("env", "--reveal")
    assert (status, "foo%%" in out, "a.b=" in out, "RAW=" in out) == (0, False, False, False)
    assert err.startswith("left out, as no env file can hold them: 'BASH_FUNC_foo%%', ")
    status, answer = told(procman, "-e", "all.env", **{"all.env": out.encode()})
    assert [found for found in answer["diagnostics"] if found["severity"] == "error"] == []
    assert "a.b" in json.loads(procman("env", "--json")[1])


def test_names_and_texts_that_say_secret(procman, monkeypatch):
    secret = {"MY_PASS": "1", "smtp_pwd": "2", "JWT": "3", "STRIPE_SK": "4", "GITHUB_PAT": "5"}
    plain = {"PWD": "/home", "OLDPWD": "/", "COMPASS": "north", "TASK_PATH": "/x", "SKY": "blue"}
    for name, value in {**secret, **plain, "CONN": "Server=a;Password=hunter2;Db=b"}.items():
        monkeypatch.setenv(name, value)
    shown = json.loads(procman("env", "--json")[1])
    assert {shown[name] for name in secret} == {"********"}
    assert {name: shown[name] for name in plain} == plain
    assert shown["CONN"] == "Server=a;Password=********;Db=b"
    for text, seen in (
        ("pwd=two words;Db=b", "pwd=********;Db=b"),
        ("host=a password=b dbname=c", "host=a password=******** dbname=c"),
        ("password='two words' x", "password=******** x"),
        ("//a/b?password=c&d=e", "//a/b?password=********&d=e"),
    ):
        assert masked("CONN", text) == seen


def test_bare_procman_explains_and_offers(procman):
    status, out, _ = procman(Procfile=GOOD + b"release: migrate\n")
    assert status == 0
    assert "procman start" in out
    assert "release (only when named)" in out


def test_bare_procman_without_a_procfile_says_how_to_write_one(procman):
    status, out, _ = procman(Procfile=None)
    assert status == 1
    assert "web: gunicorn" in out


def test_bare_procman_with_a_broken_one_lists_the_errors(procman):
    status, out, _ = procman(Procfile=b"web x\n")
    assert status == 1
    assert "Procfile:1: error" in out
