"""A real formation in a workshop, and what it says of itself over its socket."""

import signal
import socket

from procman.control.client import Client
from procman.control.sockets import near
from tests.harness import DEADLINE_S, Running, Workshop, poll

POLITE = "exec python $CHILDREN/polite.py"
SLEEP = "echo ready $$; exec sleep 1000"
TWO = f"web: {SLEEP}\nworker: {SLEEP}\n"


def socket_of(workshop: Workshop) -> str:
    (path,) = workshop.directory.glob(".local/state/procman/apps/*/control.sock")
    return str(path)


def rows(workshop: Workshop) -> dict[str, dict]:
    """What `ps` says, by dyno."""
    with Client(socket_of(workshop)) as client:
        return {row["dyno"]: row for row in client.call("ps")["dynos"]}


def stored(workshop: Workshop) -> None:
    """Log and ledger are on the disk. Once that takes nothing for a moment, no answer waits for it any more."""
    with Client(socket_of(workshop)) as client:
        poll(lambda: not client.call("ps")["log"]["waiting"])


def states(workshop: Workshop) -> dict[str, str]:
    return {name: row["state"] for name, row in rows(workshop).items()}


def begin(workshop: Workshop, procfile: str, *args: str, dynos: int = 2, **options) -> Running:
    """Start it in the foreground and wait for so many ready dynos. What it prints shows that the socket is open."""
    workshop.procfile(procfile)
    running = workshop.start(*args, **options)
    for _ in range(dynos):
        running.wait_for(r"\| .*ready.*\n")
    return running


def listening(workshop: Workshop) -> None:
    """Write a program that binds `$PORT` at once."""
    (workshop.directory / "web.py").write_text(
        "import os, signal, socket\n"
        "server = socket.create_server(('127.0.0.1', int(os.environ['PORT'])))\n"
        "print('ready', flush=True)\n"
        "signal.pause()\n"
    )


def pids(workshop: Workshop) -> dict[str, int]:
    return {name: row["pid"] for name, row in rows(workshop).items()}


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


def knock(path: str) -> socket.socket:
    """A connection that has not said anything."""
    peer = socket.socket(socket.AF_UNIX)
    with near(path) as short:
        peer.connect(short)
    return peer
