"""Each service manager's files as its own reader reads them: launchd, systemd, supervisord, Upstart, runit."""

import json
import plistlib
import re
import shlex
import signal
import subprocess
import sys

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from supervisor.options import ServerOptions

from procman.errors import ProcmanError
from procman.export.quoting import ini_plain, one_line
from tests import upstart
from tests.exported import COMMANDS, NASTY, TEXTS, USER, exported, process
from tests.test_install import unquoted

READ_BACK = [sys.executable, "-c", "import json, os, sys; print(json.dumps([dict(os.environ), sys.argv[1:]]))"]


def said_by(shell_text: str) -> tuple[dict[str, str], list[str]]:
    """What a program is given that a piece of shell script ends in, when started with an empty environment."""
    done = subprocess.run(["/bin/sh", "-e", "-c", shell_text], env={}, capture_output=True, text=True, check=True)
    env, words = json.loads(done.stdout)
    return without_the_shells(env), words


def without_the_shells(env: dict[str, str]) -> dict[str, str]:
    return {key: value for key, value in env.items() if key not in {"PWD", "SHLVL", "_", "LC_CTYPE", "OLDPWD"}}


def with_reader(script: str) -> str:
    """A script whose dyno's shell is a program that tells what it was given."""
    return f'reader() {{ exec {shlex.join(READ_BACK)} "$@"; }}\n{script}'


# -- launchd ------------------------------------------------------------------------------------------------


def test_launchd_reads_the_property_list():
    env = {key: value for key, value in NASTY.items() if key != "CONTROL"}
    files = exported("launchd", process(env=env, cmd="app <&> $PORT"))
    job = plistlib.loads(files["shop.web-1.plist"].encode())
    assert job == {
        "Label": "shop.web-1",
        "ProgramArguments": ["/bin/sh", "-c", "app <&> $PORT"],
        "WorkingDirectory": "/srv/shop",
        "UserName": USER,
        "EnvironmentVariables": {**env, "PORT": "5000", "DYNO": "web.1", "PS": "web.1"},
        "RunAtLoad": True,
        "KeepAlive": True,
        "ThrottleInterval": 1,
        "ExitTimeOut": 30,
        "StandardOutPath": "/var/log/shop/web-1.log",
        "StandardErrorPath": "/var/log/shop/web-1.log",
    }
    with pytest.raises(ProcmanError, match="cannot hold control characters"):
        exported("launchd", process(env={"A": "\x07"}))


LAUNCHD = {  # launchd.plist(5): what keys a daemon of this kind may have, and of which type
    "Label": str, "Disabled": bool, "UserName": str, "GroupName": str, "InitGroups": bool, "Program": str,
    "ProgramArguments": list, "WorkingDirectory": str, "RootDirectory": str, "EnvironmentVariables": dict,
    "Umask": int, "RunAtLoad": bool, "KeepAlive": (bool, dict), "ThrottleInterval": int, "TimeOut": int,
    "ExitTimeOut": int, "StartInterval": int, "StandardInPath": str, "StandardOutPath": str, "StandardErrorPath": str,
    "Nice": int, "ProcessType": str, "AbandonProcessGroup": bool, "SoftResourceLimits": dict,
    "HardResourceLimits": dict, "LowPriorityIO": bool, "SessionCreate": bool,
}  # fmt: skip


@settings(max_examples=40)
@given(TEXTS, COMMANDS, st.integers(1, 10_000))
def test_any_property_list_has_only_launchds_keys_of_launchds_types(value, command, grace):
    if re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f]", value):
        return  # refused, see above
    files = exported("launchd", process(env={"V": value}, cmd=command, grace=grace), process("my_worker"))
    for path, text in files.items():
        job = plistlib.loads(text.encode(), fmt=plistlib.FMT_XML)
        for key, found in job.items():
            assert isinstance(found, LAUNCHD[key]), key
            assert isinstance(found, bool) == (LAUNCHD[key] in (bool, (bool, dict))), key
        assert path == f"{job['Label']}.plist"
        assert all(isinstance(word, str) for word in (*job["ProgramArguments"], *job["EnvironmentVariables"].values()))
        assert job["ProgramArguments"][0].startswith("/")  # there is no PATH yet to look along
        assert job["ExitTimeOut"] > 0  # 0 would be for ever
    first = plistlib.loads(files["shop.web-1.plist"].encode())
    assert first["EnvironmentVariables"]["V"] == value
    assert first["ProgramArguments"] == ["/bin/sh", "-c", command]


