"""The control socket against everything a client can do wrong, and many clients at once."""

import errno
import json
import os
import random
import resource
import select
import signal
import socket
import threading
import time
from pathlib import Path

import pytest

from procman.control.client import Client, NotRunning
from procman.control.protocol import PATIENCE_S, REQUEST_LIMIT
from procman.control.server import BREATH_S, OUTBOX_LIMIT, ControlServer, listen, near
from procman.supervisor.home import Home
from tests.fakes import FakeClock
from tests.harness import DEADLINE_S

FOREVER = float("inf")
SLEEP = "echo ready $$; exec sleep 1000"


# -- the server alone: a loop that stands still, real sockets --


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


def knock(path: str) -> socket.socket:
    """A connection that has not said anything."""
    peer = socket.socket(socket.AF_UNIX)
    with near(path) as short:
        peer.connect(short)
    return peer


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


def test_the_socket_is_ours_alone_and_replaces_a_stale_one(tmp_path):
    path = str(tmp_path / "s")
    mask = os.umask(0)
    try:
        listen(path).close()
        second = listen(path)  # what a killed supervisor left does not matter
        assert os.umask(0) == 0  # untouched
    finally:
        os.umask(mask)
    assert os.stat(path).st_mode & 0o777 == 0o600
    Client(path).close()
    second.close()
    with pytest.raises(NotRunning):
        Client(path)
    with pytest.raises(NotRunning):
        Client(str(tmp_path / "nothing"))


@pytest.mark.parametrize("length", [90, 99, 100, 107, 108, 200, 1000])
def test_long_paths_work(tmp_path, length):
    directory = str(tmp_path)
    while len(directory) < length - 60:
        directory += "/" + "d" * 50
    os.makedirs(directory, exist_ok=True)
    path = directory + "/" + "s" * max(length - len(directory) - 1, 1)
    before = os.listdir("/proc/self/fd")
    server = listen(path)
    with Client(path) as client:
        client.socket.sendall(b"x")
        peer, _ = server.accept()
        assert peer.recv(1) == b"x"
        peer.close()
    server.close()
    with near(path) as short:
        assert len(short) < 108
    assert os.listdir("/proc/self/fd") == before


def test_a_client_survives_a_supervisor_that_ends_in_the_middle(tmp_path):
    path = str(tmp_path / "s")
    for words in (b"", b'{"position":[1,2]}\n', b'{"ok":tr'):
        server = listen(path)
        with Client(path) as client:
            peer, _ = server.accept()
            peer.sendall(words)
            peer.close()  # without having read the request
            assert client.call("ps") == {
                "ok": False, "error": "the supervisor ended before it answered", "hint": None
            }  # fmt: skip
        server.close()


# -- the supervisor behind it --


class App:
    """A running formation, and how to talk to it."""

    def __init__(self, workshop, procfile: str, *args: str, dynos: int = 1, **options) -> None:
        self.workshop = workshop
        workshop.procfile(procfile)
        self.running = workshop.start("--name", "app", *args, **options)
        for _ in range(dynos):
            self.running.wait_for(r"\| ready")
        self.path = str(workshop.directory / ".local/state/procman/apps/app/control.sock")

    def call(self, verb: str, **arguments):
        with Client(self.path, DEADLINE_S) as client:
            return client.call(verb, **arguments)

    def rows(self) -> dict[str, dict]:
        return {row["dyno"]: row for row in self.call("ps")["dynos"]}

    def hurry(self) -> None:
        """End it although its dynos would take their time."""
        self.call("shutdown", now=True)
        assert self.running.finish() == 0

    def end(self) -> None:
        assert self.running.finish(signal.SIGTERM) == 143


