"""``procman server``, started for real: its listeners, its lock, its first start, what it prints, how it ends."""

import json
import os
import re
import shlex
import signal
import socket
import sqlite3
import ssl
import stat
import subprocess
import sys

import httpx
import pytest

from tests.git_server import Clone
from tests.harness import DEADLINE_S, free_port, poll
from tests.platform_server import WAIT, WEB, PlatformServer
from tests.server_faults import Words


@pytest.fixture
def server(workshop):
    server = PlatformServer(workshop)
    yield server
    server.close()


def test_the_first_start_makes_an_owner_whose_key_opens_all_three_doors(server):
    running = server.start()
    assert "Made the account " in running.text()
    assert f'eval "$(procman server env --data {server.data})"' in running.text()
    assert stat.S_IMODE((server.data / "owner.key").stat().st_mode) == 0o600
    assert stat.S_IMODE((server.data / "server.sock").stat().st_mode) == 0o600
    assert server.key not in running.text()
    trust = ssl.create_default_context(cafile=str(server.data / "tls" / "ca.pem"))
    doors = (
        {},
        {"base_url": f"https://localhost:{server.port + 1}", "verify": trust},
        {"base_url": "http://localhost", "transport": httpx.HTTPTransport(uds=str(server.data / "server.sock"))},
    )
    emails = set()
    for door in doors:
        with server.client(**door) as client:
            answer = client.get("/account")
            assert answer.headers["date"].endswith("GMT")
            emails.add(answer.json()["email"])
    assert len(emails) == 1
    assert server.stop() == 0
    assert server.start().text().count("Made the account") == 0
    assert server.stop() == 0
    server.flags += ("--owner", "me@example.com")
    (email,) = emails
    said = f"The owner is {email}, since the first start: --owner me@example.com changes nothing"
    assert said in server.start().text()


def test_what_the_start_prints_can_be_typed_wherever_the_data_lie(server):
    server.data = server.shop.directory / "it's ü"
    server.flags = ("--data", str(server.data), *server.flags[2:])
    line = next(line for line in server.start().text().splitlines() if "eval " in line)
    path = f"{os.path.dirname(sys.executable)}:{os.environ['PATH']}"
    words = ["bash", "-c", f"{line}; echo $HEROKU_HOST"]
    assert subprocess.check_output(words, env={"PATH": path}, text=True) == f"http://127.0.0.1:{server.port}\n"


def test_a_log_that_is_followed_when_the_server_stops_is_no_error_of_it(server):
    server.start()
    server.create("demo")
    said = Words(server)
    url = server.call("POST", "/apps/demo/log-sessions", {"tail": True})["logplex_url"]
    with server.client() as client, client.stream("GET", url) as answer:
        lines = answer.iter_lines()
        next(lines)
        server.running.process.terminate()
        with pytest.raises(httpx.RemoteProtocolError):  # and no whole answer
            list(lines)
    assert server.running.process.wait(DEADLINE_S) == 0
    assert said.read() == ""


def test_a_data_directory_can_be_read_from_its_first_start_on(server):
    server.start()  # what the addresses of logs are signed with is there before the disk is full
    with sqlite3.connect(f"file:{server.data}/procman.db?mode=ro", uri=True) as database:
        assert database.execute("SELECT count(*) FROM settings WHERE name = 'signing_secret'").fetchone() == (1,)


def test_a_second_server_on_the_same_data_is_refused_and_told_who_is_there(server):
    running = server.start()
    done = server.shop.call("server", "--data", str(server.data), "--port", str(free_port()), "--no-router")
    assert done.returncode == 1
    assert f"a server does already (pid {running.pid})" in done.stderr
    assert "hint:" in done.stderr
    assert server.stop() == 0


