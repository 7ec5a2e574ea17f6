"""The parts of a server: made, and joined to each other."""

import ssl
from collections.abc import Callable
from typing import NamedTuple

from procman.api import pushes
from procman.api.application import Api
from procman.api.routes import ROUTES
from procman.gitpush.transport import Git
from procman.platform.builds import Builds
from procman.platform.git_access import GitAccess
from procman.platform.host import Host
from procman.platform.layout import Layout
from procman.platform.logins import Logins
from procman.platform.outputs import Outputs
from procman.platform.rollouts import Rollouts
from procman.rendezvous import certificates
from procman.rendezvous.server import RendezvousServer
from procman.router import Router
from procman.router.settings import Settings as RouterSettings
from procman.router.settings import default_user
from procman.runtimes.local import LocalRuntime
from procman.runtimes.local_surroundings import Groups, Surroundings
from procman.server.apps import Owners
from procman.server.descriptors import places
from procman.server.listeners import Front
from procman.server.logs import AppLogs
from procman.server.numbers import Numbers
from procman.server.options import Options, settings_of
from procman.server.place import PROGRAM, entry_of, first_uid, prepare_groups, surroundings
from procman.server.routing import RouterTraffic
from procman.store.database import Database
from procman.supervisor import cgroups


class Parts(NamedTuple):
    """What was made, and is still to be started."""

    host: Host
    runtime: LocalRuntime
    logs: AppLogs
    numbers: Numbers
    rendezvous: RendezvousServer
    context: ssl.SSLContext
    front: Front


def compose(options: Options, layout: Layout, db: Database, say: Callable[[str], None]) -> Parts:
    """Make the rooms' parts and join them."""
    env = surroundings()
    uid, words = first_uid(PROGRAM, env)
    if words:
        say(words)
    settings = settings_of(options, uid)
    context = certificates.context_of(layout.path("tls"))
    room = places()
    rendezvous = RendezvousServer(settings.rendezvous_address, context, most=room.attached)
    groups = Groups(prepare_groups, entry_of, cgroups.withdraw)
    runtime = LocalRuntime(layout.path("apps"), Surroundings(PROGRAM, env, groups), Owners(db).uid_of)
    logs = AppLogs(layout, runtime.listen)
    runtime.on_log_news(logs.tell)
    host = Host(db, runtime, layout, logs, settings, rendezvous=rendezvous)
    outputs = Outputs(layout)
    host.logins = Logins(room.logins)
    host.rollouts, host.builds = Rollouts(host, outputs), Builds(host, outputs)
    host.git_access = GitAccess(host, host.builds)
    host.numbers = numbers = Numbers(host, layout.path("metrics"))
    if options.router_port:
        host.traffic = RouterTraffic(host, router_of(options, layout, logs, numbers), settings.ports_per_app)
    git = Git(host.git_access)
    front = Front(Api(host, (*ROUTES, *pushes.ROUTES), logs.of), git)
    return Parts(host, runtime, logs, numbers, rendezvous, context, front)


def router_of(options: Options, layout: Layout, logs: AppLogs, numbers: Numbers) -> Router:
    """HAProxy, whose lines go to the apps' logs and are counted."""

    def write(app_id: str, lines: bytes) -> None:
        logs.own.append(app_id, "heroku", "router", lines)
        numbers.routed(app_id, lines)

    address = f"{options.router_host}:{options.router_port}"
    https = f"{options.router_host}:{options.https_port}" if options.https_port else None
    settings = RouterSettings(address, timeouts=options.router_timeouts, user=default_user())
    return Router(layout.path("router"), address, https, None, write, settings)