# -- systemd ------------------------------------------------------------------------------------------------


@pytest.mark.needs("systemd-analyze")
def test_systemd_finds_nothing_wrong(tmp_path):
    dynos = [process(env=NASTY), process(number=2), process("my_worker", needs=("web",))]
    files = exported("systemd", *dynos, app_root=str(tmp_path))
    for path, text in files.items():
        (tmp_path / path).write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", *files], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert len(files) == 1 + 2 + 3


def test_a_unit_is_restarted_always_and_has_its_grace():
    unit = exported("systemd", process(grace=45))["shop-web-1.service"].splitlines()
    wanted = {"Restart=always", "TimeoutStopSec=45", "KillMode=control-group", "StartLimitIntervalSec=0"}
    assert wanted <= set(unit)
    assert "TimeoutStopSec=30" in exported("systemd", process())["shop-web-1.service"]


@given(TEXTS, COMMANDS)
@example("\n", "x")
def test_any_value_comes_through_a_unit(value, command):
    unit = exported("systemd", process(env={"V": value}, cmd=command))["shop-web-1.service"]
    (line,) = re.findall(r'^Environment=("?V=.*)$', unit, re.MULTILINE)
    assert unquoted(line) == f"V={value}"
    (line,) = re.findall(r"^ExecStart=/bin/sh -c (.*)$", unit, re.MULTILINE)
    assert unquoted(line).replace("$$", "$") == command


# -- supervisord, upstart, runit ----------------------------------------------------------------------------


def programs(tmp_path, text: str) -> dict:
    """The programs as supervisord's own reader makes them."""
    (tmp_path / "shop.conf").write_text(text, encoding="utf-8")
    (tmp_path / "main.conf").write_text("[supervisord]\nnodaemon=true\n[include]\nfiles=shop.conf\n")
    options = ServerOptions()
    options.realize(["-c", str(tmp_path / "main.conf")])
    return {one.name: one for group in options.process_group_configs for one in group.process_configs}


def read_by_supervisord(tmp_path, env, command) -> tuple[dict[str, str], list[str]]:
    """What supervisord would start, started: environment, and what the shell is given."""
    text = exported(
        "supervisord", process(env=env, cmd=command), shell="/shell", log=str(tmp_path), app_root=str(tmp_path)
    )["shop.conf"]
    program = programs(tmp_path, text)["web-1"]
    words = shlex.split(program.command)
    at = words.index("/shell")
    done = subprocess.run(
        [*words[:at], *READ_BACK, *words[at:]], env=program.environment, capture_output=True, text=True, check=True
    )
    found, arguments = json.loads(done.stdout)
    return without_the_shells(found), arguments


def test_supervisord_reads_the_program_as_it_was_meant(tmp_path):
    files = exported(
        "supervisord",
        process(env=NASTY, cmd="app ; # $PORT %(x)s 'q'", grace=45, stop_signal="SIGINT"),
        process("my_worker"),
        log=str(tmp_path),
        app_root=str(tmp_path),
    )
    found = programs(tmp_path, files["shop.conf"])
    assert set(found) == {"web-1", "my_worker-1"}
    web = found["web-1"]
    assert (web.autorestart is not False, web.stopwaitsecs, web.stopsignal) == (True, 45, 2)
    assert (web.stopasgroup, web.killasgroup) == (True, True)
    assert found["my_worker-1"].stopwaitsecs == 30
    assert "PROCMAN_ENV" not in found["my_worker-1"].environment


def test_every_value_comes_through_supervisord(tmp_path):
    env, words = read_by_supervisord(tmp_path, NASTY, "app ; # $PORT %(x)s %(here)s 'q' \\")
    assert env == {**NASTY, "PORT": "5000", "DYNO": "web.1", "PS": "web.1"}
    assert words == ["/shell", "-c", "app ; # $PORT %(x)s %(here)s 'q' \\"]


