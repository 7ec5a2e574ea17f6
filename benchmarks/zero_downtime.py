"""``python -m benchmarks.zero_downtime``: what becomes of requests while everything happens that happens to a server.

A whole ``procman server`` with HAProxy and two web dynos under constant load: connections that are kept and new ones,
answers that take seconds, uploads of 4 MB, a WebSocket, and wrk where it is installed. Each round: a ``git push``,
scaling up and down, a config change, a rollback, a restart, a certificate (HAProxy reloads), ``kill -9`` of a dyno, of
the server and of HAProxy. No request may fail, other than what was in flight on a dyno or an HAProxy that was killed.
"""

import argparse
import contextlib
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from benchmarks.constant_load import TIMEOUT_S, Load, Outcome
from tests.deploy_site import PYTHON, DeploySite, write
from tests.harness import DEADLINE_S, free_port
from tests.platform_server import poll
from tests.receivers import make_certificate

ROUNDS = 20
APP = "busy"
PROGRAM = (Path(__file__).parent / "polite_web.py").read_text()
PROCFILE = f"web: exec {PYTHON} -S polite_web.py\n"


class Event(NamedTuple):
    """What happened between two moments; ``killed``: when, if what was in flight then may fail."""

    name: str
    began: float
    ended: float
    killed: float | None
    wrk: tuple[int, int]


class Scene:
    """A server with an app under load, and all that is done to it."""

    def __init__(self, with_wrk: bool = True) -> None:
        https = free_port()
        self.site = DeploySite("--router-https-port", str(https))
        self.events: list[Event] = []
        self.wrk = shutil.which("wrk") if with_wrk else None
        self.words = 0
        self.killed: float | None = None

    def start(self) -> None:
        """A first release with two dynos."""
        self.site.start()
        self.clone = self.site.clone(APP, {"Procfile": PROCFILE, "polite_web.py": PROGRAM, "word": "0"})
        self.site.push(self.clone)
        self.scale(2)
        self.load = Load(self.site.server.router_port, f"{APP}.localhost")

    def do(self, name: str, act: Callable[[], None], flooded: bool = True) -> None:
        """Let it happen, and give the load time to notice."""
        began, self.killed = time.monotonic(), None
        with self.flood() if flooded and self.wrk else contextlib.nullcontext([(0, 0)]) as told:
            self.more(5)
            act()
            self.more(20)
        self.events.append(Event(name, began, time.monotonic(), self.killed, told[0]))

    def more(self, count: int) -> None:
        """Wait until so many more requests have ended."""
        wanted = len(self.load.outcomes) + count
        deadline = time.monotonic() + TIMEOUT_S + DEADLINE_S  # not before the clients themselves have given up
        while len(self.load.outcomes) < wanted:
            assert time.monotonic() < deadline, "the load stands still"
            time.sleep(0.02)

    @contextlib.contextmanager
    def flood(self) -> Iterator[list[tuple[int, int]]]:
        """wrk, for as long as the block takes; requests and failures are told in the list when it has ended."""
        url = f"http://127.0.0.1:{self.site.server.router_port}/"
        process = subprocess.Popen(
            [str(self.wrk), "-t1", "-c2", "-d600", "-H", f"Host: {APP}.localhost", url], stdout=subprocess.PIPE
        )
        told: list[tuple[int, int]] = []
        try:
            yield told
        finally:
            process.send_signal(signal.SIGINT)  # it stops, and tells
            told.append(read(process.communicate()[0].decode()))

    def push(self) -> None:
        """Another commit."""
        self.words += 1
        write(self.clone, {"word": str(self.words)})
        self.site.push(self.clone)

    def scale(self, count: int) -> None:
        """To so many dynos."""
        self.site.server.scale(APP, web=count)
        self.settled(count)

    def settled(self, count: int) -> None:
        """All that shall be is up, and nothing else of this generation."""
        poll(lambda: [row["state"] for row in self.site.server.dynos(APP).values()] == ["up"] * count)

    def configure(self) -> None:
        """Another value of a config var, and the release that it makes."""
        self.words += 1
        server = self.site.server
        server.call("PATCH", f"/apps/{APP}/config-vars", {"WORD": str(self.words)})
        self.shows(str(self.words))

    def shows(self, word: str) -> None:
        """The app answers with this word."""
        poll(lambda: self.site.visit(APP).text == word)

    def roll_back(self) -> None:
        """To the release before the last one."""
        server = self.site.server
        release = server.call("POST", f"/apps/{APP}/releases", {"release": str(self.site.current(APP) - 1)})
        assert server.wait_for_release(APP, release["version"]) == "succeeded"

    def restart(self) -> None:
        """Every dyno anew."""
        before = set(self.pids())
        self.site.server.call("DELETE", f"/apps/{APP}/dynos")
        poll(lambda: self.site.visit(APP).headers["x-pid"] not in before)

    def pids(self) -> list[str]:
        """Of dynos that answer."""
        return list({self.site.visit(APP).headers["x-pid"] for _ in range(20)})

    def kill_dyno(self) -> None:
        """One that answers."""
        pid = int(self.site.visit(APP).headers["x-pid"])
        handle = os.pidfd_open(pid)
        os.kill(pid, signal.SIGKILL)
        select.select([handle], [], [])  # from here on its sockets are closed
        self.killed = time.monotonic()
        os.close(handle)
        self.settled(2)

    def kill_server(self) -> None:
        """And start another."""
        self.site.server.kill()
        self.more(50)
        self.site.server.start()
        self.settled(2)

    def reload(self) -> None:
        """A certificate that is new: HAProxy reads it with a reload."""
        self.words += 1
        folder = self.site.base / f"certificate{self.words}"
        folder.mkdir()
        made, server = make_certificate(folder), self.site.server
        before = (server.data / "router" / "certificates.list").read_bytes()
        pair = {"certificate_chain": Path(made.certificate).read_text(), "private_key": Path(made.key).read_text()}
        name = server.call("POST", f"/apps/{APP}/sni-endpoints", pair)["name"]
        domain = f"shop{self.words}.example.com"
        server.call("POST", f"/apps/{APP}/domains", {"hostname": domain, "sni_endpoint": name})
        assert (server.data / "router" / "certificates.list").read_bytes() != before

    def kill_haproxy(self) -> None:
        """Master and workers at once; the server starts another."""
        for pid in self.haproxies():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.killed = time.monotonic()
        poll(self.haproxies)
        poll(self.is_served)

    def haproxies(self) -> list[int]:
        """All of this server's."""
        found = []
        for pid in self.site.server.processes():
            with contextlib.suppress(OSError):
                if b"-W\0-D" in Path(f"/proc/{pid}/cmdline").read_bytes():
                    found.append(pid)
        return found

    def is_served(self) -> bool:
        """Whether there is an answer."""
        with contextlib.suppress(Exception):
            return self.site.visit(APP).status_code == 200
        return False

    def round(self) -> None:
        """Everything, once."""
        self.do("git push", self.push)
        self.do("scale up", lambda: self.scale(4))
        self.do("scale down", lambda: self.scale(2))
        self.do("config change", self.configure)
        self.do("rollback", self.roll_back)
        self.do("restart", self.restart)
        self.do("HAProxy reload", self.reload)
        self.do("server kill -9", self.kill_server)
        self.do("dyno kill -9", self.kill_dyno, flooded=False)
        self.do("HAProxy kill -9", self.kill_haproxy, flooded=False)

    def close(self) -> None:
        """Leave nothing behind."""
        self.site.close()


