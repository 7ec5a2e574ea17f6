"""Flags, settings files and defaults: who wins, where a value came from, and what is refused."""

import pytest

from procman.cli.options import Given, read_fast
from procman.cli.settings import Settings, port_number, resolve
from procman.core.restart import ALWAYS, DEV, HEROKU, limited
from procman.errors import UsageError
from procman.formats import duration, formation_arg


def settings_of(folder, words="", environ=None):
    given = read_fast("start", ["-d", str(folder), *words.split()])
    assert given is not None
    return resolve(given, environ or {})


def refused(folder, words=""):
    with pytest.raises(UsageError) as caught:
        settings_of(folder, words)
    return caught.value


def test_defaults(tmp_path):
    settings = settings_of(tmp_path)
    assert settings._replace(origins={}, app_root=".") == Settings(restart={"*": DEV})
    assert settings.origins["port"] == "default"
    assert set(settings.origins) == set(Settings._fields) - {"origins"}


def test_flags(tmp_path):
    settings = settings_of(
        tmp_path,
        "-f P -e a,b -e c -p 6000 -m web=2,all=3 -q web -q worker,clock -x release -t 5m,web=500ms "
        "--exit-with web --restart heroku --restart web=max=3,worker=always --no-timestamps --no-prefix "
        "--no-color --tty --log-format json --no-interpolate web=2 worker",
    )
    assert settings.procfile == "P"
    assert settings.env_files == ("a", "b", "c")
    assert settings.port == 6000
    assert settings.formation == {"web": 2, "*": 3}
    assert settings.types == {"web": 2, "worker": None}
    assert settings.quiet == {"web", "worker", "clock"}
    assert settings.excluded == {"release"}
    assert settings.grace == {"*": 300.0, "web": 0.5}
    assert settings.restart == {"*": HEROKU, "web": limited(3), "worker": ALWAYS}
    assert settings.exit_with == "web"
    assert (settings.timestamps, settings.prefix, settings.color, settings.tty) == (False, False, False, True)
    assert (settings.log_format, settings.interpolate) == ("json", False)
    assert settings.origins["grace"] == "--timeout"
    assert settings.origins["types"] == "the command line"


def test_max_restarts_for_all_types(tmp_path):
    assert settings_of(tmp_path, "--restart max=3").restart == {"*": limited(3)}


def test_an_empty_env_flag_means_no_env_files(tmp_path):
    assert resolve(Given({"app_root": str(tmp_path), "env_files": [""]}), {}).env_files == ()


def test_tilde_is_home(tmp_path):
    assert settings_of(tmp_path, "--env=~/x -f ~/P", {"HOME": "/home/me"}).env_files == ("/home/me/x",)


def test_precedence_flag_own_file_pyproject_foreman(tmp_path):
    (tmp_path / ".foreman").write_text("port: 1001\nprocfile: F\nenv: f.env\ntimeout: 7\n")
    (tmp_path / "pyproject.toml").write_text(
        '[project]\nname = "x"\n\n[tool.procman]\nport = 1002\nprocfile = "T"\nenv = "t"\n'
    )
    (tmp_path / ".procman.toml").write_text('# mine\nport = 1003\nprocfile = "M"\n')
    settings = settings_of(tmp_path, "-p 1004")
    assert (settings.port, settings.procfile, settings.env_files, settings.grace) == (
        1004,
        "M",
        ("t",),
        {"*": 7.0},
    )
    assert settings.origins["port"] == "--port"
    assert settings.origins["procfile"] == ".procman.toml:3"
    assert settings.origins["env_files"] == "pyproject.toml:7"
    assert settings.origins["grace"] == ".foreman:4"


@pytest.mark.parametrize(
    "text",
    [
        "[tool.procman]\nport = 7",
        "[tool]\nprocman = {port = 7}",
        "[tool.'procman']\nport = 7",
        "tool.procman.port = 7",
    ],
)
def test_the_table_in_pyproject_may_be_written_in_any_way(tmp_path, text):
    (tmp_path / "pyproject.toml").write_text(text.replace("7", "7000"))
    assert settings_of(tmp_path).port == 7000


