"""The HTTP check that new web dynos have to pass, made by the loop itself: no thread, and nothing that blocks."""

import errno
import os
import socket
from collections.abc import Mapping

from procman.core.model import DynoName
from procman.core.plan import Health
from procman.supervisor.loop import FOREVER, Loop

RETRY_S = 0.5
HEAD = 1024  # bytes of an answer that are looked at
ADDRESS = "127.0.0.1"


class Check:
    """One dyno's. ``until``: when it has to be passed. ``try_at``: when to try next; ``give_up_at``: this try."""

    def __init__(self, port: int, health: Health, host: str, now: float) -> None:
        self.port = port
        self.health = health
        self.host = host
        self.until = now + health.within
        self.try_at = now
        self.give_up_at = FOREVER
        self.peer: socket.socket | None = None
        self.head = b""
        self.found = f"GET {health.path} was not answered"


class HealthChecks:
    """Asks each added dyno until it answers well, or has had its time. ``passed`` and ``sick`` tell who has."""

    def __init__(self, loop: Loop) -> None:
        self.passed: set[DynoName] = set()
        self.sick: dict[DynoName, str] = {}
        self._loop = loop
        self._checks: dict[DynoName, Check] = {}
        loop.on_deadline(self._deadline, self._look)

    def add(self, dyno: DynoName, port: int, health: Health, env: Mapping[str, str]) -> None:
        """Begin, unless that is done already. The app is asked under its own name, if it has one."""
        if dyno in self._checks or dyno in self.passed or dyno in self.sick:
            return
        host = env.get("HEROKU_APP_DEFAULT_DOMAIN_NAME") or ADDRESS
        self._checks[dyno] = Check(port, health, host, self._loop.now())

    def clear(self) -> None:
        """Nobody wants to know any more."""
        for check in self._checks.values():
            self._hang_up(check)
        self._checks.clear()
        self.passed.clear()
        self.sick.clear()

    def _deadline(self) -> float:
        return min((min(one.try_at, one.give_up_at) for one in self._checks.values()), default=FOREVER)

    def _look(self, now: float) -> None:
        for dyno, check in list(self._checks.items()):
            if check.give_up_at <= now:
                check.found = f"GET {check.health.path} was not answered within {check.health.timeout:g} seconds"
                self._try_later(dyno, check)
            elif check.try_at <= now:
                self._ask(dyno, check)

    def _ask(self, dyno: DynoName, check: Check) -> None:
        check.try_at, check.head = FOREVER, b""
        check.give_up_at = self._loop.now() + check.health.timeout
        try:
            check.peer = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            check.peer.setblocking(False)
            failed = check.peer.connect_ex((ADDRESS, check.port))
        except OSError as error:
            failed = error.errno or errno.EIO
        if failed not in (0, errno.EINPROGRESS) or check.peer is None:
            self._fail(dyno, check, failed)
            return
        self._loop.watch(check.peer.fileno(), lambda: self._send(dyno, check), writable=True)

    def _send(self, dyno: DynoName, check: Check) -> None:
        assert check.peer is not None
        text = (
            f"GET {check.health.path} HTTP/1.1\r\nHost: {check.host}\r\nUser-Agent: procman\r\n"
            "X-Forwarded-Proto: https\r\nConnection: close\r\n\r\n"
        )
        failed = check.peer.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        try:
            if not failed:
                check.peer.send(text.encode())  # so short that a fresh connection takes it whole
        except OSError as error:
            failed = error.errno or errno.EIO
        if failed:
            self._fail(dyno, check, failed)
            return
        self._loop.unwatch(check.peer.fileno())
        self._loop.watch(check.peer.fileno(), lambda: self._receive(dyno, check))

    def _receive(self, dyno: DynoName, check: Check) -> None:
        assert check.peer is not None
        try:
            chunk = check.peer.recv(HEAD)
        except BlockingIOError:
            return
        except OSError as error:
            self._fail(dyno, check, error.errno or errno.EIO)
            return
        check.head += chunk
        if chunk and b"\n" not in check.head and len(check.head) < HEAD:
            return
        status = status_of(check.head)
        if 200 <= status < 400 or (status and check.health.any_answer):
            self._hang_up(check)
            del self._checks[dyno]
            self.passed.add(dyno)
            return
        words = f"answered with {status}" if status else "not answered in HTTP"
        check.found = f"GET {check.health.path} was {words}"
        self._try_later(dyno, check)

    def _fail(self, dyno: DynoName, check: Check, failed: int) -> None:
        check.found = f"GET {check.health.path} failed: {os.strerror(failed)}"
        self._try_later(dyno, check)

    def _try_later(self, dyno: DynoName, check: Check) -> None:
        self._hang_up(check)
        check.give_up_at, check.try_at = FOREVER, self._loop.now() + RETRY_S
        if check.try_at >= check.until:
            del self._checks[dyno]
            self.sick[dyno] = check.found

    def _hang_up(self, check: Check) -> None:
        peer, check.peer = check.peer, None
        if peer is not None:
            try:
                self._loop.unwatch(peer.fileno())
            except KeyError:
                pass  # it was never connected
            peer.close()


def status_of(head: bytes) -> int:
    """Of an answer's first line; 0 when that is none."""
    words = head.split(b"\n", 1)[0].split()
    return int(words[1]) if len(words) > 1 and words[0].startswith(b"HTTP/1.") and words[1].isdigit() else 0
