"""The server is killed at any moment of a session, supervisors too: dynos go on, and the database says what runs."""

import contextlib
import os
import random
import signal
import threading

import httpx
import pytest

from tests.harness import poll
from tests.platform_server import WAIT, PlatformServer

ANSWER = """
import os, socket
listener = socket.create_server(("127.0.0.1", int(os.environ["PORT"])))
while True:
    peer = listener.accept()[0]
    peer.recv(4096)
    peer.sendall(b"HTTP/1.0 204 No Content\\r\\n\\r\\n")
    peer.close()
"""
LISTEN = f"exec \"$PY\" -S -c '{ANSWER}'"
COMMANDS = 100
KILLS = 14


@pytest.fixture
def server(workshop):
    server = PlatformServer(workshop)
    server.start()
    yield server
    server.close()


class Session:
    """Commands of somebody with two apps; each leaves the server with another thing to do."""

    def __init__(self, server: PlatformServer, seed: int):
        self.server = server
        self.dice = random.Random(seed)
        self.apps = ("alpha", "beta")
        self.refused = 0
        for app in self.apps:
            self.make(app)

    def make(self, app: str) -> None:
        self.server.create(app)
        self.server.call("PATCH", f"/apps/{app}/features/runtime-dyno-metadata", {"enabled": True})
        self.server.deploy(app, {"web": LISTEN, "clock": WAIT})

    def commands(self):
        app, number = self.dice.choice(self.apps), self.dice.randint(0, 3)
        server = self.server
        return self.dice.choice(
            (
                lambda: server.scale(app, web=number),
                lambda: server.call("PATCH", f"/apps/{app}/config-vars", {"WORD": str(number)}),
                lambda: server.call("DELETE", f"/apps/{app}/dynos"),
                lambda: server.call("DELETE", f"/apps/{app}/dynos/web.1"),
                lambda: server.call("POST", f"/apps/{app}/dynos/web.1/actions/stop", {}),
                lambda: server.release(app, {"web": f"W={number}; {LISTEN}", "clock": WAIT}),
                lambda: server.call("POST", f"/apps/{app}/dynos", {"command": WAIT, "attach": False}),
                lambda: server.call("PATCH", f"/apps/{app}", {"maintenance": bool(number % 2)}),
            )
        )

    def do(self) -> None:
        """A command may be refused, for instance while another is under way."""
        try:
            self.commands()()
        except AssertionError:
            self.refused += 1

    def do_and_kill(self) -> None:
        """SIGKILL somewhere between the request and what follows from it."""
        command = self.commands()

        def send():
            with contextlib.suppress(httpx.HTTPError, AssertionError, OSError, ValueError):
                command()

        thread = threading.Thread(target=send)
        thread.start()
        thread.join(self.dice.uniform(0.0, 0.25))
        if self.dice.random() < 0.3:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.supervisor(self.dice.choice(self.apps)) or 0x7FFFFFFF, signal.SIGKILL)
        self.server.kill()
        thread.join()
        self.server.start()

    def supervisor(self, app: str) -> int:
        return self.server.supervisor(self.server.call("GET", f"/apps/{app}")["id"])

    def check(self) -> None:
        """What the database wishes, what the API tells and what the kernel has are the same, once all is at rest."""
        poll(lambda: self.wished() == self.told() == self.living(), self.words)

    def wished(self) -> set[tuple[str, str, int]]:
        """By the database: app, dyno, release."""
        found = set()
        for app in self.apps:
            releases = self.server.call("GET", f"/apps/{app}/releases")
            if any(release["status"] == "pending" for release in releases):
                return {("something", "is", 0)}
            current = next(release["version"] for release in releases if release["current"])
            for row in self.server.call("GET", f"/apps/{app}/formation"):
                found |= {(app, f"{row['type']}.{n}", current) for n in range(1, row["quantity"] + 1)}
        return found

    def told(self) -> set[tuple[str, str, int]]:
        rows = [(app, row) for app in self.apps for row in self.server.dynos(app).values() if row["type"] != "run"]
        return {(app, row["name"], row["release"]["version"]) for app, row in rows if row["state"] == "up"}

    def living(self) -> set[tuple[str, str, int]]:
        """Dynos by their own environment; one that is there twice shows as such."""
        found: list[tuple[str, str, int]] = []
        for env in self.server.roots():
            if env.get("HEROKU_APP_NAME") in self.apps and not env["DYNO"].startswith("run."):
                version = int(env["HEROKU_RELEASE_VERSION"][1:])
                found.append((env["HEROKU_APP_NAME"], env["DYNO"], version))
        return set(found) if len(found) == len(set(found)) else {(*row[:2], -row[2]) for row in found}

    def words(self) -> str:
        parts = ("wished", self.wished()), ("told", self.told()), ("living", self.living())
        return "".join(f"\n{name}: {sorted(what)}" for name, what in parts)


def start_bystander(server: PlatformServer) -> dict[str, int]:
    """An app that nobody touches; its dynos with their pids."""
    server.create("bystander")
    server.deploy("bystander", {"web": LISTEN, "clock": WAIT})
    server.scale("bystander", web=2, clock=1)
    server.wait_for_dynos("bystander", web_1="up", web_2="up", clock_1="up")
    server.call("POST", "/apps/bystander/dynos", {"command": WAIT, "attach": False})
    # In the middle of its exec a process has no environment, so each look may miss one.
    return poll(lambda: found if len(found := server.pids("bystander")) == 4 else {})


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_killed_at_random_points_of_a_session_the_server_always_finds_what_runs(server):
    bystander = start_bystander(server)
    session = Session(server, seed=int(os.environ.get("PROCMAN_TEST_SEED", "20131011")))
    kills = set(session.dice.sample(range(COMMANDS), KILLS))
    for number in range(COMMANDS):
        if number in kills:
            session.do_and_kill()
            session.check()
        else:
            session.do()
    session.check()
    assert session.refused < COMMANDS / 4
    assert {name: pid for name, pid in server.pids("bystander").items() if pid in bystander.values()} == bystander
    assert set(server.dynos("bystander")) == set(bystander)


def test_a_killed_supervisor_is_back_at_once_and_its_dynos_never_left(server):
    bystander = start_bystander(server)
    app_id = server.call("GET", "/apps/bystander")["id"]
    supervisor = server.supervisor(app_id)
    os.kill(supervisor, signal.SIGKILL)
    poll(lambda: server.supervisor(app_id) not in (0, supervisor))
    server.scale("bystander", web=1, clock=1)
    poll(lambda: len(server.pids("bystander")) == 3)
    left = server.pids("bystander")
    assert left == {name: pid for name, pid in bystander.items() if name in left}


def test_everything_killed_at_once_comes_back_whole(server):
    start_bystander(server)
    app_id = server.call("GET", "/apps/bystander")["id"]
    for pid in [server.supervisor(app_id), *server.pids("bystander").values()]:
        os.kill(pid, signal.SIGKILL)
    server.kill()
    server.start()
    server.wait_for_dynos("bystander", web_1="up", web_2="up", clock_1="up")
    poll(lambda: set(server.pids("bystander")) == {"web.1", "web.2", "clock.1"})