def test_ports_and_words_that_cannot_be_are_refused(server):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = server.shop.call("server", "--data", str(server.data), "--port", str(port), "--no-router")
        assert (done.returncode, done.stderr.split(": ", 1)[1].partition("\n")[0]) == (
            1, f"cannot listen on 127.0.0.1:{port}: Address already in use",
        )
    wrong = (
        "--port x", "--port 65534", "--port 5000 --router-port 5002", "--domain a_b/", "serve", "--first-port 59900",
        "--owner bad", "--owner me@", "--router-host nonsense",
    )  # fmt: skip
    for words in map(str.split, wrong):
        done = server.shop.call("server", "--data", str(server.data), *words)
        assert done.returncode == 2, done.stderr
        assert words[-1] in done.stderr
        assert "Traceback" not in done.stderr


def test_a_data_directory_whose_socket_nobody_could_call_is_refused(workshop):
    far = workshop.directory / ("deep" * 30)
    done = workshop.call("server", "--data", str(far), "--port", str(free_port()), "--no-router")
    assert done.returncode == 1
    assert "the path is too long for a socket\n" in done.stderr
    assert "a shorter --data DIR" in done.stderr


def test_ports_of_apps_begin_where_it_was_said(workshop):
    server = PlatformServer(workshop, "--first-port", str(free_port()))
    try:
        server.start()
        server.create("demo")
        server.deploy("demo", {"web": WEB})
        (dyno,) = server.roots()
        assert dyno["PORT"] == server.flags[-1]
    finally:
        server.close()


def test_env_prints_what_eval_understands_and_git_needs_nothing_else(server, tmp_path):
    server.start()
    server.create("demo")
    text = server.shop.call("server", "env", "--data", str(server.data)).stdout
    env = dict(shlex.split(line)[1].split("=", 1) for line in text.splitlines())
    assert env["HEROKU_HOST"] == f"http://127.0.0.1:{server.port}"
    assert env["HEROKU_API_KEY"] == server.key
    assert env["NODE_EXTRA_CA_CERTS"] == str(server.data / "tls" / "ca.pem")
    authority = server.shop.call("server", "ca", "--data", str(server.data)).stdout
    assert authority == (server.data / "tls" / "ca.pem").read_text()
    clone = Clone(tmp_path / "work")
    clone.env |= env
    clone.commit(Procfile="worker: sleep 1000\n")
    url = f"https://{env['HEROKU_GIT_HOST']}/demo.git"
    assert clone.git("ls-remote", url) == ""
    assert "403" not in clone.git("ls-remote", url.replace("demo", "nobodys"), status=128)
    again = server.shop.call("server", "env", "--data", str(server.data), env=env).stdout
    assert again == text
    other = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "user.name", "GIT_CONFIG_VALUE_0": "it's me"}
    kept = server.shop.call("server", "env", "--data", str(server.data), env=other).stdout
    assert "export GIT_CONFIG_COUNT=4" in kept
    assert """export GIT_CONFIG_VALUE_0='it'"'"'s me'""" in kept


def test_env_of_a_server_that_never_ran_says_so(server):
    done = server.shop.call("server", "env", "--data", str(server.data))
    assert done.returncode == 3
    assert "none has run there" in done.stderr


def test_the_end_of_the_server_lets_requests_finish_and_dynos_go_on(server):
    server.start()
    server.create("demo")
    server.deploy("demo", {"worker": WAIT})
    server.scale("demo", worker=1)
    server.wait_for_dynos("demo", worker_1="up")
    pids = server.pids("demo")
    session = server.call("POST", "/apps/demo/log-sessions", {"tail": True, "lines": 5})
    with server.client(headers={}) as client, client.stream("GET", session["logplex_url"]) as tail:
        words, seen = tail.iter_text(), ""
        while "app[worker.1]: ready\n" not in seen:
            seen += next(words)
        server.running.signal(signal.SIGTERM)
        with pytest.raises(httpx.RemoteProtocolError):  # cut off, so that nobody takes it for all there was
            seen += "".join(words)
    assert server.stop() == 0
    assert server.pids("demo") == pids
    server.start()
    assert set(server.dynos("demo")) == {"worker.1"}
    assert server.pids("demo") == pids


