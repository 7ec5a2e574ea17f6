"""The control server alone, on a loop that stands still, against everything a client can do wrong."""

import errno
import json
import os
import select
import socket
from pathlib import Path

import pytest

from procman.control.connection import OUTBOX_LIMIT
from procman.control.protocol import PATIENCE_S, REQUEST_LIMIT
from procman.control.server import BREATH_S, ControlServer
from procman.control.sockets import listen
from tests.fakes import FakeClock
from tests.formations import knock
from tests.harness import DEADLINE_S

FOREVER = float("inf")
SLEEP = "echo ready $$; exec sleep 1000"


class FakeLoop:
    """Calls back what a test lets happen, and nothing else."""

    def __init__(self) -> None:
        self.clock = FakeClock(1000.0)
        self.watched: dict[int, tuple[object, bool]] = {}
        self.deadlines: list = []

    def now(self) -> float:
        return self.clock.now()

    def watch(self, fd, callback, writable=False) -> None:
        assert fd not in self.watched
        self.watched[fd] = (callback, writable)

    def unwatch(self, fd) -> None:
        del self.watched[fd]

    def on_deadline(self, deadline, callback) -> None:
        self.deadlines.append((deadline, callback))

    def deadline(self) -> float:
        return min(deadline() for deadline, _ in self.deadlines)

    def pass_to(self, then: float) -> None:
        self.clock.jump(then)
        for deadline, callback in self.deadlines:
            if deadline() <= then:
                callback(then)

    def turn(self) -> bool:
        """Everything that is ready now; whether anything was."""
        readers = [fd for fd, (_, writable) in self.watched.items() if not writable]
        writers = [fd for fd, (_, writable) in self.watched.items() if writable]
        ready = [*select.select(readers, [], [], 0)[0], *select.select([], writers, [], 0)[1]]
        for fd in ready:
            if fd in self.watched:
                self.watched[fd][0]()
        return bool(ready)

    def settle(self) -> None:
        for _ in range(1000):
            if not self.turn():
                return
        raise AssertionError("never at rest")


class Bench:
    """A server on a fake loop, which answers with its own verb; and clients."""

    def __init__(self, directory: Path, **options) -> None:
        self.loop = FakeLoop()
        self.path = str(directory / "control.sock")
        self.requests: list[tuple[dict, object]] = []
        self.server = ControlServer(self.loop, listen(self.path), self.handle, **options)
        self.clients: list[socket.socket] = []

    def handle(self, request, connection) -> None:
        self.requests.append((request, connection))
        if request["verb"] == "echo":
            connection.finish({"ok": True, "verb": "echo", "text": "x" * request.get("size", 0)})

    def client(self, words: bytes = b"") -> socket.socket:
        peer = knock(self.path)
        self.clients.append(peer)
        self.loop.settle()
        if words:
            peer.sendall(words)
            self.loop.settle()
        peer.settimeout(DEADLINE_S)
        return peer

    def close(self) -> None:
        self.server.close()
        for peer in self.clients:
            peer.close()


@pytest.fixture
def bench(tmp_path):
    made = []

    def make(**options) -> Bench:
        made.append(Bench(tmp_path, **options))
        return made[-1]

    yield make
    for one in made:
        one.close()


def everything(peer: socket.socket) -> bytes:
    """What is still to be read, to the end."""
    data = b""
    try:
        while chunk := peer.recv(1 << 16):
            data += chunk
    except ConnectionResetError:
        pass
    return data


def refused(peer: socket.socket) -> str:
    answer = json.loads(everything(peer))
    assert answer["ok"] is False
    return answer["error"]


def test_one_request_one_answer_and_the_end(bench):
    made = bench()
    assert everything(made.client(b'{"verb":"echo"}\n')) == b'{"ok":true,"verb":"echo","text":""}\n'
    assert made.loop.deadline() == FOREVER
    assert len(made.loop.watched) == 1


def test_a_request_in_pieces_and_words_behind_it(bench):
    made = bench()
    peer = made.client(b'{"verb":')
    for piece in (b'"ec', b'ho"', b'}\n{"verb":"other"}\nand more'):
        peer.sendall(piece)
        made.loop.settle()
    assert everything(peer).count(b"\n") == 1
    assert len(made.requests) == 1


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (b"GET / HTTP/1.1\r\n", "not a line of JSON"),
        (b"\0\xff\xfe\n", "not a line of JSON"),
        (b"\n", "not a line of JSON"),
        (b"[" * 60_000 + b"\n", "not a line of JSON"),
        (b"1" * 60_000 + b"\n", "cannot read the request"),
        (b"[]\n", "an object with a verb is wanted"),
        (b'{"verb":1}\n', "an object with a verb is wanted"),
        (b'{"dynos":["a"]}\n', "an object with a verb is wanted"),
        (b"x" * REQUEST_LIMIT, f"over {REQUEST_LIMIT} bytes"),
    ],
)
def test_garbage_is_refused(bench, words, why):
    made = bench()
    assert why in refused(made.client(words))
    assert not made.requests
    assert made.loop.deadline() == FOREVER


def test_a_megabyte_without_a_newline_is_not_kept(bench):
    made = bench()
    peer = knock(made.path)
    peer.setblocking(False)
    made.loop.settle()
    left = b"x" * (1 << 20)
    while left:
        try:
            left = left[peer.send(left) :]
        except BlockingIOError:
            made.loop.settle()
        except (BrokenPipeError, ConnectionResetError):
            break
    made.loop.settle()
    assert left
    peer.setblocking(True)
    assert "over" in refused(peer)
    peer.close()


