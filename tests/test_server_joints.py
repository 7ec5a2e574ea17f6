"""What passes between rooms in a running server: attached dynos, log sessions, drains, each by its real protocol."""

import http.server
import queue
import socket
import ssl
import threading

import pytest

from tests.harness import DEADLINE_S, poll
from tests.platform_server import WAIT, PlatformServer


@pytest.fixture
def server(workshop):
    server = PlatformServer(workshop)
    server.start()
    server.create("demo")
    server.deploy("demo", {"worker": WAIT})
    yield server
    server.close()


def attach(server: PlatformServer, command: str, **more) -> ssl.SSLSocket:
    """A client's side of ``heroku run``: from the request to the greeting."""
    dyno = server.call("POST", "/apps/demo/dynos", {"command": command, "attach": True, **more})
    url = dyno["attach_url"]
    assert url.startswith(f"rendezvous://127.0.0.1:{server.port + 2}/")
    trust = ssl.create_default_context(cafile=str(server.data / "tls" / "ca.pem"))
    plain = socket.create_connection(("127.0.0.1", server.port + 2), DEADLINE_S)
    peer = trust.wrap_socket(plain, server_hostname="127.0.0.1")
    peer.sendall(url.rpartition("/")[2].encode() + b"\r\n")
    assert peer.recv(4096) == b"rendezvous\r\n"
    return peer


def read_all(peer: ssl.SSLSocket) -> bytes:
    data = b""
    while chunk := peer.recv(4096):
        data += chunk
    return data


def test_a_client_is_joined_to_a_dyno_with_a_terminal_of_its_size(server):
    with attach(server, "stty size; echo $DYNO; exit 3", env={"COLUMNS": 91, "LINES": 17}) as peer:
        size, dyno, _ = read_all(peer).split(b"\r\n")
    assert size == b"17 91"
    assert dyno.startswith(b"run.")
    name = dyno.decode()
    log = poll(lambda: text if "to complete" in (text := logged(server)) else "")
    for line in (
        "Awaiting client", "Starting process with command", "Process exited with status 3", "from up to complete"
    ):
        assert f"heroku[{name}]: " in log and line in log
    assert f"app[{name}]: 17 91" not in log


def test_typed_words_arrive_and_hanging_up_ends_the_dyno(server):
    with attach(server, "cat", force_no_tty=True) as peer:
        peer.sendall(b"words\n")
        assert peer.recv(4096) == b"words\n"
        assert [name for name in server.pids("demo") if name.startswith("run.")]
    assert poll(lambda: not server.pids("demo"))
    assert "Client connection closed. Sending SIGHUP to all processes" in logged(server)


def test_a_tail_hears_at_once_what_a_dyno_says_after_long_silence(server):
    session = server.call("POST", "/apps/demo/log-sessions", {"tail": True, "lines": 1})
    with server.client(headers={"Accept": "text/event-stream"}) as client, client.stream(
        "GET", session["logplex_url"]
    ) as tail:
        assert tail.headers["content-type"].startswith("text/event-stream")
        lines = (line for line in tail.iter_lines() if line.startswith("data:"))
        next(lines)
        server.scale("demo", worker=1)
        heard = [next(lines) for _ in range(4)]
        assert any("app[api]: Scaled to worker@1:Basic" in line for line in heard)
        assert any("heroku[worker.1]: Starting process" in line for line in heard)
        assert any("app[worker.1]: ready" in line for line in heard)


class Receiver(http.server.BaseHTTPRequestHandler):
    """Where logs are drained to."""

    got: "queue.Queue[bytes]"

    def do_POST(self):
        self.got.put(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *words):
        pass


def test_a_drain_gets_both_stores_and_goes_on_after_a_restart_of_the_server(server):
    Receiver.got = queue.Queue()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver) as receiver:
        threading.Thread(target=receiver.serve_forever, daemon=True).start()
        server.call("POST", "/apps/demo/log-drains", {"url": f"http://127.0.0.1:{receiver.server_port}/logs"})
        server.scale("demo", worker=1)
        text = wait_for(b" worker.1 - ready")
        assert b" api - Scaled to worker@1:Basic" in text
        server.kill()
        server.start()
        server.call("DELETE", "/apps/demo/dynos/worker.1")
        assert b" worker.1 - ready" in wait_for(b" worker.1 - ready")
        receiver.shutdown()


def wait_for(word: bytes) -> bytes:
    text = b""
    while word not in text:
        text += Receiver.got.get(timeout=DEADLINE_S)
    return text


def logged(server: PlatformServer) -> str:
    session = server.call("POST", "/apps/demo/log-sessions", {"lines": 200})
    with server.client(headers={}) as client:
        return client.get(session["logplex_url"]).text