MALFORMED = [
    {"verb": "nothing"},
    {"verb": "ps", "dynos": "worker"},
    {"verb": "ps", "dynos": {"worker": 1}},
    {"verb": "ps", "dynos": [["worker"]]},
    {"verb": "restart", "dynos": 7},
    {"verb": "stop", "dynos": [None]},
    {"verb": "start", "dynos": [1]},
    {"verb": "start", "dynos": [{}]},
    {"verb": "scale"},
    {"verb": "scale", "formation": ["worker"]},
    {"verb": "scale", "formation": {"worker": 2}},
    {"verb": "scale", "formation": {"worker": None}},
    {"verb": "scale", "formation": {"worker": ""}},
    {"verb": "scale", "formation": {"worker": "+"}},
    {"verb": "scale", "formation": {"worker": "-+1"}},
    {"verb": "scale", "formation": {"worker": "1e3"}},
    {"verb": "scale", "formation": {"worker": "\u0663"}},
    {"verb": "scale", "formation": {"worker": "9" * 5000}},
    {"verb": "scale", "formation": {"worker": "1001"}},
    {"verb": "scale", "formation": {"": "1"}},
    {"verb": "kill"},
    {"verb": "kill", "signal": "KILL"},
    {"verb": "kill", "signal": True},
    {"verb": "kill", "signal": 0},
    {"verb": "kill", "signal": -9},
    {"verb": "kill", "signal": 9999},
    {"verb": "kill", "signal": 9.5},
    {"verb": "kill", "signal": 1 << 80},
    {"verb": "attach"},
    {"verb": "attach", "dynos": ["worker"], "size": 80},
    {"verb": "attach", "dynos": ["worker"]},
    {"verb": "attach", "dynos": ["worker.1"], "size": ["24", "80"]},
    {"verb": "attach", "dynos": ["worker.1"]},
    {"verb": "resize", "dynos": ["worker.1"], "size": [-1, 99]},
    {"verb": "resize", "dynos": ["worker.1"], "size": [24, 65536]},
    {"verb": "resize", "dynos": ["worker.1"], "size": [24]},
    {"verb": "resize", "dynos": ["nobody"], "size": [24, 80]},
    *(
        {"verb": verb, "dynos": ["nobody.1"], "signal": 15}
        for verb in ("ps", "restart", "stop", "start", "kill", "attach")
    ),
]  # fmt: skip


def test_malformed_arguments_are_refused_and_cost_nothing(workshop):
    app = App(workshop, f"worker: {SLEEP}\n", "-m", "worker=2", dynos=2)
    before = app.rows()
    for request in MALFORMED:
        answer = app.call(**request)
        assert answer["ok"] is False, request
        assert answer["error"].startswith(f"cannot {'signal' if 'none' in answer['error'] else ''}"), answer
        assert "bug" not in str(answer["hint"]), answer
    assert {name: row["pid"] for name, row in app.rows().items()} == {n: r["pid"] for n, r in before.items()}
    app.end()


def test_garbage_costs_nothing(workshop):
    app = App(workshop, f"worker: {SLEEP}\n")
    peers = []
    ask, follow = b'{"verb":"ps"}\n', b'{"verb":"follow"}\n'
    for words in (b"\0" * 1000 + b"\n", b"x" * (1 << 20), ask[:-2], ask, b"", follow):
        peer = knock(app.path)
        try:
            peer.sendall(words)
        except (BrokenPipeError, ConnectionResetError):
            pass
        peers.append(peer)
    peers[2].shutdown(socket.SHUT_WR)
    peers[3].shutdown(socket.SHUT_RD)
    assert app.rows()["worker.1"]["state"] == "up"
    app.end()
    for peer in peers:
        peer.close()


@pytest.fixture
def many_descriptors():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 4096)), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("limit", [4096, 1024, 64])
def test_a_thousand_idle_clients_are_harmless(workshop, many_descriptors, limit):
    """Dynos are restarted at once, requests are answered, and descriptors remain for dynos."""
    app = App(workshop, f"worker: {SLEEP}\n")
    resource.prlimit(app.running.pid, resource.RLIMIT_NOFILE, (limit, limit))
    clients = [knock(app.path) for _ in range(1000)]
    for client in clients[::3]:
        try:
            client.send(b'{"verb"')
        except BrokenPipeError:
            continue  # it had to make room
    row = app.rows()["worker.1"]
    assert len(os.listdir(f"/proc/{app.running.pid}/fd")) < 32 + limit // 4
    killed = time.monotonic()
    os.kill(row["pid"], signal.SIGKILL)
    app.running.wait_for(r"\| ready")
    assert time.monotonic() - killed < 1
    assert app.call("restart", dynos=["worker"])["ok"]
    assert app.call("scale", formation={"worker": "+2"})["ok"]
    assert [row["state"] for row in app.rows().values()] == ["up"] * 3
    for client in clients:
        client.close()
    assert app.rows()["worker.1"]["restarts"] == 2
    app.end()


def cpu_ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return int(fields[11]) + int(fields[12])


def test_a_supervisor_without_descriptors_waits_quietly(workshop):
    """With none left for clients, it neither spins nor stops to look after dynos; with some again, it answers."""
    app = App(workshop, f"worker: {SLEEP}\n", "--restart", "always")
    pid = app.running.pid
    used = max(int(fd) for fd in os.listdir(f"/proc/{pid}/fd")) + 1
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (used, 4096))
    with Client(app.path, DEADLINE_S) as client:
        client.socket.sendall(b'{"verb":"ps"}\n')
        before = cpu_ticks(pid)
        assert not select.select([client.socket], [], [], 0.5)[0]  # the measuring window: nothing may come in it
        assert cpu_ticks(pid) - before < 20  # of the 50 that a spinning loop would take
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (4096, 4096))
        assert b'"up"' in client.socket.recv(1 << 16)
    app.end()


