"""What apps do, in numbers: requests, latencies, memory, load, restarts and error codes. Pure: no clock, no disk.

Fed with the router's lines (a regular expression over the whole batch, then counting by value: no loop a line), with
samples of dynos, and with what goes wrong. Totals since the start are for Prometheus; slots of some minutes, closed as
time goes by, are the day's history. Only the router's own lines may be fed as such: an app could print anything.
"""

import re
from collections import Counter, deque
from collections.abc import Iterable
from typing import NamedTuple

from procman.logs.histogram import Histogram
from procman.logs.line import STAMP

SLOT_S = 120
SLOTS = 720  # a day
MOST_DYNOS = 1000  # gauges an app
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE"})
# The keys of a router line in their order (heroku-model: router log line). A path has no spaces, so none ends early.
ROUTED = re.compile(
    rb'at=[a-z]+(?: code=([A-Z]\d\d) desc="[^"\n]*")?(?: sock=\w+)? method=(\S*) path=\S* host=\S* request_id=\S* '
    rb'fwd=(?:"[^"\n]*"|\S*) dyno=\S* connect=(\d*)(?:ms)? service=(\d*)(?:ms)? status=(\d?)\d* bytes=(\d*)'
)
OWN = rb"^%s heroku\[([^\s\]]+)\]: " % STAMP  # a dyno's lines may hold anything, but not at their beginning
SAMPLED = re.compile(OWN + rb"source=\S+ dyno=\S+ (sample#[^\n]+)", re.MULTILINE)
FIELD = re.compile(rb"sample#(load_avg_1m|memory_total|memory_quota)=(\d{1,15}(?:\.\d{1,6})?)")
FAILED = re.compile(OWN + rb"Error ([RL]\d\d) ", re.MULTILINE)
CRASHED = re.compile(OWN + rb"State changed from \w+ to crashed\n", re.MULTILINE)


class Dyno(NamedTuple):
    """The latest of one dyno. Bytes; ``load``: over one minute."""

    memory: float = 0.0
    quota: float = 0.0
    load: float = 0.0


class Row(NamedTuple):
    """One closed slot. ``at``: its begin, in seconds since the epoch. ``classes``: by first digit of the status.

    Milliseconds of service at three percentiles; bytes of all dynos together, at their most.
    """

    at: int
    classes: dict[str, int]
    p50: float
    p95: float
    p99: float
    memory: float
    load: float
    restarts: int
    codes: dict[str, int]


class Slot:
    """What happened in some minutes."""

    def __init__(self, at: int) -> None:
        self.at = at
        self.classes: Counter[str] = Counter()
        self.codes: Counter[str] = Counter()
        self.service = Histogram()
        self.memory = 0.0
        self.load = 0.0
        self.restarts = 0

    def row(self) -> Row:
        """As it is kept."""
        p50, p95, p99 = (self.service.percentile(share) for share in (0.5, 0.95, 0.99))
        codes = dict(self.codes)
        return Row(self.at, dict(self.classes), p50, p95, p99, self.memory, self.load, self.restarts, codes)


class App:
    """All numbers of one app."""

    def __init__(self, at: int, slots: int) -> None:
        self.requests: Counter[tuple[str, str]] = Counter()  # by method and class
        self.codes: Counter[str] = Counter()  # H, R and L
        self.restarts: Counter[str] = Counter()  # by dyno
        self.service = Histogram()
        self.connect = Histogram()
        self.bytes = 0
        self.dynos: dict[str, Dyno] = {}
        self.slot = Slot(at)
        self.recent = Histogram()  # of the slot before
        self.history: deque[Row] = deque(maxlen=slots)