def test_who_asks_nothing_is_let_go_in_time_and_wakes_nobody_before(bench):
    made = bench()
    silent, begun = made.client(), made.client(b'{"ve')
    assert made.loop.deadline() == made.loop.now() + PATIENCE_S
    made.loop.pass_to(made.loop.now() + PATIENCE_S / 2)
    late = made.client()
    begun.sendall(b"r")  # a byte now and then buys no time
    made.loop.settle()
    made.loop.pass_to(made.loop.now() + PATIENCE_S / 2)
    assert "cannot wait any longer" in refused(silent)
    assert "cannot wait any longer" in refused(begun)
    assert made.loop.deadline() == made.loop.now() + PATIENCE_S / 2
    late.sendall(b'{"verb":"wait"}\n')
    made.loop.settle()
    assert made.loop.deadline() == FOREVER  # its time is ours now
    made.requests[0][1].finish({"ok": True})
    assert everything(late) == b'{"ok":true}\n'
    assert len(made.loop.watched) == 1


def test_who_does_not_read_its_answer_is_let_go(bench):
    made = bench()
    peer = made.client(b'{"verb":"echo","size":4000000}\n')
    assert len(made.loop.watched) == 2
    assert made.loop.deadline() == made.loop.now() + PATIENCE_S
    made.loop.pass_to(made.loop.now() + PATIENCE_S)
    assert len(made.loop.watched) == 1
    assert made.loop.deadline() == FOREVER
    assert 0 < len(everything(peer)) < 4_000_000


def test_who_reads_slowly_gets_everything(bench):
    made = bench()
    peer = made.client(b'{"verb":"echo","size":4000000}\n')
    got = 0
    while chunk := peer.recv(1 << 20):
        got += len(chunk)
        made.loop.settle()
    assert got > 4_000_000


def test_who_leaves_too_much_unread_is_let_go(bench):
    made = bench()
    made.client(b'{"verb":"follow"}\n')
    _, connection = made.requests[0]
    ended = []
    connection.on_close = lambda: ended.append(True)
    for _ in range(OUTBOX_LIMIT // 1_000_000 + 2):
        connection.send({"text": "x" * 1_000_000})
    assert connection.closed
    assert ended == [True]
    connection.send({"text": "to nobody"})
    connection.finish({"ok": True})
    connection.close()
    assert len(made.loop.watched) == 1


def test_who_hangs_up_is_forgotten(bench):
    made = bench()
    for words in (b"", b'{"ve', b'{"verb":"wait"}\n', b'{"verb":"echo","size":4000000}\n'):
        made.client(words).close()
        made.loop.settle()
    assert len(made.loop.watched) == 1
    assert made.loop.deadline() == FOREVER


def test_a_stranger_is_let_go_and_root_is_not(bench):
    peers = iter([os.getuid() + 1, 0, os.getuid()])
    made = bench(uid_of=lambda peer: next(peers))
    assert everything(made.client()) == b""
    assert everything(made.client(b'{"verb":"echo"}\n')) != b""
    assert everything(made.client(b'{"verb":"echo"}\n')) != b""
    assert len(made.requests) == 2


def test_over_the_limit_the_idle_make_room_and_the_waiting_do_not(bench):
    made = bench(most=lambda: 3)
    wait = b'{"verb":"wait"}\n'
    made.client(wait)
    first, second = made.client(), made.client()
    assert everything(made.client(b'{"verb":"echo"}\n')) != b""
    assert everything(first) == b""
    second.sendall(wait)
    made.client(wait)
    assert len(made.loop.watched) == 4
    assert everything(made.client()) == b""  # all three wait for us: the newest has to go
    assert [connection.closed for request, connection in made.requests if request["verb"] == "wait"] == [False] * 3


class Exhausted:
    """A listener in a process that has no descriptor left, until it has one."""

    def __init__(self, real: socket.socket) -> None:
        self.real = real
        self.error: int | None = errno.EMFILE
        self.tried = 0

    def accept(self):
        self.tried += 1
        if self.error:
            raise OSError(self.error, os.strerror(self.error))
        return self.real.accept()

    def __getattr__(self, name):
        return getattr(self.real, name)


@pytest.mark.parametrize("error", [errno.EMFILE, errno.ENFILE, errno.ENOMEM])
def test_without_descriptors_the_loop_does_not_spin(tmp_path, error):
    loop, real = FakeLoop(), listen(str(tmp_path / "s"))
    listener = Exhausted(real)
    listener.error = error
    server = ControlServer(loop, listener, lambda request, connection: connection.finish({"ok": True}))
    with knock(str(tmp_path / "s")) as peer:
        loop.settle()
        assert (listener.tried, loop.watched) == (1, {})
        assert loop.deadline() == loop.now() + BREATH_S
        loop.pass_to(loop.now() + BREATH_S)
        loop.settle()
        assert listener.tried == 2
        listener.error = None
        loop.pass_to(loop.now() + BREATH_S)
        peer.sendall(b'{"verb":"x"}\n')
        loop.settle()
        assert everything(peer) == b'{"ok":true}\n'
        assert loop.deadline() == FOREVER
    server.close()
