"""The unmodified heroku client against the whole server, with real dynos: run, logs, logins, what needs a terminal."""

import itertools
import os
import pty
import re
import select
import subprocess
import urllib.parse
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import httpx
import pytest

from tests.api_cases import tarball
from tests.harness import DEADLINE_S, Workshop, free_port, poll
from tests.heroku_client import Client
from tests.platform_server import WAIT, WEB, PlatformServer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]  # a real server, and a second of CPU a command
PASSWORD = "correct horse"
_homes = itertools.count()


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    shop = Workshop(tmp_path_factory.mktemp("heroku"), f"{os.getpid()}-heroku")
    server = PlatformServer(shop, "--router-port", str(free_port()))
    try:
        server.start()
        server.create("demo")
        server.deploy("demo", {"web": WEB, "worker": WAIT}, {"hello": b"#!/bin/sh\necho hello $1\n"})
        server.call("POST", "/users", {"email": "ann@example.com", "password": PASSWORD})
        yield server
    finally:
        server.end_router()
        server.close()


def client_of(server, with_key=True, **env):
    """The client in a home of its own."""
    home = server.shop.directory / f"home{next(_homes)}"
    home.mkdir()
    authority = str(server.data / "tls" / "ca.pem")
    trust = {
        "NODE_EXTRA_CA_CERTS": authority,
        "GIT_SSL_CAINFO": authority,
        "HEROKU_GIT_HOST": f"127.0.0.1:{server.port + 1}",
    }
    return Client(home, f"http://127.0.0.1:{server.port}", server.key if with_key else None, **trust, **env)


class Terminal:
    """A command on a terminal of its own."""

    def __init__(self, client, *words):
        self.master, slave = pty.openpty()
        self.process = client.start(*words, stdin=slave, stdout=slave, stderr=slave, start_new_session=True)
        os.close(slave)
        self.seen = ""

    def until(self, pattern):
        """What it prints, as far as this."""
        while not (found := re.search(pattern, self.seen)):
            self.more(pattern)
        return found

    def more(self, pattern):
        ready, _, _ = select.select([self.master], [], [], DEADLINE_S)
        assert ready, f"no {pattern} in {self.seen}"
        try:
            data = os.read(self.master, 65536)
        except OSError:
            data = b""
        assert data, f"no {pattern} in {self.seen}"
        self.seen += re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", data.decode(errors="replace"))

    def type(self, text):
        os.write(self.master, text.encode())

    def ended(self):
        """Its exit status, at the end of its output."""
        while True:
            ready, _, _ = select.select([self.master], [], [], DEADLINE_S)
            assert ready, self.seen
            try:
                data = os.read(self.master, 65536)
            except OSError:
                break
            if not data:
                break
            self.seen += data.decode(errors="replace")
        return self.process.wait(DEADLINE_S)


@contextmanager
def terminal(client, *words):
    """The command, and its end at the latest with the test's."""
    opened = Terminal(client, *words)
    try:
        yield opened
    finally:
        opened.process.kill()
        opened.process.wait()
        os.close(opened.master)


def both(*jobs):
    """Run two at a time: each waits for its own command most of the time."""
    with ThreadPoolExecutor(2) as pool:
        return [job.result() for job in [pool.submit(job) for job in jobs]]


def test_run_brings_output_and_exit_status_back(server):
    client = client_of(server)
    plain, status, piped, missing = both(
        lambda: client.run("run", "-a", "demo", "--", "sh", "hello", "world"),
        lambda: client_of(server).run("run", "--exit-code", "-a", "demo", "--", "sh -c 'echo out; exit 3'"),
        lambda: client_of(server).run("run", "--no-tty", "-a", "demo", "--", "tr a-z A-Z", stdin=b"shout\n"),
        lambda: client_of(server).run("run", "--exit-code", "-a", "demo", "--", "no-such-command"),
    )
    assert (plain.status, plain.out) == (0, "hello world")
    assert (status.status, status.out) == (3, "out")
    assert (piped.status, piped.out) == (0, "SHOUT")
    assert missing.status == 127


def test_run_on_a_terminal_is_a_shell_to_type_into(server):
    with terminal(client_of(server), "run", "bash", "-a", "demo") as shell:
        shell.until(r"[$#] ")
        shell.type("stty size; test -t 0 && echo $DYNO\n")
        name = shell.until(r"run\.\d{4}\s")[0].strip()
        shell.type("exit\n")
        assert shell.ended() == 0
    lines = client_of(server).run("logs", "-a", "demo", "--dyno-name", name).out
    assert "State changed from up to complete" in lines


def test_a_detached_run_is_seen_in_the_log_and_tail_goes_on(server):
    with terminal(client_of(server), "logs", "--tail", "-n", "1", "-a", "demo") as tail:
        tail.until("demo|app|heroku")
        said = client_of(server).run("run:detached", "-a", "demo", "--", "sh", "hello", "detached")
        assert (said.status, "done, run.N" in said.err) == (0, True)
        tail.until(r"app\[run\.\d{4}\]: hello detached")
        tail.until(r"heroku\[run\.\d{4}\]: State changed from \w+ to complete")


