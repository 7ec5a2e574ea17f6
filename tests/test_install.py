"""`procman install systemd`: a unit that says what was said, in systemd's own quoting, and spoils nothing."""

import getpass
import os
import re
import stat
import subprocess

import pytest

from procman.cli.install import write
from procman.errors import ProcmanError
from procman.formats.systemd_unit import MARKER, command, directory, one_line, unit_name, word

PROCFILE = "web: exec sleep 1000\nworker: exec sleep 1000\n"


@pytest.mark.parametrize(
    ("text", "argument", "path"),
    [
        ("plain-1.2_x/y:z,@+=", "plain-1.2_x/y:z,@+=", "plain-1.2_x/y:z,@+="),
        ("", '""', '""'),
        ("two words", '"two words"', '"two words"'),
        ("100%", '"100%%"', '"100%%"'),
        ("%h", '"%%h"', '"%%h"'),
        ("$HOME", '"$$HOME"', '"$HOME"'),
        ("${A}b", '"$${A}b"', '"${A}b"'),
        ('say "x"', '"say \\"x\\""', '"say \\"x\\""'),
        ("it's", '"it\'s"', '"it\'s"'),
        ("back\\slash", '"back\\\\slash"', '"back\\\\slash"'),
        ("end\\", '"end\\\\"', '"end\\\\"'),
        ("a\nb\tc\x7f", '"a\\x0ab\\x09c\\x7f"', '"a\\x0ab\\x09c\\x7f"'),
        (";", '";"', '";"'),
        ("#", '"#"', '"#"'),
        ("café …", '"café …"', '"café …"'),
    ],
)
def test_words_are_read_back_as_they_are(text, argument, path):
    assert word(text, dollars=True) == argument
    assert word(text) == path
    assert command([text, text]) == f"{path} {argument}"
    assert unquoted(argument) == text.replace("$", "$$")
    assert unquoted(path) == text


def unquoted(written: str) -> str:
    """A word as systemd.syntax(7) says it is read, before variables are."""
    inner = written[1:-1] if written.startswith('"') else written
    inner = re.sub(r"\\(x..|.)", lambda found: chr(int(found[1][1:], 16)) if found[1][1:] else found[1], inner)
    return inner.replace("%%", "%")


@pytest.mark.parametrize(
    ("path", "written"),
    [
        ("/srv/shop", "/srv/shop"),
        ('/srv/a "b" $c', '/srv/a "b" $c'),
        ("/srv/50%", "/srv/50%%"),
        ("/srv/end ", "/srv/end /"),
        ("/srv/end\\", "/srv/end\\/"),
    ],
)
def test_directories_stand_as_they_are(path, written):
    assert directory(path) == written


@pytest.mark.parametrize("path", ["/a\nb", "/a\tb", "/\x7f", "/\udcff"])
def test_what_no_unit_can_hold_is_refused(path):
    with pytest.raises(ValueError, match="cannot stand in a unit"):
        directory(path)


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        ("shop", "procman-shop.service"),
        ("shop-1a.b:c_d", "procman-shop-1a.b:c_d.service"),
        ("a b@%", r"procman-a\x20b\x40\x25.service"),
        ("é", r"procman-\xc3\xa9.service"),
    ],
)
def test_names_of_units(name, unit):
    assert unit_name(name) == unit


def test_a_name_too_long_is_refused():
    with pytest.raises(ValueError, match="too long"):
        unit_name("é" * 70)
    assert one_line("a\nb%\udcff") == "a?b%%?"


def keys(text: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line and not line.startswith("#"))


def test_the_unit_starts_what_start_would(workshop):
    workshop.procfile(PROCFILE + "clock: exec sleep 1000\n")
    (workshop.directory / "a b.env").touch()
    done = workshop.call(
        "install", "systemd", "--print", "--name", "my $hop", "-e", "a b.env", "-p", "8000", "-m", "web=2",
        "--restart", "worker=max=3", "-t", "worker=44.5s", "--no-interpolate", "--exit-with", "web", "--watch",
        "-x", "clock", "web=2", "worker",
    )  # fmt: skip
    unit = keys(done.stdout)
    assert (done.stderr, done.returncode) == ("", 0)
    assert done.stdout.startswith(MARKER)
    program, arguments = unit["ExecStart"].split(" ", 1)
    assert os.path.isabs(program)
    assert arguments.endswith(
        'start "--name=my $$hop" --no-timestamps "--env=a b.env" --no-interpolate --port=8000 --formation=web=2 '
        "--except=clock --timeout=worker=44.5s --restart=worker=max=3 --exit-with=web --watch= web=2 worker"
    )
    assert unit["ExecReload"].endswith('reload "--name=my $$hop"')
    assert unit["WorkingDirectory"] == str(workshop.directory)
    assert unit["TimeoutStopSec"] == "55"
    expected = {"Type": "notify", "NotifyAccess": "main", "Restart": "always", "KillMode": "mixed", "WatchdogSec": "60"}
    assert expected.items() <= unit.items()
    assert unit["WantedBy"] == "default.target"
    assert "User" not in unit
    assert re.match(rf'"?PATH=.*{re.escape(os.path.dirname(program))}', unit["Environment"])


