"""How `procman start` lets its program be replaced, and goes on where another was."""

import os
from socket import socket

from procman.cli.local_app import LocalApp
from procman.supervisor.baggage import CAN, CHECK, Baggage, pipes_in, read
from procman.supervisor.commands import Serve, open_commands
from procman.supervisor.home import Home
from procman.supervisor.processes import LocalProcesses
from procman.supervisor.resumption import go_on, serve_again
from procman.supervisor.supervisor import Supervisor
from procman.supervisor.upgrade import Upgrade
from procman.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from procman.cli.start import Running


class Resumption:
    """A formation that goes on, and what the earlier program packed."""

    def __init__(self, baggage: Baggage) -> None:
        self.baggage = baggage
        self.guard = baggage["guard"]
        self.listener: int = baggage["listener"]

    def adopt(self, app: LocalApp, supervisor: Supervisor, processes: LocalProcesses) -> None:
        """Go on with the dynos."""
        go_on(self.baggage, supervisor, processes, app.port)


def resume(word: str, app: LocalApp, home: Home) -> int:
    """Go on with what ``word``, of our environment, names; or only say that we could."""
    from procman.cli.outliving import Outliving  # not for a formation in a terminal: it costs 20 ms and 4 MB
    from procman.cli.start import supervise
    from procman.supervisor.ledger import Ledger

    if word == CHECK:
        print(CAN)
        return 0
    found = Resumption(read(int(word)))
    home = home_of(found.baggage["lock"]) or home
    home.resume(found.baggage["lock"])
    app.unpack(found.baggage["app"])
    os.chdir(app.app.root)
    heirs = Outliving(app, home, Ledger(), pipes_in(found.baggage)) if app.settings.detach else None
    return supervise(app, home, "", heirs=heirs, resumed=found)


def home_of(lock: int) -> Home | None:
    """Where the lock lies that we were handed: the program of before may have called the app otherwise."""
    try:
        apps, name = os.path.split(os.path.dirname(os.readlink(f"/proc/self/fd/{lock}")))
    except OSError:
        return None  # not on Linux
    return Home(apps, name)


def serve(running: "Running", listener: int) -> None:
    """Serve the control socket, with the verbs that only an app of this host has."""
    app, scribe, store = running.app, running.scribe, running.app.store
    upgrade = Upgrade(running.home, running.supervisor, running.processes, app.origin, scribe.close, app.pack)
    upgrade.untold = lambda: scribe.waiting > 0 or (store is not None and store.lost_lines > 0)
    more: dict[str, Serve] = {
        "upgrade": upgrade.upgrade,
        "one-off": lambda request, connection: connection.finish({"ok": True, **app.one_off()}),
    }
    server = open_commands(running.supervisor, app, socket(fileno=listener), more)
    upgrade.listen(server)
    if running.resumed:
        serve_again(running.resumed.baggage, server)
