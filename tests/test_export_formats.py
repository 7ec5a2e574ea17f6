"""Each format as its own reader reads it: schemas, systemd, supervisord's parser, real shells; and any value at all."""

import json
import os
import plistlib
import pwd
import re
import shlex
import signal
import subprocess
import sys

import kubernetes_validate
import pytest
import yaml
from compose_spec import PyCompose
from hypothesis import example, given, settings
from hypothesis import strategies as st
from supervisor.options import ServerOptions

from procman.core.health import Checks, Probe
from procman.errors import ProcmanError
from procman.export.processes import Process
from procman.export.quoting import ini_plain, label, one_line
from procman.export.rendering import render
from tests import upstart
from tests.test_install import unquoted

USER = pwd.getpwuid(os.geteuid()).pw_name
SPECIAL = "'\"\\$%;# \n\t\r`!{}[]()*~=,:&|<>-0aé\u20ac\U0001f600\x85\u2028\ufeff\x7f\x01"
TEXTS = st.text(
    st.one_of(st.sampled_from(SPECIAL), st.characters(exclude_categories=["Cs"], exclude_characters="\0")), max_size=30
)
COMMANDS = TEXTS.map(lambda text: "x" + re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]", " ", text))
NASTY = {
    "PLAIN": "simple",
    "EMPTY": "",
    "QUOTES": "it's \"here\"",
    "ENDS": "'both'",
    "PERCENT": "100% %(here)s %h %%",
    "DOLLARS": "$HOME ${HOME} $(id) $$",
    "COMMENT": "a ; b # c",
    "NEWLINES": "one\ntwo\n\n",
    "BLANKS": " before and after ",
    "BACKSLASH": "a\\b\\n\\",
    "UNICODE": "café € 😀",
    "CONTROL": "tab\tbell\x07escape\x1b",
    "NO": "off",
    "BRACES": "{{ jinja }} {% raw %} [a] *x &y !z",
}
READ_BACK = [sys.executable, "-c", "import json, os, sys; print(json.dumps([dict(os.environ), sys.argv[1:]]))"]


def process(kind="web", number=1, env=None, cmd="exec app", **more) -> Process:
    port = 5000 + number - 1
    own = {"PORT": str(port), "DYNO": f"{kind}.{number}", "PS": f"{kind}.{number}"}
    return Process(f"{kind}.{number}", cmd, False, {**(env or {}), **own}, kind, port, **more)


def exported(name: str, *processes: Process, **context) -> dict[str, str]:
    known = {"app": "shop", "app_root": "/srv/shop", "log": "/var/log/shop", "shell": "/bin/sh", "user": USER}
    files = render(name, None, processes, {**known, "image": None, "given_user": None, **context})
    return {file.path: file.content for file in files}


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


# -- kubernetes ---------------------------------------------------------------------------------------------


def manifests(files: dict[str, str]) -> list[dict]:
    found = [document for text in files.values() for document in yaml.safe_load_all(text)]
    for document in found:
        kubernetes_validate.validate(document, "1.32", strict=True)
    return found