def test_a_follower_that_never_reads_holds_nothing_up(workshop):
    app = App(workshop, "worker: echo ready; exec python $CHILDREN/write.py count 20000 w\n", "--restart", "never")
    with Client(app.path) as client:
        client.socket.sendall(b'{"verb":"follow"}\n')
        assert app.running.finish() == 0
    assert len(app.running.lines("worker.1")) == 20_001


def test_a_follower_hears_of_every_growth(workshop):
    trap = "trap 'echo more' HUP; echo ready; while :; do sleep 1000 & wait; done"
    app = App(workshop, f"worker: {trap}\n")
    with Client(app.path, DEADLINE_S) as client:
        positions = client.ask("follow")
        last = next(positions)["position"]
        for _ in range(3):
            app.call("kill", signal=1, dynos=["worker"])
            app.running.wait_for("more")
            grown = next(positions)["position"]
            assert grown > last
            last = grown
    app.end()


def test_the_home_is_ours_alone(workshop):
    mask = os.umask(0)
    try:
        app = App(workshop, f"worker: {SLEEP}\n")
    finally:
        os.umask(mask)
    home = Path(app.path).parent
    places = [*home.iterdir(), home, home.parent, home.parent.parent]
    modes = {path.name: path.stat().st_mode & 0o777 for path in places}
    assert modes == {"lock": 0o600, "log": 0o700, "control.sock": 0o600, "app": 0o700, "apps": 0o700, "procman": 0o700}
    app.end()


# -- many at once --


def test_concurrent_commands_on_one_dyno_are_each_answered_truly(workshop):
    """Afterwards there is exactly one instance, and it is what the last wish says."""
    app = App(workshop, f"worker: {SLEEP}\n", "--restart", "always")
    answers: list[tuple[str, dict]] = []
    commands = {
        "restart": {"dynos": ["worker.1"]},
        "stop": {"dynos": ["worker.1"]},
        "start": {"dynos": ["worker"]},
        "scale": {"formation": {"worker": "1"}},
        "kill": {"dynos": ["worker"], "signal": 9},
    }

    def pester(seed: int) -> None:
        choose = random.Random(seed)
        for _ in range(12):
            verb = choose.choice(list(commands))
            answers.append((verb, app.call(verb, **commands[verb])))

    threads = [threading.Thread(target=pester, args=(seed,)) for seed in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE_S)
    assert len(answers) == 120
    for verb, answer in answers:
        if not answer["ok"]:
            assert answer["error"] in {
                "restart": ["worker.1 was stopped meanwhile", "worker.1 did not stay up: killed by SIGKILL"],
                "start": ["worker.1 was stopped meanwhile", "worker.1 did not stay up: killed by SIGKILL"],
                "stop": ["worker.1 was started again meanwhile"],
                "kill": ["cannot signal: none of these dynos runs"],
            }.get(verb, []), (verb, answer)
    assert app.call("stop", dynos=["worker"])["ok"]
    assert app.rows()["worker.1"]["state"] == "down"
    assert instances(workshop) == []
    assert app.call("start", dynos=["worker"], wait=True)["ok"]
    assert instances(workshop) == [app.rows()["worker.1"]["pid"]]
    app.end()


def instances(workshop) -> list[int]:
    """Processes of worker.1, by their environment."""
    return [pid for pid in workshop.processes() if b"DYNO=worker.1\0" in Path(f"/proc/{pid}/environ").read_bytes()]


