"""The API over a real socket, against what a stranger may send: it answers in its own shape, and goes on."""

import http.client
import json
import os
import socket
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.heroku_client import served
from tests.proc import command

VERSION = "application/vnd.heroku+json; version=3"
SECRET = "correct-horse-battery"
HASTY_S = 0.4  # for a request's head, where that is what a test is about


class Server:
    """One that has an app ``demo`` with a secret config var."""

    def __init__(self, url, key):
        self.address = urlsplit(url).hostname, urlsplit(url).port
        self.key = key

    def ask(self, method, path, body=None, encoded=True, **headers):
        """Status, headers and parsed body of one request."""
        connection = http.client.HTTPConnection(*self.address, timeout=60)
        if encoded and body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
        try:
            connection.putrequest(method, path, skip_accept_encoding=True)
            sent = {"Authorization": f"Bearer {self.key}", "Accept": VERSION, **headers}
            if body is not None:
                sent.setdefault("Content-Length", str(len(body)))
            for name, value in sent.items():
                connection.putheader(name, value)
            connection.endheaders(body)
            answer = connection.getresponse()
            text = answer.read()
            assert answer.getheader("Content-Type") == "application/json", text
            return answer.status, answer, json.loads(text) if text else None
        finally:
            connection.close()

    def refuses(self, method, path, status, identity, body=None, **headers):
        """It says no, in Heroku's shape."""
        got, answer, said = self.ask(method, path, body, **headers)
        assert (got, said["id"]) == (status, identity), said
        assert set(said) <= {"id", "message", "resource"}
        assert said["message"]
        return answer

    def raw(self, data, wait=True):
        """Bytes sent as they are, and all that comes back until the server closes."""
        with socket.create_connection(self.address, timeout=60) as connection:
            connection.sendall(data)
            if not wait:
                return b""
            got = b""
            while chunk := connection.recv(65536):
                got += chunk
            return got

    def works(self):
        """It goes on."""
        assert self.ask("GET", "/apps/demo")[0] == 200
        return True


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with begun(tmp_path_factory) as server:
        yield server


@pytest.fixture(scope="module")
def hasty(tmp_path_factory):
    with begun(tmp_path_factory, HEADERS_S=str(HASTY_S)) as server:
        yield server


@contextmanager
def begun(tmp_path_factory, **env):
    with served("-m", "tests.fake_server", str(tmp_path_factory.mktemp("api")), **env) as told:
        server = Server(told["url"], told["key"])
        assert server.ask("POST", "/apps", {"name": "demo"})[0] == 201
        assert server.ask("PATCH", "/apps/demo/config-vars", {"PASSWORD": SECRET})[0] == 200
        yield server


@pytest.mark.parametrize(
    "body",
    [
        b"{", b"nonsense", b"\xff\xfe", b'{"name": "a" "b"}', b'{"name": NaN}', b'{"quantity": Infinity}',
        b"[" * 100_000, b'{"a":' * 50_000, b'{"name": "\\ud800"}', b"1" * 10_000, b"\0",
    ],
    ids=lambda body: repr(body[:12]),
)
def test_a_body_that_is_no_json_is_refused(server, body):
    server.refuses("POST", "/apps", 400, "bad_request", body)
    assert server.works()


@pytest.mark.parametrize("body", [b"[]", b'"text"', b"5", b"true"])
def test_a_body_that_is_no_object_is_refused(server, body):
    server.refuses("POST", "/apps", 400, "bad_request", body)


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/apps", {"name": 5}), ("POST", "/apps", {"name": "a\0b"}), ("POST", "/apps", {"name": "-x"}),
        ("POST", "/apps", {"name": "x" * 31}), ("POST", "/apps", {"name": "../etc"}),
        ("POST", "/apps", {"name": ["a"]}),
        ("PATCH", "/apps/demo", {"maintenance": "yes"}), ("PATCH", "/apps/demo/config-vars", {"A B": "x"}),
        ("PATCH", "/apps/demo/config-vars", {"A": 5}), ("PATCH", "/apps/demo/config-vars", {"A": {"b": 1}}),
        ("PATCH", "/apps/demo/formation", {"updates": "x"}), ("PATCH", "/apps/demo/formation", {"updates": [5]}),
        ("POST", "/apps/demo/dynos", {}), ("POST", "/apps/demo/dynos", {"command": 5}),
        ("POST", "/apps/demo/releases", {}), ("POST", "/apps/demo/builds", {}),
        ("POST", "/apps/demo/builds", {"source_blob": {"url": "file:///etc/passwd"}}),
        ("POST", "/apps/demo/log-drains", {"url": 5}), ("POST", "/apps/demo/collaborators", {"user": None}),
    ],
    ids=str,
)
def test_values_of_the_wrong_kind_are_refused(server, method, path, body):
    server.refuses(method, path, 422, "invalid_params", body)


