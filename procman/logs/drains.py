"""All log drains of a server: which there are, each with a task of its own."""

import asyncio
import logging
import os
import ssl
from collections.abc import Callable, Sequence
from typing import NamedTuple

from procman.errors import ProcmanError
from procman.logs.couriers import HttpCourier, TcpCourier, Trouble
from procman.logs.drain_http import HttpReceiver
from procman.logs.drain_tcp import TcpReceiver
from procman.logs.drain_url import Receiver, parse_url
from procman.logs.news import AppLog
from procman.logs.shipper import Courier, Pace, Shipper
from procman.logs.syslog import Framing
from procman.reach import Reach

log = logging.getLogger(__name__)


class Drain(NamedTuple):
    """A drain as the platform knows it. ``url`` may hold a password, ``token`` is the host field of its messages."""

    id: str
    token: str
    url: str


class Running(NamedTuple):
    """A drain at work."""

    drain: Drain
    shipper: Shipper
    task: "asyncio.Task[None]"


class DrainManager:
    """Ships the logs of all apps. ``read_stream``: an app's log. ``state_dir``: keeps a small file a drain.

    ``ca_file``: the certificates to trust instead of the system's. ``report``: takes an app and what its log should say
    as ``heroku[logplex]``. ``reach``: where drains may lead.
    """

    def __init__(
        self,
        read_stream: Callable[[str], AppLog],
        state_dir: str,
        pace: Pace | None = None,
        ca_file: str | None = None,
        report: Callable[[str, str], None] | None = None,
        reach: Reach | None = None,
    ) -> None:
        os.makedirs(state_dir, mode=0o700, exist_ok=True)
        self._read_stream = read_stream
        self._state_dir = state_dir
        self._pace = pace or Pace()
        self._ca_file = ca_file
        self._report = report
        self._reach = reach or Reach()
        self._contexts: dict[bool, ssl.SSLContext] = {}
        self._running: dict[str, dict[str, Running]] = {}  # by app and drain
        self._ending: set[asyncio.Task[None]] = set()

    def set_drains(self, app_id: str, drains: Sequence[Drain]) -> None:
        """Make these the drains of an app. One that was there goes on; one that is gone is forgotten.

        A URL that cannot be one is left out and logged: ``parse_url`` says so beforehand.
        """
        old, new = self._running.pop(app_id, {}), {}
        for drain in map(Drain._make, drains):
            there = old.get(drain.id)
            if there and there.drain == drain:
                new[drain.id] = old.pop(drain.id)
                continue
            if there:
                self._end(old.pop(drain.id))
            try:
                new[drain.id] = self._start(app_id, drain)
            except ProcmanError as error:
                log.warning("drain=%s %s", drain.id, error.what)
        for running in old.values():
            self._end(running)
            self._remove(self._path(running.drain))
        if new:
            self._running[app_id] = new

    async def close(self) -> None:
        """End all, and keep their places. What is on the way gets some seconds to arrive."""
        running = [drain for drains in self._running.values() for drain in drains.values()]
        self._running.clear()
        await asyncio.gather(*(drain.shipper.stop(drain.task) for drain in running))
        if self._ending:
            await asyncio.wait(self._ending, timeout=self._pace.patience_s)

    def _start(self, app_id: str, drain: Drain) -> Running:
        to = parse_url(drain.url)
        report = self._report
        trouble = Trouble(to.shown(), (lambda text: report(app_id, text)) if report else None)
        framing = Framing() if to.http else Framing(drain.token)
        stream = self._read_stream(app_id)
        courier = self._courier(to, drain, trouble, stream.news.tell)
        shipper = Shipper(stream, self._path(drain), courier, framing, self._pace)
        return Running(drain, shipper, asyncio.create_task(self._keep(shipper, drain)))

    def _courier(self, to: Receiver, drain: Drain, trouble: Trouble, ring: Callable[[], None]) -> Courier:
        pace, tls = self._pace, self._context(to.insecure) if to.tls else None
        if to.http:
            return HttpCourier(HttpReceiver(to, drain.token, tls, pace.timeout_s, self._reach), pace, trouble)
        clock = asyncio.get_running_loop().time
        waits = pace.timeout_s, pace.reconnect_s, pace.reconnect_max_s
        receiver = TcpReceiver(to, tls, *waits, clock, ring, self._reach)
        return TcpCourier(receiver, trouble)

    async def _keep(self, shipper: Shipper, drain: Drain) -> None:
        """A log that cannot be read now, or a mistake of ours, shall not end a drain for good."""
        while True:
            try:
                return await shipper.run()
            except Exception:
                log.exception("drain=%s stopped, to go on in %s s", drain.id, self._pace.reconnect_s)
            await asyncio.sleep(self._pace.reconnect_s)

    def _end(self, running: Running) -> None:
        running.task.cancel()
        self._ending.add(running.task)
        running.task.add_done_callback(self._ending.discard)

    def _context(self, insecure: bool) -> ssl.SSLContext:
        """Shared: reading the system's certificates takes long."""
        context = self._contexts.get(insecure)
        if context is None:
            context = self._contexts[insecure] = ssl.create_default_context(cafile=self._ca_file)
            if insecure:
                context.check_hostname = False
                context.verify_mode = ssl.CERT_NONE
        return context

    def _path(self, drain: Drain) -> str:
        if not drain.id.replace("-", "").isalnum():
            raise ProcmanError(f"cannot keep the place of drain {drain.id}: not an id")
        return os.path.join(self._state_dir, drain.id)

    @staticmethod
    def _remove(path: str) -> None:
        try:
            os.unlink(path)
        except FileNotFoundError:
            return