def test_every_setting_in_toml(tmp_path):
    (tmp_path / ".procman.toml").write_text(
        'env = [".env", "b"]\nquiet = "web,clock"\nexcept = ["release"]\ntimeout = 2.5\nexit-with = "none"\n'
        'log_format = "heroku"\ntimestamps = false\ncolor = true\nprefix = false\ntty = false\n'
        'interpolate = false\n[formation]\nweb = 2\nall = 1\n[restart]\nweb = "max=2"\nall = "never"\n'
    )
    settings = settings_of(tmp_path)
    assert settings.env_files == (".env", "b")
    assert settings.quiet == {"web", "clock"}
    assert settings.excluded == {"release"}
    assert settings.grace == {"*": 2.5}
    assert settings.formation == {"web": 2, "*": 1}
    assert {name: policy.name for name, policy in settings.restart.items()} == {"web": "max=2", "*": "never"}
    assert (settings.exit_with, settings.log_format, settings.color) == ("none", "heroku", True)
    assert (settings.timestamps, settings.prefix, settings.tty, settings.interpolate) == (
        False,
        False,
        False,
        False,
    )
    assert settings.origins["formation"] == ".procman.toml:12"


def test_app_root_of_a_file_is_beside_the_file(tmp_path, monkeypatch):
    (tmp_path / "sub").mkdir()
    (tmp_path / ".foreman").write_text("---\nroot: sub\n")
    assert settings_of(tmp_path).app_root == str(tmp_path)  # the flag -d wins
    monkeypatch.chdir(tmp_path)
    settings = resolve(Given({}), {})
    assert (settings.app_root, settings.origins["app_root"]) == ("./sub", ".foreman:2")
    (tmp_path / "sub").rmdir()
    with pytest.raises(UsageError, match=r"cannot use app-root of .foreman:2: './sub' is no directory"):
        resolve(Given({}), {})


def test_foreman_values_as_foremans_users_write_them(tmp_path):
    (tmp_path / ".foreman").write_text(
        "---\n# note\nformation: \"web=2,worker=1\"  # two\nport: '6000'\napp: shop\ntimestamp: false\n"
    )
    settings = settings_of(tmp_path)
    assert (settings.formation, settings.port, settings.timestamps) == ({"web": 2, "worker": 1}, 6000, False)


def test_pyproject_without_our_table_costs_nothing(tmp_path):
    (tmp_path / "pyproject.toml").write_bytes(b"not even TOML \xff")
    assert settings_of(tmp_path).port is None


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("-p abc", "cannot use --port: 'abc' is not a port number"),
        ("-p 0", "0 is not between 1 and 65535"),
        ("-p 65536", "65536 is not between"),
        ("-p 99999999999999999999", "is not between"),
        ("-p \u0665", "is not a port number"),
        ("-m web", "cannot use --formation: 'web' is not TYPE=N, such as web=2"),
        ("-m web=two", "'two' is not a whole number"),
        ("-m web=-1", "'-1' is not a whole number"),
        ("-m web=1001", "more than 1000 dynos"),
        ("-m we.b=1", "'we.b' cannot be a process type"),
        ("web=x", "cannot use the command line: 'web=x'"),
        ("web=1 web=2", "asked for twice"),
        ("-q we.b", "cannot use --quiet"),
        ("-x all", "cannot use --except: 'all' is not a process type"),
        ("-t soon", "cannot use --timeout: 'soon': not a duration"),
        ("-t web=", "cannot use --timeout"),
        ("--restart herok", "did you mean 'heroku'?"),
        ("--restart max=x", "'x' is not a restart policy"),
        ("--exit-with all", "did you mean 'any'?"),
        ("--log-format xml", "'xml' is not one of text, json, heroku"),
        ("--name a/b", "one has no '/', and does not begin with '.'"),
        (f"--name {'n' * 256}", "is too long: 255 bytes are the most"),
    ],
)
def test_refused_flags(tmp_path, words, said):
    error = refused(tmp_path, words)
    assert error.exit_code == 2
    assert said in error.what


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        (".procman.toml", b"port = 1\nprocfil = 'x'\n", ".procman.toml:2: no such setting"),
        (".procman.toml", b"\nport = 70000\n", "cannot use port of .procman.toml:2: 70000 is not between"),
        (".procman.toml", b"port = [1]\n", "must be what --port takes"),
        (".procman.toml", b"color = 'yes'\n", "must be true or false"),
        (".procman.toml", b"x = \n", ".procman.toml:1: not TOML"),
        (".procman.toml", b"a = 1\nb = '\xff'\n", ".procman.toml:2: not UTF-8"),
        (".procman.toml", b"quiet = [1]\n", "must be what --quiet takes"),
        (".procman.toml", b"watch = true\n", "must be what --watch takes"),
        (
            "pyproject.toml",
            b"[tool]\nprocman = 3 # tool.procman\n",
            "tool.procman of pyproject.toml: not a table",
        ),
        ("pyproject.toml", b"[tool.procman]\nrestart = 'sometimes'\n", "pyproject.toml:2: 'sometimes'"),
        (".foreman", b"port: x\n", "cannot use port of .foreman:1: 'x' is not a port number"),
        (".foreman", b"formation: [web]\n", ".foreman:1: only 'key: value'"),
        (".foreman", b"timestamp: maybe\n", ".foreman:1: must be true or false"),
    ],
)
def test_refused_files_name_the_line(tmp_path, file, content, said):
    (tmp_path / file).write_bytes(content)
    assert said in refused(tmp_path).what


