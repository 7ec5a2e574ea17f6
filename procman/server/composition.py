"""The composition root of ``procman server``: rooms are made, joined, started, and closed in the opposite order.

No decision is made here. What the parts are to each other: ``Host`` holds what use cases need; the API, git and the
rendezvous are its doors; the runtime, the router, logs and drains are what it acts on. Whatever runs dynos or passes
requests is another process, and outlives this one.
"""

import asyncio
import contextlib
import json
import os
import shlex
import signal
import sqlite3
from collections.abc import Callable
from contextlib import AsyncExitStack
from functools import partial
from typing import Protocol

from procman.api.webhooks import describe
from procman.errors import ProcmanError
from procman.files import read_secret, write_private
from procman.gitpush.repository import sweep, write_hooks
from procman.platform import signatures
from procman.platform.deliveries import Deliverer
from procman.platform.layout import Layout
from procman.platform.schedules import Schedules
from procman.platform.setup import ensure_owner
from procman.platform.trouble import words_of
from procman.rendezvous import certificates
from procman.server import descriptors
from procman.server.addresses import ADDRESSES, Addresses
from procman.server.apps import clear_up
from procman.server.descriptors import Shortage
from procman.server.listeners import Sockets, bind_all, listening
from procman.server.logs import Drains
from procman.server.notify import Notifier
from procman.server.options import HOST, Options
from procman.server.parts import Parts, compose
from procman.server.place import DataLock
from procman.server.renewal import Renewal
from procman.server.routing import RouterTraffic
from procman.store.database import Database

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Background(Protocol):
    """What works by itself."""

    def start(self) -> None: ...
    async def close(self) -> None: ...


def serve(options: Options, say: Callable[[str], None]) -> int:
    """Serve until SIGTERM or SIGINT. Raises ProcmanError when it cannot begin."""
    os.umask(0o077)
    descriptors.take()
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


async def run(
    options: Options, layout: Layout, sockets: Sockets, db: Database, say: Callable[[str], None]
) -> None:
    """Start the parts, let them work until a signal, and close them in the opposite order."""
    ended = watch_signals()
    asyncio.get_running_loop().set_exception_handler(Shortage())
    parts = compose(options, layout, db, say)
    host, tls = parts.host, layout.path("tls")
    write_hooks(layout.path("repos", "hooks"))
    sweep(layout.path("repos"))
    notifier = Notifier(os.environ, os.getpid())
    async with AsyncExitStack() as stack:
        stack.callback(notifier.close)
        stack.callback(parts.logs.own.close)
        await go_on(stack, parts)
        owner, made = ensure_owner(host, options.owner)  # not before all that is likely to fail
        with contextlib.suppress(sqlite3.OperationalError):  # a full disk: who needs it first makes it
            db.call(signatures.secret)
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
        await parts.rendezvous.start(sockets.rendezvous, sockets.rendezvous.let_in)
        stack.push_async_callback(parts.rendezvous.close)
        await stack.enter_async_context(listening(parts.front, sockets, parts.context))
        write_addresses(options, layout)
        say(greeting(options, owner.email, made))
        notifier.ready(f"Serving {host.settings.api_url}")
        await ended.wait()
        heed_no_more()
        notifier.stopping()
    for signum in STOP_SIGNALS:
        signal.signal(signum, signal.SIG_IGN)  # Python's own end would give them their deadly sense


async def go_on(stack: AsyncExitStack, parts: Parts) -> None:
    """With the dynos that there are, and then with what the last server had begun."""
    host = parts.host
    stack.push_async_callback(parts.runtime.close)
    await clear_up(host, parts.runtime, await parts.runtime.find())
    if isinstance(host.traffic, RouterTraffic):
        stack.push_async_callback(host.traffic.close)
        await host.traffic.start()
    stack.push_async_callback(host.builds.close)
    stack.push_async_callback(host.rollouts.close)
    await host.builds.resume()
    await host.rollouts.resume()


def write_addresses(options: Options, layout: Layout) -> None:
    """For ``procman server env``."""
    plain, tls, rendezvous = options.ports
    addresses = Addresses(f"http://{HOST}:{plain}", f"{HOST}:{tls}", f"{HOST}:{rendezvous}", options.router_port)
    text = json.dumps(addresses._asdict())
    if read_secret(layout.path(ADDRESSES)) != text:  # a full disk keeps no server from its start
        write_private(layout.path(ADDRESSES), text.encode())


def watch_signals() -> asyncio.Event:
    """Set when it is time to go."""
    ended, loop = asyncio.Event(), asyncio.get_running_loop()
    for signum in STOP_SIGNALS:
        loop.add_signal_handler(signum, ended.set)
    loop.add_signal_handler(signal.SIGHUP, lambda: None)
    return ended


def heed_no_more() -> None:
    """Stop signals that come again find the server going already; the loop's end would give them their deadly sense.

    They are heard and left, not ignored: HAProxy or a supervisor that is started meanwhile would ignore them for ever.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    for signum in STOP_SIGNALS:
        asyncio.get_running_loop().remove_signal_handler(signum)
        signal.signal(signum, lambda *_: None)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)


def greeting(options: Options, email: str, made: bool) -> str:
    """What a person reads when the server serves: the lines that point a shell at it."""
    plain, router = f"http://{HOST}:{options.ports[0]}", options.router_port
    routed = f", apps at http://NAME.{options.domain}:{router}" if router else ", without a router"
    lines = [f"Serving {options.data} at {plain}{routed}"]
    if made:
        lines.append(f"Made the account {email}; its key is in {options.data}/owner.key")
    elif options.owner and options.owner != email:
        lines.append(f"The owner is {email}, since the first start: --owner {options.owner} changes nothing")
        lines.append(f"For another account: procman users:add {options.owner} --admin")
    lines += [
        "Point a shell at it:",
        f'  eval "$(procman server env --data {shlex.quote(options.data)})"',
        "  heroku apps, or procman apps",
        "  heroku create demo && git push heroku main",
    ]
    return "\n".join(lines)
