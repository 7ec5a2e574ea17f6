"""Counts of what went through the router, per app and dyno, since the server began."""

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from procman.router.requests_log import Request

# Upper bounds in milliseconds, a fifth apart or so above 10: a percentile is right to 20 %.
BOUNDS = tuple(dict.fromkeys(round(1.2**n) for n in range(64)))

ZERO = ord("0")


class Counts(NamedTuple):
    """``statuses``: by class, ``2`` to ``5`` (and ``1``); ``times``: requests by the ``BOUNDS`` of their service time;
    ``sessions``: requests in flight now.
    """

    requests: int
    statuses: Mapping[int, int]
    codes: Mapping[str, int]
    bytes: int
    total_ms: int
    times: tuple[int, ...]
    sessions: int = 0

    def percentile(self, share: float) -> float:
        """Milliseconds within which this share (0…1) of the requests that reached a dyno was served."""
        wanted = share * sum(self.times)
        for bound, count in zip(BOUNDS, self.times, strict=False):
            wanted -= count
            if wanted <= 0:
                return float(bound)
        return float(BOUNDS[-1])


class Tally:
    """Counts that grow: of one dyno of one app, or of what reached none (dyno ``""``)."""

    def __init__(self) -> None:
        self.requests = self.bytes = self.total_ms = 0
        self.statuses = [0] * 10
        self.codes: dict[bytes, int] = {}
        self.times = [0] * (len(BOUNDS) + 1)

    def add(self, request: Request) -> None:
        """One more."""
        self.requests += 1
        self.bytes += request.size
        self.statuses[request.status[0] - ZERO] += 1
        if request.service >= 0:
            self.total_ms += request.service
            self.times[bisect_left(BOUNDS, request.service)] += 1
        if request.code:
            self.codes[request.code] = self.codes.get(request.code, 0) + 1

    def counts(self, sessions: int) -> Counts:
        """As they are now."""
        statuses = {number: count for number, count in enumerate(self.statuses) if count}
        times = tuple(self.times)
        codes = {code.decode(): count for code, count in self.codes.items()}
        return Counts(self.requests, statuses, codes, self.bytes, self.total_ms, times, sessions)


class Traffic:
    """All apps."""

    def __init__(self) -> None:
        self._tallies: dict[tuple[bytes, bytes], Tally] = {}

    def add(self, requests: Iterable[Request]) -> None:
        """A batch from the log."""
        tallies = self._tallies
        for request in requests:
            key = (request.app_id, request.dyno)
            tally = tallies.get(key)
            if tally is None:
                tally = tallies[key] = Tally()
            tally.add(request)

    def forget(self, app_ids: Iterable[str]) -> None:
        """Apps that are no more."""
        gone = {app_id.encode() for app_id in app_ids}
        self._tallies = {key: tally for key, tally in self._tallies.items() if key[0] not in gone}

    def counts(self, sessions: Mapping[tuple[str, str], int]) -> dict[str, dict[str, Counts]]:
        """By app id and dyno. ``sessions``: requests in flight, by both."""
        found: dict[str, dict[str, Counts]] = {}
        tallies = {(app_id.decode(), dyno.decode()): tally for (app_id, dyno), tally in self._tallies.items()}
        for app_id, dyno in tallies.keys() | sessions.keys():
            tally = tallies.get((app_id, dyno)) or Tally()
            found.setdefault(app_id, {})[dyno] = tally.counts(sessions.get((app_id, dyno), 0))
        return found
