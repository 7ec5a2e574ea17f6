"""A real supervisor behind its socket: garbage, idle crowds, followers, and a home that is ours alone."""

import contextlib
import os
import resource
import select
import signal
import socket
import time
from pathlib import Path

import pytest

from procman.control.client import Client
from tests.formations import SLEEP, App, knock
from tests.harness import DEADLINE_S, poll

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
    assert time.monotonic() - killed < 5  # 0.1 s here
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


def lasting(pid: int) -> dict[int, str]:
    """Descriptors of a process and what they are, but for one with which it looks at another just now."""
    links = {}
    for fd in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(FileNotFoundError):
            links[int(fd)] = os.readlink(f"/proc/{pid}/fd/{fd}")
    return {fd: link for fd, link in links.items() if not link.startswith("/proc")}


def sockets(links: dict[int, str]) -> int:
    """How many of them are sockets: one, where nobody is connected."""
    return sum(link.startswith("socket:") for link in links.values())


def test_a_supervisor_without_descriptors_waits_quietly(workshop):
    """With none left for clients, it neither spins nor stops to look after dynos; with some again, it answers."""
    app = App(workshop, f"worker: {SLEEP}\n", "--restart", "always")
    pid = app.running.pid
    assert app.rows()  # what is imported late is there
    links = poll(lambda: found if sockets(found := lasting(pid)) == 1 else None)  # who asked before has gone
    open_ones = {*links}
    free = min({*range(len(open_ones) + 1)} - open_ones)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (free, 4096))
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
