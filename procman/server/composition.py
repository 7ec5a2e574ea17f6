"""The composition root of ``procman server``: rooms are made, joined, started, and closed in the opposite order.

No decision is made here. What the parts are to each other: ``Host`` holds what use cases need; the API, git and the
rendezvous are its doors; the runtime, the router, logs and drains are what it acts on. Whatever runs dynos or passes
requests is another process, and outlives this one.
"""

import asyncio
import json
import os
import signal
import sqlite3
import ssl
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack
from functools import partial
from typing import NamedTuple, Protocol

import procman
from procman.api import pushes
from procman.api.application import Api
from procman.api.routes import ROUTES
from procman.api.webhooks import describe
from procman.errors import ProcmanError
from procman.files import read_secret, write_private
from procman.gitpush.repository import sweep, write_hooks
from procman.gitpush.transport import Git
from procman.platform.builds import Builds
from procman.platform.deliveries import Deliverer
from procman.platform.git_access import GitAccess
from procman.platform.host import Host, Settings
from procman.platform.layout import Layout
from procman.platform.outputs import Outputs
from procman.platform.rollouts import Rollouts
from procman.platform.schedules import Schedules
from procman.platform.setup import ensure_owner
from procman.platform.trouble import words_of
from procman.rendezvous import certificates
from procman.rendezvous.server import RendezvousServer
from procman.router import Router
from procman.router.settings import Settings as RouterSettings
from procman.router.settings import Timeouts, default_user
from procman.runtimes.local import LocalRuntime
from procman.runtimes.local_keeper import Groups, Surroundings
from procman.server.addresses import ADDRESSES, Addresses
from procman.server.apps import Owners, clear_up
from procman.server.listeners import Front, Sockets, bind_all, listening
from procman.server.logs import AppLogs, Drains
from procman.server.notify import Notifier
from procman.server.numbers import Numbers
from procman.server.place import DataLock, entry_of, first_uid, mount_point, prepare_groups
from procman.server.renewal import Renewal
from procman.server.routing import RouterTraffic
from procman.store.database import Database
from procman.supervisor import cgroups

HOST = "127.0.0.1"
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Background(Protocol):
    """What works by itself."""

    def start(self) -> None: ...
    async def close(self) -> None: ...


class Options(NamedTuple):
    """What was asked for. ``ports``: of the API, of the same with TLS (git), of the rendezvous.

    ``build_timeout``: seconds. ``slug_limit``: bytes of a packed slug. ``https_port``: the router's, besides its own.
    ``first_port``: of the blocks of new apps; two servers on a host need them apart.
    """

    data: str
    ports: tuple[int, int, int]
    router_port: int | None
    owner: str | None = None
    router_host: str = HOST
    domain: str = "localhost"
    push_creates_apps: bool = False
    build_timeout: float | None = None
    slug_limit: int | None = None
    https_port: int | None = None
    router_timeouts: Timeouts = Timeouts()
    first_port: int | None = None
    allow_local_addresses: bool = False


def serve(options: Options, say: Callable[[str], None]) -> int:
    """Serve until SIGTERM or SIGINT. Raises ProcmanError when it cannot begin."""
    os.umask(0o077)
    layout = Layout(options.data)
    layout.make()
    lock = DataLock(layout.lock, options.data)
    try:
        certificates.ensure(layout.path("tls"), certificates.names_of_host())
        sockets = bind_all(options.ports, layout.socket)
        db = Database(layout.database)
        try:
            asyncio.run(run(options, layout, sockets, db, say))
        except (OSError, sqlite3.OperationalError) as error:
            raise ProcmanError(f"cannot serve: {words_of(error, options.data)}", "procman doctor") from error
        finally:
            db.close()
    finally:
        lock.close()
    return 0


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
    program, env = (sys.executable, "-P", "-m", "procman"), surroundings()
    uid, words = first_uid(program, env)
    if words:
        say(words)
    settings = settings_of(options, uid)
    context = certificates.context_of(layout.path("tls"))
    rendezvous = RendezvousServer(settings.rendezvous_address, context)
    groups = Groups(prepare_groups, entry_of, cgroups.withdraw)
    runtime = LocalRuntime(layout.path("apps"), Surroundings(program, env, groups), Owners(db).uid_of)
    logs = AppLogs(layout, runtime.listen)
    runtime.on_log_news(logs.tell)
    host = Host(db, runtime, layout, logs, settings, rendezvous=rendezvous)
    outputs = Outputs(layout)
    host.rollouts, host.builds = Rollouts(host, outputs), Builds(host, outputs)
    host.git_access = GitAccess(host, host.builds)
    host.numbers = numbers = Numbers(host, layout.path("metrics"))
    if options.router_port:
        host.traffic = RouterTraffic(host, router_of(options, layout, logs, numbers), settings.ports_per_app)
    git = Git(host.git_access)
    front = Front(Api(host, (*ROUTES, *pushes.ROUTES), logs.of), git)
    return Parts(host, runtime, logs, numbers, rendezvous, context, front)