def test_the_unit_is_written_whole_and_replaced_by_the_next(workshop):
    workshop.procfile(PROCFILE)
    done = workshop.call("install", "systemd", "--name", "my shop")
    folder = workshop.directory / ".config/systemd/user"
    (unit,) = folder.iterdir()
    assert unit.name == r"procman-my\x20shop.service"
    assert done.stdout == (
        f"Wrote {unit}\nNow type:\n"
        "  systemctl --user daemon-reload\n"
        "  systemctl --user enable --now 'procman-my\\x20shop.service'\n"
        "  systemctl --user status 'procman-my\\x20shop.service'\n"
        "  journalctl --user -fu 'procman-my\\x20shop.service'\n"
        "  loginctl enable-linger\n"
    )
    assert stat.S_IMODE(unit.stat().st_mode) == 0o644
    assert "--port=8000" not in unit.read_text()
    assert workshop.call("install", "systemd", "--name", "my shop", "-p", "8000").returncode == 0
    assert "--port=8000" in unit.read_text()
    assert list(folder.iterdir()) == [unit]


def test_what_it_starts_is_ready_and_stays_reachable(workshop):
    """The unit's own command line, as a shell reads it: what systemd would run."""
    workshop.procfile(PROCFILE)
    unit = keys(workshop.call("install", "systemd", "--print", "--name", "shop", "worker").stdout)
    _, _, words = unit["ExecStart"].partition(" start ")
    running = workshop.start(*words.split(" "))
    running.wait_for(r"^worker\.1 +\* ")  # no time: the journal has its own
    assert workshop.call(*unit["ExecReload"].partition(" reload ")[1:][0].split(), "--name=shop").returncode == 0
    assert "It runs already" in workshop.call("install", "systemd", "--name", "shop").stdout
    assert workshop.call("shutdown", "--name", "shop").returncode == 0
    running.finish()


@pytest.mark.parametrize("kind", ["file", "link", "directory"])
def test_what_is_not_ours_is_left_alone(workshop, kind):
    workshop.procfile(PROCFILE)
    unit = workshop.directory / ".config/systemd/user/procman-shop.service"
    unit.parent.mkdir(parents=True)
    if kind == "file":
        unit.write_text("[Service]\n")
    elif kind == "link":
        unit.symlink_to("/dev/null")  # systemctl mask
    else:
        unit.mkdir()
    before = unit.lstat()
    done = workshop.call("install", "systemd", "--name", "shop")
    assert done.returncode == 1
    assert "it is there already, and not procman's" in done.stderr
    assert (unit.lstat().st_ino, unit.lstat().st_size) == (before.st_ino, before.st_size)
    assert os.listdir(unit.parent) == [unit.name]


def test_what_cannot_be_written_says_why(tmp_path):
    (tmp_path / "systemd").write_text("a file where a folder should be")
    with pytest.raises(ProcmanError, match=r"cannot write .*(Not a directory|File exists)"):
        write(str(tmp_path / "systemd" / "procman-x.service"), MARKER)


def test_a_system_unit_has_a_user(workshop):
    workshop.procfile(PROCFILE)
    me = getpass.getuser()
    for words, env in ((["--run-as", me], {}), ([], {"SUDO_USER": me})):
        unit = keys(workshop.call("install", "systemd", "--system", "--print", *words, env=env).stdout)
        assert (unit["User"], unit["WantedBy"]) == (me, "multi-user.target")


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["upstart"], 2, "cannot install for 'upstart'"),
        ([], 2, "missing argument"),
        (["systemd", "--user", "--system"], 2, "cannot use --user with --system"),
        (["systemd", "--run-as", "root"], 2, "a user unit runs as its user"),
        (["systemd", "--system", "--run-as", "no-such-user"], 2, "there is no user 'no-such-user'"),
        (["systemd", "wbe"], 2, "did you mean 'web'?"),
        (["systemd", "-f", "Procfile.none"], 1, "not found"),
        (["systemd", "--restart", "sometimes"], 2, "not a restart policy"),
    ],
)
def test_what_could_not_start_is_not_installed(workshop, words, status, said):
    workshop.procfile(PROCFILE)
    done = workshop.call("install", *words)
    assert (done.returncode, done.stdout) == (status, "")
    assert said in done.stderr
    assert not (workshop.directory / ".config").exists()


@pytest.mark.needs("systemd-analyze")
@pytest.mark.parametrize("scope", [["--user"], ["--system", "--run-as", getpass.getuser()]])
def test_systemd_itself_finds_nothing_wrong_with_a_unit(workshop, tmp_path, scope):
    """Read by systemd, which is not run: every key known, every program there."""
    root = tmp_path / "the 50% shop"
    root.mkdir()
    (root / "Procfile").write_text(PROCFILE)
    unit = tmp_path / "shop.service"
    words = [*scope, "-d", str(root), "-e", "a b.env", "--restart", "heroku", "--timeout", "30", "web=2", "worker"]
    (root / "a b.env").write_text("A=1\n")
    shown = workshop.call("install", "systemd", "--print", *words)
    assert shown.returncode == 0, shown.stderr
    unit.write_text(shown.stdout)
    (tmp_path / "run").mkdir(mode=0o700)
    verified = subprocess.run(
        ["systemd-analyze", "verify", scope[0], str(unit)],
        env={**os.environ, "XDG_RUNTIME_DIR": str(tmp_path / "run")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (verified.returncode, verified.stderr) == (0, "")