@settings(max_examples=40)
@given(st.lists(TEXTS, min_size=4, max_size=4), COMMANDS)
@example([" ; ", "\u3000# x", "'", '"'], "x \u3000; # y")
def test_any_value_comes_through_supervisord(tmp_path_factory, values, command):
    wanted = {f"V{number}": value for number, value in enumerate(values)}
    env, words = read_by_supervisord(tmp_path_factory.mktemp("conf"), wanted, command)
    assert wanted.items() <= env.items()
    assert "PROCMAN_ENV" not in env
    assert words == ["/shell", "-c", command]


def test_what_supervisord_cannot_be_told_is_refused():
    assert ini_plain("a;b#c") and not ini_plain("a ;b")
    for path in ("/srv/a ;b", "/srv/a ", "/srv/a\nb", "/srv/%(here)s"):
        with pytest.raises(ProcmanError, match="supervisord cannot read the path"):
            exported("supervisord", process(), app_root=path)
    with pytest.raises(ProcmanError, match="cannot hold control characters"):
        exported("supervisord", process(cmd="a\x07b"))


@settings(max_examples=40)
@given(st.lists(TEXTS, min_size=4, max_size=4), TEXTS.map(lambda text: "x" + text))
@example(["\n", "\n\n", "end script\n", "a\nend script"], "x")
def test_any_value_comes_through_upstart_and_runit(values, command):
    wanted = {f"V{number}": value for number, value in enumerate(values)}
    dyno = process(env=wanted, cmd=command)
    own = {**wanted, "PORT": "5000", "DYNO": "web.1", "PS": "web.1"}
    job = exported("upstart", dyno, shell="reader", app_root="/")["shop-web-1.conf"]
    script = upstart.parse(job)["script"]
    env, words = said_by(with_reader(script.replace("exec reader", "reader")))
    assert own.items() <= env.items()
    assert words == ["-c", command]
    run = exported("runit", dyno, shell="reader", app_root="/")["shop-web-1/run"]
    env, words = said_by(with_reader(run.replace("exec chpst -P \"$@\"", '"$@"').replace("exec 2>&1\n", "")))
    assert own.items() <= env.items()
    assert words == ["-c", command]


def test_upstart_would_take_every_job_and_starts_each_with_its_group():
    dynos = [process(env=NASTY, grace=45, stop_signal="SIGINT"), process(number=2), process("my_worker")]
    jobs = {path.removesuffix(".conf"): upstart.parse(text) for path, text in exported("upstart", *dynos).items()}
    assert set(jobs) == {"shop", "shop-web", "shop-my_worker", "shop-web-1", "shop-web-2", "shop-my_worker-1"}
    assert (jobs["shop"]["start on"], jobs["shop"]["stop on"]) == ([["runlevel", "[2345]"]], [["runlevel", "[!2345]"]])
    for name, job in jobs.items():
        above = name.rpartition("-")[0]
        assert name == "shop" or (job["start on"], job["stop on"]) == ([["starting", above]], [["stopping", above]])
    web = jobs["shop-web-1"]
    wanted = {
        "respawn": True, "respawn limit": ["unlimited"], "kill timeout": 45, "kill signal": signal.SIGINT,
        "setuid": USER, "console": "log", "env": {},
    }  # fmt: skip
    assert {key: value for key, value in web.items() if key in wanted} == wanted
    assert set(web) == {*wanted, "start on", "stop on", "script"}
    assert web["script"].splitlines()[-1].startswith("  exec /bin/sh -c ")


@pytest.mark.parametrize(
    "text",
    [
        "respawns", "respawn limit 10", "kill timeout soon", "kill signal SIGNONE", "console syslog", "start on",
        "start on a and", "start on (a", "script\n  exec app", "env A", 'setuid "deploy', "exec a\nscript\nend script",
        "respawn\nrespawn",
    ],
)  # fmt: skip
def test_what_upstart_would_not_take_is_found_by_the_reader(text):
    with pytest.raises((ValueError, KeyError)):
        upstart.parse(text)


def test_runit_services_have_their_grace():
    assert "left=45" in exported("runit", process(grace=45))["shop-web-1/control/t"]
    assert one_line("a\nb") == "'a'\"$NL\"'b'"