def test_huge_bodies_are_refused_however_they_come(server):
    server.refuses("POST", "/apps", 413, "payload_too_large", b'{"name": "' + b"x" * (2 << 20) + b'"}')
    chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
    head = f"POST /apps HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {server.key}\r\nTransfer-Encoding: chunked\r\n\r\n"
    got = server.raw(head.encode() + chunk * 40 + b"0\r\n\r\n")
    assert b" 413 " in got.split(b"\r\n")[0]
    assert b'"id":"payload_too_large"' in got
    assert server.works()


def test_an_unknown_version_is_refused_and_its_variants_are_not(server):
    kind = "application/vnd.heroku+json"
    for accept in (f"{kind}; version=2", kind, f"{kind};version=4"):
        server.refuses("GET", "/apps", 406, "not_acceptable", Accept=accept)
    for accept in (f"{VERSION}.sdk", "application/vnd.heroku+json;version=3.webhooks", "*/*", "", "text/html"):
        assert server.ask("GET", "/apps", Accept=accept)[0] == 200


def test_wrong_methods_and_paths_are_refused(server):
    for method in ("PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "NONSENSE"):
        server.refuses(method, "/apps", 405, "method_not_allowed")
    for path in ("/", "/nonsense", "/apps/demo/nonsense", "//apps", "/apps//dynos", "/apps/demo/dynos/web.1/x/y/z"):
        server.refuses("GET", path, 404, "not_found")


@pytest.mark.parametrize(
    "name", ["..", ".", "%2e%2e", "..%2f..%2fetc%2fpasswd", "demo%2F..%2Fdemo", "d%C3%A9mo", "%F0%9F%98%80", "demo%20",
             "' OR 1=1 --".replace(" ", "%20"), "DEMO", "a" * 5000]
)  # fmt: skip
@pytest.mark.parametrize("rest", ["", "/config-vars", "/dynos"])
def test_tricks_in_the_name_of_an_app_find_no_app(server, name, rest):
    server.refuses("GET", f"/apps/{name}{rest}", 404, "not_found")


@pytest.mark.parametrize("name", ["%00", "demo%00", "%ff", "%c0%ae%c0%ae", "de%ed%a0%80mo"])
def test_paths_that_are_no_text_are_refused(server, name):
    server.refuses("GET", f"/apps/{name}", 400, "bad_request")


def test_a_flood_of_headers_is_cut_off(server):
    flood = b"GET /apps HTTP/1.1\r\nHost: x\r\n" + b"X-%d: y\r\n" * 90_000 % tuple(range(90_000)) + b"\r\n"
    for data in (flood, b"GET /apps HTTP/1.1\r\nX: " + b"y" * 900_000, b"nonsense\r\n\r\n", b"GET / HTTP/9\r\n\r\n"):
        try:
            check_refused(server.raw(data))
        except ConnectionError:  # who still sends when the server hangs up may see that instead of the answer
            assert len(data) > 500_000
    assert server.works()


def check_refused(got):
    """A 400 in the API's shape."""
    head, _, body = got.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 "), got
    assert b"application/json" in head
    assert json.loads(body)["id"] == "bad_request"


@pytest.mark.parametrize("sent", [b"", b"GET /apps HT", b"GET /apps HTTP/1.1\r\nHost: x\r\n"])
def test_who_does_not_finish_the_headers_is_hung_up_on(hasty, sent):
    assert hasty.raw(sent) == b""


def test_a_slow_body_keeps_nobody_else_waiting(server):
    with socket.create_connection(server.address, timeout=60) as slow:
        head = f"POST /apps HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {server.key}\r\nContent-Length: 20\r\n\r\n"
        slow.sendall(head.encode() + b'{"na')
        assert server.works()
        slow.sendall(b'me": "slow-app"}')
        assert slow.recv(100).startswith(b"HTTP/1.1 201 ")


def test_who_hangs_up_in_the_middle_harms_nobody(server):
    head = f"POST /apps HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {server.key}\r\nContent-Length: 999\r\n\r\n{{"
    for _ in range(20):
        server.raw(head.encode(), wait=False)
    assert server.works()


def test_nobody_gets_in_with_what_is_no_key(server):
    wrong = ("", "Bearer", "Bearer ", "Bearer \xff", "Basic", "Basic !!!", "Basic AAAA", "Negotiate x", "x" * 9000)
    for value in wrong:
        answer = server.refuses("GET", "/apps", 401, "unauthorized", Authorization=value)
        assert answer.getheader("WWW-Authenticate") == 'Basic realm="procman"'


def test_ranges_that_make_no_sense_are_refused(server):
    path = "/apps/demo/releases"
    for text in ("nonsense", "version", "version ..; max=0", "version ..; max=9999", "version ..; order=up",
                 "version x..", "password ..", "version ..; max=1e3", "bytes=0-10", "]..["):
        server.refuses("GET", path, 416, "requested_range_not_satisfiable", Range=text)
    assert server.ask("GET", path, Range="")[0] == 200
    assert server.ask("GET", path, Range="version 2..; max=1, order=desc")[0] == 206


@contextmanager
def logged(directory):
    """A server whose stderr is kept."""
    with open(directory / "stderr", "wb") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-X", "dev", "-m", "tests.fake_server", str(directory / "data")], stdout=subprocess.PIPE,
            stderr=stderr, cwd=Path(__file__).parent.parent,
        )
        try:
            told = json.loads(process.stdout.readline())
            yield Server(told["url"], told["key"])
        finally:
            process.terminate()
            process.wait(60)
            process.stdout.close()


