"""What comes from a server bit by bit: logs, the output of builds, one-off dynos."""

import os
import re
import socket
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.remote_cli import PROCMAN, make_cli, make_demo, make_shared  # noqa: F401 - fixtures


def test_run_detached_asks_for_a_one_off(cli, demo, shared):
    text = cli("run:detached", "-a", demo, "echo", "hello there")
    assert text.startswith('Running echo "hello there" on demo... done, run.')
    assert ("run", 'echo "hello there"') in shared.runtime.calls


JOIN = """
import socket, sys, tty
from procman.cli.remote.run import copy
class Peer(socket.socket):
    pending = lambda self: 0
tty.setraw(0)
print("ready", flush=True)
sys.exit(copy(Peer(fileno=int(sys.argv[1])), sys.argv[2] == "-x") or 0)
"""


@pytest.mark.parametrize(("flag", "status"), [("-x", 130), ("", 0)])
def test_ctrl_c_that_ends_a_one_off_dyno_is_its_status(flag, status):
    ours, theirs = socket.socketpair()
    master, slave = os.openpty()
    words = [sys.executable, "-c", JOIN, str(theirs.fileno()), flag]
    client = subprocess.Popen(words, stdin=slave, stdout=subprocess.PIPE, pass_fds=[theirs.fileno()])
    theirs.close()
    os.close(slave)
    with client, ours, open(master, "wb", buffering=0) as terminal:
        assert client.stdout.readline() == b"ready\n"
        terminal.write(b"\x03")
        assert ours.recv(10) == b"\x03"
        ours.close()
        assert client.wait(60) == status


@pytest.fixture
def cut(cli):
    """A server whose ``streams`` are cut off; after the last it knows of none. ``asked``: behind which events."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            self.answer(201, b'{"logplex_url": "http://127.0.0.1/streams/word"}')

        def do_GET(self):
            if self.path == "/apps":
                self.answer(200, b"[]", 100)
                return
            if self.path.endswith("/builds"):
                self.answer(200, b'[{"id": "b1", "output_stream_url": "http://127.0.0.1/outputs/word"}]')
                return
            server.asked.append(self.headers["Last-Event-ID"])
            if not server.streams:
                self.answer(404, b'{"message": "No such session."}')
                return
            if (data := server.streams.pop(0)) is None:  # whole, and empty
                self.answer(200, b"")
                return
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))  # and it hangs up, without the end's mark

        def answer(self, status, data, length=0):
            self.send_response(status)
            self.send_header("Content-Length", str(length or len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *words):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.streams, server.asked = [], []
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    cli.set("HEROKU_HOST", f"http://127.0.0.1:{server.server_port}")
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_tail_that_is_cut_off_goes_on_behind_its_last_whole_event(cli, cut):
    cut.streams = [b"id: 1~a\ndata: one\ndata: two\n\nid: b\ndata: thr", b": ping\n\nid: c\ndata: three\n\n"]
    text = cli("logs", "-a", "demo", "--tail", status=1)
    assert re.sub(r"127\.0\.0\.1:\d+", "S", text) == (
        "one\ntwo\nthree\n" + "procman: cannot read on: the server at http://S hung up; waiting for it\n" * 2
        + "procman: No such session.\n"
    )
    assert cut.asked == [None, "1~a", "c"]


def test_a_log_without_a_line_of_what_was_asked_says_so(cli, cut):
    cut.streams = [None]
    assert cli("logs", "-a", "demo", "nonsense") == "procman: no line of nonsense is in the log of demo\n"


def test_output_that_is_cut_off_is_no_traceback(cli, cut):
    cut.streams = [b"id: a\ndata: one\n\n", b"-----> Building\n"]
    for words in (["logs", "-a", "demo"], ["builds:output", "-a", "demo"], ["apps"]):
        assert "procman: cannot read on: the server at" in cli(*words, status=3)


def test_output_whose_reader_has_gone_ends_as_by_sigpipe(cli, cut):
    cut.streams = [b"-----> Building\n"]
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "wb") as gone:
        assert subprocess.run([*PROCMAN, "builds:output", "-a", "demo"], stdout=gone, check=False).returncode == 141