def test_scaling_restarting_and_waiting_act_on_real_dynos(server):
    client = client_of(server)
    assert client.run("ps:scale", "worker=2", "-a", "demo").err.endswith("now running worker at 2:Basic")
    assert client.run("ps:wait", "-a", "demo").status == 0
    found = server.wait_for_dynos("demo", web_1="up", worker_1="up", worker_2="up")
    listed = client.run("ps", "-a", "demo").out
    assert [line.split(":")[0] for line in listed.splitlines() if ": up" in line] == ["web.1", "worker.1", "worker.2"]
    assert client.run("ps:restart", "-d", "worker.1", "-a", "demo").status == 0
    before = found["worker.1"]["id"]

    def replaced():
        now = server.dynos("demo").get("worker.1", {})
        return now.get("id") != before and now.get("state") == "up"

    poll(replaced)


def test_config_vars_are_edited_in_an_editor(server):
    client = client_of(server)
    server.create("edited")
    server.call("PATCH", "/apps/edited/config-vars", {"GREETING": "hello"})
    edit = client.home / "edit"
    edit.write_text("#!/bin/sh\nsed -i s/hello/goodbye/ $1\n")
    edit.chmod(0o755)
    client.env["EDITOR"] = str(edit)
    with terminal(client, "config:edit", "-a", "edited") as editing:
        editing.until(r"\(y/N\)")
        editing.type("y\r")
        assert editing.ended() == 0
    assert server.call("GET", "/apps/edited/config-vars")["GREETING"] == "goodbye"


def test_login_by_password_and_logout_leave_no_key_behind(server):
    client = client_of(server, with_key=False)
    with terminal(client, "login", "-i") as login:
        login.until("Email")
        login.type("ann@example.com\r")
        login.until("Password")
        login.type(f"{PASSWORD}\r")
        login.until("Logged in as ann@example.com")
        assert login.ended() == 0
    assert client.run("auth:whoami").out == "ann@example.com"
    key = client.run("auth:token").out
    assert key == "KEY"
    assert client.run("logout").status == 0
    assert client.run("auth:whoami").status == 100
    listed = server.call("GET", "/changes")
    assert [each["action"] for each in listed if each["user"]["email"] == "ann@example.com"][-2:] == [
        "create authorization", "revoke authorization",
    ]


def test_login_in_a_browser_ends_the_clients_wait(server):
    client = client_of(server, with_key=False, HEROKU_TESTING_HEADLESS_LOGIN="1", BROWSER="true")
    with terminal(client, "login") as login:
        login.until("Press any key")
        login.type("b")
        url = login.until(r"(http://127\.0\.0\.1:\d+/auth/browser/[\w-]+)")[1]
        opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
        page = opener.open(url).read().decode()
        fields = {"form": re.search('name="form" value="([^"]+)"', page)[1], "email": "ann@example.com"}
        data = urllib.parse.urlencode({**fields, "password": PASSWORD}).encode()
        assert "Logged in" in opener.open(url, data).read().decode()
        login.until("Logged in as ann@example.com")
        assert login.ended() == 0
    assert client.run("sessions", "--json").out.count('"id"') == 1


def test_open_shows_the_apps_page_in_the_browser_of_the_user(server):
    client = client_of(server)
    told, browser = client.home / "told", client.home / "browser"
    os.mkfifo(told)
    browser.write_text(f'#!/bin/sh\necho "$1" > {told}\n')
    browser.chmod(0o755)
    client.env["BROWSER"] = str(browser)
    with open(os.open(told, os.O_RDONLY | os.O_NONBLOCK)) as shown:
        said = client.run("open", "hello", "-a", "demo")
        assert select.select([shown], [], [], DEADLINE_S)[0]
        url = urllib.parse.urlsplit(shown.readline().strip())
    assert (said.status, said.out) == (0, f"Opening {url.geturl()}...")
    assert url.geturl() == server.call("GET", "/apps/demo")["web_url"] + "hello"
    address = f"http://127.0.0.1:{url.port}{url.path}"
    page = httpx.get(address, headers={"Host": url.netloc}, trust_env=False, timeout=DEADLINE_S)
    assert (page.status_code, page.content) == (200, b"#!/bin/sh\necho hello $1\n")


def test_a_source_is_built_and_released(server):
    server.create("built")
    blob = server.call("POST", "/apps/built/sources")["source_blob"]
    packed = tarball({"Procfile": f"worker: {WAIT}\n".encode(), "package.json": b'{"name": "x", "version": "1.0.0"}'})
    with server.client() as client:
        assert client.put(blob["put_url"], content=packed).status_code == 200
    build = server.call("POST", "/apps/built/builds", {"source_blob": {"url": blob["get_url"], "version": "1a2b3c4d"}})
    with server.client() as client:
        output = client.get(build["output_stream_url"], headers={"Authorization": ""}).text
    shown = server.call("GET", f"/apps/built/builds/{build['id']}")
    assert shown["status"] == "succeeded", output
    assert "Procfile declares types" in output
    assert client_of(server).run("releases", "-a", "built").out.count("Deploy 1a2b3c4d") == 1


def test_a_clone_of_an_app_without_code_is_an_empty_repository(server):
    client = client_of(server)
    server.create("empty")
    said = client.run("git:clone", "-a", "empty")
    assert said.status == 0, said
    remote = subprocess.run(
        ["git", "remote", "get-url", "heroku"], cwd=client.home / "empty", capture_output=True, text=True, check=True
    )
    assert remote.stdout.strip() == f"https://127.0.0.1:{server.port + 1}/empty.git"
