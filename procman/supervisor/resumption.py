"""How the new program of a supervisor goes on where the old one was (see ``upgrade``)."""

import signal
from socket import socket

from procman.control.connection import Connection
from procman.control.server import ControlServer
from procman.core.model import DynoName
from procman.core.snapshot import load
from procman.supervisor.baggage import Baggage, unpack_child
from procman.supervisor.processes import LocalProcesses
from procman.supervisor.supervisor import Supervisor
from procman.typed import Callable


def go_on(
    baggage: Baggage,
    supervisor: Supervisor,
    processes: LocalProcesses,
    port_of: Callable[[DynoName], int | None],
) -> None:
    """Know what the old program knew, and look after its dynos."""
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)  # one that waits would end us before we can listen to it
    load(supervisor.engine, baggage["engine"])
    supervisor.output.sink.put([bytes.fromhex(baggage["unsent"])])
    for row in baggage["lives"]:
        child = unpack_child(row)
        child.command = processes.command(child.dyno)
        processes.go_on(child)
        supervisor.go_on(child, row["streams"], row["ending"], port_of(child.dyno))


def listener_of(baggage: Baggage) -> socket:
    """The control socket."""
    return socket(fileno=baggage["listener"])


def serve_again(
    baggage: Baggage, server: ControlServer, own: Callable[[Connection], bool] = lambda connection: False
) -> None:
    """Go on with the clients. ``own``: serves one by itself, if it is one of those."""
    for row in baggage["connections"]:
        connection = server.resume(row)
        if not connection.closed and not own(connection) and connection.request is not None:
            server.handle(connection.request, connection)