class Metrics:
    """The numbers of all apps. ``now`` is in seconds since the epoch everywhere."""

    def __init__(self, slot_s: int = SLOT_S, slots: int = SLOTS) -> None:
        self.apps: dict[str, App] = {}
        self._slot_s = slot_s
        self._slots = slots

    def routed(self, app_id: str, lines: bytes, now: float) -> None:
        """Lines of the router, with or without what stands before ``at=``."""
        found = ROUTED.findall(lines)
        if not found:
            return
        app = self.app(app_id, now)
        codes, methods, connects, services, classes, sizes = zip(*found, strict=True)
        for (method, first), count in Counter(zip(methods, classes, strict=True)).items():
            status = f"{first.decode()}xx" if first else "none"
            app.requests[method_of(method), status] += count
            app.slot.classes[status] += count
        for code, count in Counter(codes).items():
            if code:
                self._count(app, code.decode(), count)
        for value, count in Counter(services).items():
            if value:
                app.service.add(int(value), count)
                app.slot.service.add(int(value), count)
        for value, count in Counter(connects).items():
            if value:
                app.connect.add(int(value), count)
        app.bytes += sum(map(int, filter(None, sizes)))

    def sampled(self, app_id: str, dyno: str, sample: Dyno, now: float) -> None:
        """What a dyno uses now."""
        app = self.app(app_id, now)
        if dyno in app.dynos or len(app.dynos) < MOST_DYNOS:
            app.dynos[dyno] = sample
        app.slot.memory = max(app.slot.memory, sum(each.memory for each in app.dynos.values()))
        app.slot.load = max(app.slot.load, sum(each.load for each in app.dynos.values()))

    def keep_dynos(self, app_id: str, names: Iterable[str]) -> None:
        """Forget the gauges of all other dynos of the app: they are gone."""
        if app := self.apps.get(app_id):
            stay = set(names)
            app.dynos = {name: sample for name, sample in app.dynos.items() if name in stay}

    def restarted(self, app_id: str, dyno: str, now: float) -> None:
        """A dyno came back, or is about to."""
        app = self.app(app_id, now)
        if dyno in app.restarts or len(app.restarts) < MOST_DYNOS:
            app.restarts[dyno] += 1
        app.slot.restarts += 1

    def failed(self, app_id: str, code: str, now: float) -> None:
        """An error with a code was told of: R14."""
        self._count(self.app(app_id, now), code, 1)

    def read(self, app_id: str, batch: bytes, now: float) -> None:
        """Take samples, crashes and R-codes from stored lines of a supervisor: its own, not the dynos'."""
        if b" heroku[" not in batch:
            return
        for dyno, text in SAMPLED.findall(batch):
            fields = {key: float(value) for key, value in FIELD.findall(text)}
            old = self.apps[app_id].dynos.get(dyno.decode(), Dyno()) if app_id in self.apps else Dyno()
            memory = fields.get(b"memory_total", old.memory / (1 << 20)) * (1 << 20)
            quota = fields.get(b"memory_quota", old.quota / (1 << 20)) * (1 << 20)
            self.sampled(app_id, dyno.decode(), Dyno(memory, quota, fields.get(b"load_avg_1m", old.load)), now)
        for dyno in CRASHED.findall(batch):
            self.restarted(app_id, dyno.decode(), now)
        for _, code in FAILED.findall(batch):
            self.failed(app_id, code.decode(), now)

    def remove(self, app_id: str) -> None:
        """Forget an app."""
        self.apps.pop(app_id, None)

    def app(self, app_id: str, now: float) -> App:
        """The numbers of an app, with the slot of ``now`` open."""
        at = int(now // self._slot_s) * self._slot_s
        app = self.apps.get(app_id)
        if app is None:
            app = self.apps[app_id] = App(at, self._slots)
        elif at > app.slot.at:
            app.history.append(app.slot.row())
            app.recent = app.slot.service if at == app.slot.at + self._slot_s else Histogram()
            app.slot = Slot(at)
        return app

    def restore(self, app_id: str, rows: Iterable[Row], now: float) -> None:
        """Take up the history of an earlier server; rows of more than a day ago are left out."""
        oldest = now - self._slot_s * self._slots
        app = self.app(app_id, now)
        app.history.extendleft(reversed([row for row in rows if oldest <= row.at < app.slot.at]))

    def _count(self, app: App, code: str, count: int) -> None:
        app.codes[code] += count
        app.slot.codes[code] += count


def method_of(word: bytes) -> str:
    """A request's method; what clients invent is one."""
    method = word.decode("ascii", "replace")
    return method if method in METHODS else "OTHER"