async def run(
    options: Options, layout: Layout, sockets: Sockets, db: Database, say: Callable[[str], None]
) -> None:
    """Start the parts, let them work until a signal, and close them in the opposite order."""
    ended = watch_signals()
    parts = compose(options, layout, db, say)
    host, tls = parts.host, layout.path("tls")
    owner, made = ensure_owner(host, options.owner)
    write_hooks(layout.path("repos", "hooks"))
    sweep(layout.path("repos"))
    notifier = Notifier(os.environ, os.getpid())
    async with AsyncExitStack() as stack:
        stack.callback(notifier.close)
        stack.callback(parts.logs.own.close)
        stack.push_async_callback(parts.runtime.close)
        await clear_up(host, parts.runtime, await parts.runtime.find())
        if isinstance(host.traffic, RouterTraffic):
            stack.push_async_callback(host.traffic.close)
            await host.traffic.start()
        stack.push_async_callback(host.builds.close)
        stack.push_async_callback(host.rollouts.close)
        await host.builds.resume()
        await host.rollouts.resume()
        background: tuple[Background, ...] = (
            Drains(host, parts.logs, layout.path("drains")),
            Deliverer(host, partial(describe, host)),
            Schedules(host),
            parts.numbers,
            Renewal(tls, parts.context),
        )
        for part in background:
            part.start()
            stack.push_async_callback(part.close)
        await parts.rendezvous.start(sockets.rendezvous)
        stack.push_async_callback(parts.rendezvous.close)
        await stack.enter_async_context(listening(parts.front, sockets, parts.context))
        write_addresses(options, layout)
        say(greeting(options, owner.email, made))
        notifier.ready(f"Serving {host.settings.api_url}")
        await ended.wait()
        heed_no_more()
        notifier.stopping()


def settings_of(options: Options, uid: int | None) -> Settings:
    """How this server is reached, and what it may do."""
    plain, tls, rendezvous = options.ports
    usual = Settings()
    return Settings(
        api_url=f"http://{HOST}:{plain}",
        git_host=f"{HOST}:{tls}",
        rendezvous_address=f"{HOST}:{rendezvous}",
        router_port=options.router_port or 0,
        domain=options.domain,
        first_uid=uid,
        mount=mount_point(),
        first_port=options.first_port or usual.first_port,
        push_creates_apps=options.push_creates_apps,
        allow_local_addresses=options.allow_local_addresses,
        build_timeout=options.build_timeout or usual.build_timeout,
        slug_limit=options.slug_limit or usual.slug_limit,
    )


def write_addresses(options: Options, layout: Layout) -> None:
    """For ``procman server env``."""
    plain, tls, rendezvous = options.ports
    addresses = Addresses(f"http://{HOST}:{plain}", f"{HOST}:{tls}", f"{HOST}:{rendezvous}", options.router_port)
    text = json.dumps(addresses._asdict())
    if read_secret(layout.path(ADDRESSES)) != text:  # a full disk keeps no server from its start
        write_private(layout.path(ADDRESSES), text.encode())


def router_of(options: Options, layout: Layout, logs: AppLogs, numbers: Numbers) -> Router:
    """HAProxy, whose lines go to the apps' logs and are counted."""

    def write(app_id: str, lines: bytes) -> None:
        logs.own.append(app_id, "heroku", "router", lines)
        numbers.routed(app_id, lines)

    address = f"{options.router_host}:{options.router_port}"
    https = f"{options.router_host}:{options.https_port}" if options.https_port else None
    settings = RouterSettings(address, timeouts=options.router_timeouts, user=default_user())
    return Router(layout.path("router"), address, https, None, write, settings)


def surroundings() -> dict[str, str]:
    """What supervisors get of our environment: nothing secret, and this very procman."""
    root = os.path.dirname(os.path.dirname(os.path.abspath(procman.__file__)))
    path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
    return {"PATH": os.environ.get("PATH", os.defpath), "LANG": "C.UTF-8", "PYTHONPATH": path}


def watch_signals() -> asyncio.Event:
    """Set when it is time to go."""
    ended, loop = asyncio.Event(), asyncio.get_running_loop()
    for signum in STOP_SIGNALS:
        loop.add_signal_handler(signum, ended.set)
    loop.add_signal_handler(signal.SIGHUP, lambda: None)
    return ended


def heed_no_more() -> None:
    """Stop signals that come again find the server going already; the loop's end would give them their deadly sense."""
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    for signum in STOP_SIGNALS:
        asyncio.get_running_loop().remove_signal_handler(signum)
        signal.signal(signum, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)


def greeting(options: Options, email: str, made: bool) -> str:
    """What a person reads when the server serves: the lines that point a shell at it."""
    plain, router = f"http://{HOST}:{options.ports[0]}", options.router_port
    routed = f", apps at http://NAME.{options.domain}:{router}" if router else ", without a router"
    lines = [f"Serving {options.data} at {plain}{routed}"]
    if made:
        lines.append(f"Made the account {email}; its key is in {options.data}/owner.key")
    lines += [
        "Point a shell at it:",
        f'  eval "$(procman server env --data {options.data})"',
        "  heroku apps, or procman apps",
        "  heroku create demo && git push heroku main",
    ]
    return "\n".join(lines)