def test_concurrent_scaling_ends_at_the_last_wish(workshop):
    app = App(workshop, f"worker: {SLEEP}\n")
    answers = []

    def pester(seed: int) -> None:
        choose = random.Random(seed)
        for _ in range(8):
            number = str(choose.randint(0, 4))
            answers.append((number, app.call("scale", formation={"worker": number}, wait=False)))

    threads = [threading.Thread(target=pester, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE_S)
    assert len(answers) == 64
    assert {answer["error"].split(" ", 1)[1] for _, answer in answers if not answer["ok"]} <= {
        "was stopped meanwhile",
        "was started again meanwhile",
    }
    assert app.call("scale", formation={"worker": "2"})["formation"] == {"worker": 2}
    assert {name: row["state"] for name, row in app.rows().items()} == {"worker.1": "up", "worker.2": "up"}
    assert len([row["pid"] for row in app.rows().values()]) == len(set(instances(workshop))) + 1
    app.end()


def test_two_restarts_at_once_are_both_true(workshop):
    """The second comes while the first is under way: the same new life serves both."""
    trap = "trap 'read line < gate; exit 0' TERM; echo ready; while :; do sleep 1000 & wait; done"
    os.mkfifo(workshop.directory / "gate")
    app = App(workshop, f"worker: {trap}\n", "-t", "1h")
    with Client(app.path, DEADLINE_S) as first, Client(app.path, DEADLINE_S) as second:
        for client in (first, second):
            client.socket.sendall(b'{"verb":"restart","dynos":["worker"]}\n')
        assert app.rows()["worker.1"]["state"] in ("starting", "up")
        (workshop.directory / "gate").write_text("go\n")
        for client in (first, second):
            assert client.socket.recv(4096) == b'{"ok":true,"dynos":["worker.1"]}\n'
    assert app.rows()["worker.1"]["run"] == 2
    app.hurry()


def test_an_answer_waits_until_it_is_true_and_a_change_of_mind_is_told(workshop):
    trap = "trap 'read line < gate.$DYNO; exit 0' TERM; echo ready; while :; do sleep 1000 & wait; done"
    gates = [workshop.directory / f"gate.worker.{number}" for number in (1, 2)]
    for gate in gates:
        os.mkfifo(gate)
    app = App(workshop, f"worker: {trap}\n", "-m", "worker=2", "-t", "1h", dynos=2)
    with (
        Client(app.path, DEADLINE_S) as stopping,
        Client(app.path, DEADLINE_S) as scaling,
        Client(app.path, DEADLINE_S) as leaving,
    ):
        stopping.socket.sendall(b'{"verb":"stop","dynos":["worker.1"]}\n')
        scaling.socket.sendall(b'{"verb":"scale","formation":{"worker":"1"}}\n')
        leaving.socket.sendall(b'{"verb":"stop","dynos":["worker.1"]}\n')
        assert [row["state"] for row in app.rows().values()] == ["down", "down"]
        leaving.close()  # it does not wait any longer; the order stands
        assert not select.select([stopping.socket, scaling.socket], [], [], 0)[0]
        refusal = app.call("restart", dynos=["worker.2"])
        assert "cannot find worker.2" in refusal["error"]  # it is being scaled away, and no order brings it back
        with Client(app.path, DEADLINE_S) as starting:
            starting.socket.sendall(b'{"verb":"start","dynos":["worker"]}\n')
            assert b"worker.1 was started again meanwhile" in stopping.socket.recv(4096)
            app.call("ps")
            for gate in gates:
                gate.write_text("go\n")
                app.running.wait_for("Process exited with status 0")
            assert b'"ok":true' in starting.socket.recv(4096)
        assert b'"formation":{"worker":1}' in scaling.socket.recv(4096)
    assert {name: row["state"] for name, row in app.rows().items()} == {"worker.1": "up"}
    app.hurry()


def test_whoever_waits_learns_of_a_shutdown(workshop):
    trap = "trap 'read line < gate; exit 0' TERM; echo ready; while :; do sleep 1000 & wait; done"
    os.mkfifo(workshop.directory / "gate")
    app = App(workshop, f"worker: {trap}\n", "-t", "1h")
    with Client(app.path, DEADLINE_S) as restarting, Client(app.path, DEADLINE_S) as ending:
        restarting.socket.sendall(b'{"verb":"restart"}\n')
        app.running.wait_for("Stopping all processes")
        ending.socket.sendall(b'{"verb":"shutdown"}\n')
        assert b"the formation was shut down meanwhile" in restarting.socket.recv(4096)
        assert "shut down" in app.call("scale", formation={"worker": "3"})["error"]
        (workshop.directory / "gate").write_text("go\n")
        assert ending.socket.recv(4096) == b""
    assert app.running.finish() == 0


def test_a_taken_home_says_who_has_it(tmp_path):
    one, two = Home(str(tmp_path), "app"), Home(str(tmp_path), "app")
    one.take()
    with pytest.raises(Exception, match=rf"it runs already \(pid {os.getpid()}\)"):
        two.take()
    one.leave()
    one.leave()
    assert two.take() == {}
    two.leave()


def test_whom_a_killed_starter_was_to_clear_up_after_is_not_forgotten(tmp_path):
    first, second, third = (Home(str(tmp_path), "app") for _ in range(3))
    first.take()
    first.write({"pid": 123, "started": 456, "name": "app"})
    os.close(first.fileno())  # killed
    assert second.take() == {"pid": "123", "started": "456"}
    os.close(second.fileno())  # killed while it cleared up
    assert third.take() == {"pid": "123", "started": "456"}
    third.leave()
    assert first.facts() == {}