def test_secrets_are_neither_in_logs_nor_in_errors_nor_in_argv(tmp_path):
    said = []
    with logged(tmp_path) as server:
        server.ask("POST", "/apps", {"name": "demo"})
        for method, path, body in (
            ("PATCH", "/apps/demo/config-vars", {"PASSWORD": SECRET}),
            ("PATCH", "/apps/demo/config-vars", {f"{SECRET} ": SECRET}),
            ("PATCH", "/apps/demo/config-vars", {"A": {"b": SECRET}}),
            ("PATCH", "/apps/demo/config-vars", {"A": f"{SECRET}\0"}),
            ("POST", "/apps/demo/log-drains", {"url": f"https://me:{SECRET}@[bad/"}),
            ("DELETE", f"/apps/demo/log-drains/https%3A%2F%2Fme%3A{SECRET}%40x", None),
            ("POST", "/apps/demo/sni-endpoints", {"certificate_chain": SECRET, "private_key": SECRET}),
            ("POST", "/apps/demo/webhooks", {"url": "x", "secret": SECRET}),
            ("POST", "/users", {"email": "x", "password": SECRET}),
            ("POST", "/apps", SECRET.encode()),
        ):
            status, _, answer = server.ask(method, path, body)
            said += [json.dumps(answer)] if status >= 400 else []
        server.refuses("GET", "/apps", 401, "unauthorized", Authorization=f"Bearer {SECRET}")
        argv = "".join(command(int(name)) for name in os.listdir("/proc") if name.isdecimal())
        key = server.key
    logs = (tmp_path / "stderr").read_text()
    kept = "".join(path.read_text("latin-1") for path in (tmp_path / "data" / "logs").rglob("*") if path.is_file())
    names_only = "".join(text for text in said if "is not a name" not in text)  # a bad name is repeated, a value never
    for text in (logs, kept, names_only, argv):
        assert SECRET not in text
        assert key not in text
    assert "Traceback" not in logs