def test_kubernetes_manifests_are_what_the_published_schemas_want():
    web = [process(number=number, env=NASTY, cmd="app $(X) $PORT", grace=45) for number in (1, 2)]
    worker = process("worker", env=NASTY, memory=512 << 20)
    secret, deployment, service, other = manifests(exported("kubernetes", *web, worker))
    assert (secret["kind"], secret["stringData"]) == ("Secret", NASTY)
    pod = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert deployment["spec"]["replicas"] == 2
    assert (pod["restartPolicy"], pod["terminationGracePeriodSeconds"]) == ("Always", 45)
    assert container["args"] == ["/bin/sh", "-c", "app $$(X) $$PORT"]
    assert container["envFrom"] == [{"secretRef": {"name": secret["metadata"]["name"]}}]
    assert container["env"][0] == {"name": "PORT", "value": "5000"}
    assert container["ports"] == [{"name": "http", "containerPort": 5000}]
    assert container["readinessProbe"]["tcpSocket"] == {"port": "http"}
    assert service["spec"]["selector"].items() <= deployment["spec"]["template"]["metadata"]["labels"].items()
    assert service["spec"]["ports"] == [{"name": "http", "port": 80, "targetPort": "http"}]
    assert other["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] == 30
    (container,) = other["spec"]["template"]["spec"]["containers"]
    assert "ports" not in container
    assert container["resources"] == {"limits": {"memory": str(512 << 20)}}


def test_kubernetes_asks_as_app_json_says_and_runs_as_a_number():
    web = process(checks=Checks(Probe(http='/he"alth', timeout=2.5), Probe(command="test $PORT"), 90, 7, 4))
    _, deployment, _ = manifests(exported("kubernetes", web, given_user="1000", image="shop:42"))
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert container["readinessProbe"]["httpGet"] == {"path": '/he"alth', "port": "http"}
    assert (container["startupProbe"]["failureThreshold"], container["startupProbe"]["timeoutSeconds"]) == (90, 3)
    assert container["livenessProbe"] == {
        "exec": {"command": ["/bin/sh", "-c", "test $$PORT"]},
        "timeoutSeconds": 5, "periodSeconds": 7, "failureThreshold": 4,
    }  # fmt: skip
    assert deployment["spec"]["template"]["spec"]["securityContext"] == {"runAsUser": 1000}
    assert container["image"] == "shop:42"


def test_kubernetes_asks_a_worker_only_where_that_was_said():
    files = exported(
        "kubernetes",
        process("job", checks=Checks(ready=Probe(http="/up"))),
        process("notifier", checks=Checks(Probe(notify=True), Probe(notify=True))),
    )
    _, job, notifier = manifests(files)
    (container,) = job["spec"]["template"]["spec"]["containers"]
    assert container["readinessProbe"]["httpGet"] == {"path": "/up", "port": "http"}
    assert container["ports"] == [{"name": "http", "containerPort": 5000}]
    (container,) = notifier["spec"]["template"]["spec"]["containers"]
    assert not [key for key in container if "Probe" in key]


def test_pods_are_replaced_when_a_value_changes():
    def version(env):
        _, deployment, _ = manifests(exported("kubernetes", process(env=env)))
        return deployment["spec"]["template"]["metadata"]["annotations"]["procman/env-version"]

    assert version({"A": "1"}) == version({"A": "1"}) != version({"A": "2"})


def test_a_secret_may_be_empty():
    secret, *_ = manifests(exported("kubernetes", process()))
    assert secret["stringData"] == {}


@settings(max_examples=40)
@given(TEXTS)
def test_any_value_comes_through_yaml(value):
    secret = yaml.safe_load(exported("kubernetes", process(env={"V": value}))["shop-env.yaml"])
    assert secret["stringData"]["V"] == value
    (service,) = composed(exported("compose", process(env={"V": value}, cmd=f"x{value}")))
    assert service["environment"]["V"] == value
    assert service["command"] == ["/bin/sh", "-c", f"x{value}"]


@pytest.mark.parametrize(("name", "made"), [("Web_x.1", "web-x-1"), ("-a-", "a"), ("a" * 63, "a" * 63)])
def test_names_as_dns_has_them(name, made):
    assert label(name) == made


@pytest.mark.parametrize("name", ["___", "a" * 64])
def test_names_that_dns_cannot_have_are_refused(name):
    with pytest.raises(ProcmanError, match="makes no name"):
        exported("kubernetes", process(), app=name)


# -- compose and launchd ------------------------------------------------------------------------------------


def composed(files: dict[str, str]) -> list[dict]:
    """The services, by the specification's own types, with ``$$`` as Compose reads it."""
    text = files["compose.yaml"]
    spec = PyCompose.from_yaml(text).to_spec()
    found = yaml.safe_load(text)["services"]
    assert set(spec.services) == set(found)

    def read(value):
        if isinstance(value, dict):
            return {key: read(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [read(inner) for inner in value]
        assert not isinstance(value, str) or not re.search(r"(?<!\$)(\$\$)*\$(?!\$)", value)
        return value.replace("$$", "$") if isinstance(value, str) else value

    return [read(service) for service in found.values()]


def test_compose_has_a_service_for_each_dyno():
    web = [process(number=number, env=NASTY, cmd="app $PORT") for number in (1, 2)]
    first, second, worker = composed(exported("compose", *web, process("worker", memory=1 << 20), given_user="1:2"))
    assert first == {
        "image": "shop",
        "build": "/srv/shop",
        "command": ["/bin/sh", "-c", "app $PORT"],
        "user": "1:2",
        "environment": {**NASTY, "PORT": "5000", "DYNO": "web.1", "PS": "web.1"},
        "ports": ["5000:5000"],
        "restart": "always",
        "stop_grace_period": "30s",
        "stop_signal": "SIGTERM",
    }
    assert (second["environment"]["DYNO"], second["ports"]) == ("web.2", ["5001:5001"])
    assert "ports" not in worker
    assert worker["mem_limit"] == f"{1 << 20}b"


def test_compose_asks_and_orders_as_the_settings_say():
    checks = Checks(ready=Probe(command="test $PORT", timeout=2.5), within=20, every=7, failures=4)
    database, web = composed(exported("compose", process("db", checks=checks), process(needs=("db",))))
    assert database["healthcheck"] == {
        "test": ["CMD", "/bin/sh", "-c", "test $PORT"],
        "interval": "7s", "timeout": "3s", "retries": 4, "start_period": "20s",
    }  # fmt: skip
    assert web["depends_on"] == ["db-1"]
    assert "depends_on" not in database


def test_an_image_that_is_named_is_not_built():
    (service,) = composed(exported("compose", process(), image="registry.example.com/shop:42"))
    assert service["image"] == "registry.example.com/shop:42"
    assert "build" not in service


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