class Line(NamedTuple):
    """A row of the table."""

    name: str
    times: int
    requests: int
    failed: int
    excused: int
    wrk: tuple[int, int]
    seconds: float
    troubles: dict[str, int]


def read(text: str) -> tuple[int, int]:
    """Requests and failures, as wrk prints them."""
    count, bad = re.search(r"(\d+) requests in", text), re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    errors = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", text)
    failed = (int(bad[1]) if bad else 0) + (sum(map(int, errors.groups())) if errors else 0)
    return int(count[1]) if count else 0, failed


def is_excused(outcome: Outcome, event: Event, gap_s: float) -> bool:
    """In flight at the kill, or begun within ``gap_s`` after it."""
    return event.killed is not None and outcome.began <= event.killed + gap_s and outcome.ended >= event.killed - 0.05


def tabulate(events: list[Event], outcomes: list[Outcome]) -> list[Line]:
    """By kind of event; a request belongs to the event in which it ended, or the one before."""
    lines: dict[str, Line] = {}
    for number, event in enumerate(events):
        until = events[number + 1].began if number + 1 < len(events) else float("inf")
        mine = [outcome for outcome in outcomes if event.began <= outcome.ended < until]
        bad = [outcome for outcome in mine if outcome.trouble]
        gap = 1.0 if "HAProxy" in event.name else 0.0  # nobody listens until there is another HAProxy
        lost = [outcome for outcome in bad if not is_excused(outcome, event, gap)]
        old = lines.get(event.name, Line(event.name, 0, 0, 0, 0, (0, 0), 0.0, {}))
        troubles = dict(old.troubles)
        for outcome in bad:
            word = f"{outcome.kind}: {outcome.trouble}{'' if outcome in lost else ' (in flight)'}"
            troubles[word] = troubles.get(word, 0) + 1
        lines[event.name] = Line(
            event.name, old.times + 1, old.requests + len(mine), old.failed + len(lost),
            old.excused + len(bad) - len(lost),
            (old.wrk[0] + event.wrk[0], old.wrk[1] + event.wrk[1]), old.seconds + event.ended - event.began, troubles,
        )
    return list(lines.values())


def show(lines: list[Line]) -> None:
    """As text."""
    heads = f"{'event':<16}{'times':>6}{'seconds':>9}{'requests':>10}{'wrk':>9}{'failed':>8}"
    print(f"{heads}{'in flight on the killed':>25}")
    for line in lines:
        each = line.seconds / line.times
        counts = f"{line.requests:>10,}{line.wrk[0]:>9,}{line.failed + line.wrk[1]:>8}{line.excused:>25}"
        print(f"{line.name:<16}{line.times:>6}{each:>9.1f}{counts}")
    total = sum(line.requests + line.wrk[0] for line in lines)
    print(f"{total:,} requests, {failures(lines)} failed")
    for line in lines:
        for word, count in sorted(line.troubles.items()):
            print(f"  {line.name}: {count} of {word}")


def failures(lines: list[Line]) -> int:
    """That nothing excuses."""
    return sum(line.failed + line.wrk[1] for line in lines)


def main() -> int:
    """Returns 1 if a request was lost."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.zero_downtime", description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    scene = Scene()
    try:
        scene.start()
        try:
            with scene.load:
                poll(lambda: scene.load.outcomes)
                for number in range(given.rounds):
                    scene.round()
                    print(f"round {number + 1} of {given.rounds}", file=sys.stderr, flush=True)
        finally:
            lines = tabulate(scene.events, scene.load.outcomes)
            show(lines)
        return min(failures(lines), 1)
    finally:
        scene.close()


if __name__ == "__main__":
    sys.exit(main())