def test_unknown_keys_get_the_nearest_one(tmp_path):
    (tmp_path / ".procman.toml").write_text("timeot = 3\n")
    assert refused(tmp_path).hint == "did you mean 'timeout'?"


def test_an_app_root_that_is_not_there(tmp_path):
    assert "is no directory" in refused(tmp_path / "nowhere").what


@pytest.mark.parametrize(("text", "port"), [("1024", 1024), ("65535", 65535), ("05000", 5000)])
def test_ports(text, port):
    assert port_number(text) == port


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30", 30),
        ("0", 0),
        ("1.5", 1.5),
        (".5", 0.5),
        ("30s", 30),
        ("500ms", 0.5),
        ("5m", 300),
        ("1h30m", 5400),
        (" 2D ", 172_800),
    ],
)
def test_durations(text, seconds):
    assert duration.parse(text) == pytest.approx(seconds)
    assert duration.parse(duration.written(seconds)) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "s", "-1", "1e9", "inf", "nan", "1 m", "5x", "\u0665s", "1.s."])
def test_no_durations(text):
    with pytest.raises(ValueError, match="not a duration"):
        duration.parse(text)


def test_formation_arguments():
    assert formation_arg.parse_counts(["web=2,worker=1", "all=3, web=4,"]) == {"web": 4, "worker": 1, "*": 3}
    assert formation_arg.parse_types(["web", "worker=2,clock", "web=3"]) == {
        "web": 3,
        "worker": 2,
        "clock": None,
    }


def test_bounds_by_type_from_flags_and_from_tables(tmp_path):
    flags = "--memory 1G,web=512M --limit nofile:64 --limit web=core:0,web=fsize:10M --stop-signal web=int,15"
    told = settings_of(tmp_path, flags)
    assert told.memory == {"*": 1 << 30, "web": 512 << 20}
    assert told.limit == {"*": {"nofile": 64}, "web": {"core": 0, "fsize": 10 << 20}}
    assert told.stop_signal == {"*": "SIGTERM", "web": "SIGINT"}
    (tmp_path / "pyproject.toml").write_text(
        "[tool.procman]\nmemory = { all = '1G', web = '512M' }\nstop-signal = ['web=INT', 'TERM']\n"
        "[tool.procman.limit.all]\nnofile = 64\n[tool.procman.limit.web]\ncore = 0\nfsize = '10M'\n"
    )
    said = settings_of(tmp_path)
    assert (said.memory, said.limit, said.stop_signal) == (told.memory, told.limit, told.stop_signal)
    assert said.origins["limit"] == "pyproject.toml:4"