def test_what_a_leaving_server_starts_can_be_stopped_and_it_is_not_hurried_itself():
    script = """
import asyncio, os, signal, subprocess
from procman.server.composition import heed_no_more, watch_signals

async def leave():
    watch_signals()
    heed_no_more()
    for signum in (signal.SIGTERM, signal.SIGINT):
        os.kill(os.getpid(), signum)
    await asyncio.sleep(0)
    print(subprocess.check_output(["grep", "SigIgn", "/proc/self/status"], text=True).split()[1])

asyncio.run(leave())
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    ignored = int(done.stdout, 16)
    assert not ignored & (1 << signal.SIGTERM - 1 | 1 << signal.SIGINT - 1)


def test_a_release_that_waits_is_told_that_the_server_goes(server):
    server.start()
    server.create("demo")
    server.deploy("demo", {"web": WEB})
    slug = {"release": "sleep 1000", "web": WEB}
    release = server.release("demo", slug)
    assert release["status"] == "pending"
    assert server.stop() == 0
    server.start()
    assert server.wait_for_release("demo", release["version"]) == "failed"
    assert server.dynos("demo")["web.1"]["release"]["version"] == release["version"] - 1


def test_users_and_keys_come_and_go_by_the_command_line(server):
    server.start()
    env = {"PROCMAN_DATA": str(server.data)}

    def say(*words, status=0):
        done = server.shop.call(*words, env=env)
        assert done.returncode == status, done.stderr
        return done.stdout + done.stderr

    made = say("users:add", "dev@example.com")
    key = re.search(r"^HRKU-\S+$", made, re.MULTILINE)[0]
    listed = say("users")
    assert "dev@example.com" in listed and listed.count("admin") == 1
    with server.client() as client:
        client.headers["Authorization"] = f"Bearer {key}"
        assert client.get("/account").json()["email"] == "dev@example.com"
        assert client.get("/users").status_code == 403
    assert "already taken" in say("users:add", "dev@example.com", status=1)
    fresh = re.search(r"^Made the key (\S+),", say("keys:add", "for", "CI"), re.MULTILINE)[1]
    assert "for CI" in say("keys")
    say("keys:remove", fresh)
    assert "for CI" not in say("keys")
    say("users:remove", "dev@example.com")
    with server.client() as client:
        client.headers["Authorization"] = f"Bearer {key}"
        assert client.get("/account").status_code == 401


def test_a_lost_key_of_the_owner_is_made_anew_at_the_next_start(server):
    server.start()
    first = server.key
    assert server.stop() == 0
    (server.data / "owner.key").unlink()
    assert "Made the account" not in server.start().text()
    assert server.key != first
    assert server.call("GET", "/account")["email"].endswith("@localhost")


def test_systemd_hears_that_it_serves_lives_and_ends(server):
    path = server.shop.directory / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(path))
        manager.settimeout(DEADLINE_S)
        server.shop.env |= {"NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": "200000"}
        server.start()
        assert manager.recv(4096).decode() == f"READY=1\nSTATUS=Serving http://127.0.0.1:{server.port}"
        assert [manager.recv(4096), manager.recv(4096)] == [b"WATCHDOG=1"] * 2
        server.running.signal(signal.SIGTERM)
        while (word := manager.recv(4096)) == b"WATCHDOG=1":
            pass
        assert word == b"STOPPING=1"
        assert server.stop() == 0


def test_install_writes_a_unit_that_leaves_dynos_alone(workshop):
    done = workshop.call("server", "install", "--port", "5500", "--no-router", "--data", "/srv/pro cman")
    assert done.returncode == 0, done.stderr
    unit = workshop.directory / ".config" / "systemd" / "user" / "procman-server.service"
    text = unit.read_text()
    for line in ("Type=notify", "Restart=always", "KillMode=process", "TasksMax=infinity", "WatchdogSec=60"):
        assert f"\n{line}\n" in text
    assert re.search(r'^ExecStart=\S+ server "--data=/srv/pro cman" --port=5500 --no-router$', text, re.MULTILINE)
    assert "systemctl --user enable --now procman-server.service" in done.stdout
    unit.write_text("[Unit]\n")
    assert workshop.call("server", "install").returncode == 1
    system = workshop.call("server", "install", "--system", "--print").stdout
    assert "--data=/var/lib/procman" in system and "WantedBy=multi-user.target" in system


def test_an_app_that_was_being_destroyed_when_the_server_died_is_gone_for_good(server):
    server.start()
    app = server.create("demo")
    server.deploy("demo", {"worker": WAIT})
    server.scale("demo", worker=1)
    server.wait_for_dynos("demo", worker_1="up")
    server.kill()
    sql = f"PRAGMA foreign_keys=ON; DELETE FROM releases WHERE app_id='{app['id']}'; DELETE FROM apps"
    import sqlite3

    with sqlite3.connect(server.data / "procman.db") as db:
        db.executescript(sql)
    server.start()
    assert poll(lambda: not server.pids("demo"))
    assert not (server.data / "apps" / app["id"]).exists()
    assert server.call("GET", "/apps") == []


def test_addresses_hold_no_secret(server):
    server.start()
    told = json.loads((server.data / "addresses.json").read_text())
    assert told == {
        "api": f"http://127.0.0.1:{server.port}",
        "git": f"127.0.0.1:{server.port + 1}",
        "rendezvous": f"127.0.0.1:{server.port + 2}",
        "router": None,
    }


def test_no_secret_stands_in_any_command_line(server):
    server.start()
    server.create("demo")
    server.call("PATCH", "/apps/demo/config-vars", {"SECRET": "xyzzy-4711"})
    server.deploy("demo", {"worker": WAIT})
    server.scale("demo", worker=1)
    server.wait_for_dynos("demo", worker_1="up")
    lines = subprocess.run(["ps", "-eo", "args", "ww"], capture_output=True, text=True, check=True).stdout
    assert "supervise" in lines
    assert "xyzzy-4711" not in lines
    assert server.key not in lines
    kept = [path for path in (server.data / "apps").rglob("*") if path.is_file() and path.suffix != ".new"]
    assert any(b"xyzzy-4711" in path.read_bytes() for path in kept)
    for path in kept:
        if b"xyzzy-4711" in path.read_bytes():
            assert stat.S_IMODE(os.stat(path).st_mode) == 0o600, path


def test_a_server_whose_operator_did_not_say_so_goes_nowhere_on_its_own_host(workshop):
    server = PlatformServer(workshop, local=False)
    env = {"PROCMAN_DATA": str(server.data)}
    try:
        server.start()
        server.create("demo")
        blob = {"source_blob": {"url": f"http://localhost:{server.port}/apps"}}
        refused = server.call("POST", "/apps/demo/builds", blob, status=422)
        assert "localhost (127.0.0.1) is this host itself" in refused["message"]
        said = workshop.call("drains:add", "syslog://127.0.0.1:514", "-a", "demo", env=env)
        assert "Url is invalid: 127.0.0.1 is this host itself: only a server with" in said.stderr
    finally:
        server.close()
    unit = workshop.call("server", "install", "--print", "--allow-local-addresses").stdout
    assert " --allow-local-addresses" in unit


def as_user(uid: int, deed) -> str:
    """What ``deed`` says, in a process of another user."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.setresuid(uid, uid, uid)
            os.write(write, deed().encode())
        finally:
            os._exit(0)
    os.close(write)
    with open(read, encoding="utf-8") as file:
        said = file.read()
    os.waitpid(pid, 0)
    return said


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be two users")
def test_a_user_of_this_host_who_guesses_passwords_locks_nobody_else_out(server):
    server.start()
    server.call("PATCH", "/account", {"new_password": "correct horse"})
    owner = server.call("GET", "/account")["email"]

    eve = server.client(headers={}, auth=(owner, "guess"))

    def guess() -> str:
        answers = [eve.post("/oauth/authorizations") for _ in range(11)]
        return " ".join(str(answer.status_code) for answer in answers) + " " + answers[-1].headers["Retry-After"]

    *statuses, seconds = as_user(40_000, guess).split()
    assert statuses == ["401"] * 10 + ["429"]
    assert int(seconds) in range(1, 31)
    with server.client(headers={}, auth=(owner, "correct horse")) as client:
        assert client.post("/oauth/authorizations").status_code == 201
