"""How it is found out whether a dyno is healthy, by process type, and what comes of it for its profile."""

from procman.core.model import Profile
from procman.typed import Any, NamedTuple


def spelt(seconds: float) -> str:
    """``1 second``, ``60 seconds``."""
    return f"{seconds:g} second{'' if seconds == 1 else 's'}"


class Probe(NamedTuple):
    """One way to ask, and how long an answer may take in seconds. Exactly one of the first three is set.

    ``http``: a path on the dyno's port, to be answered below 400. ``command``: for the shell, to end with status 0.
    ``notify``: the dyno tells by itself (sd_notify(3)): READY=1, and WATCHDOG=1 from time to time.
    """

    http: str = ""
    command: str = ""
    notify: bool = False
    timeout: float = 5.0

    def missing(self) -> str:
        """What there is to say of a dyno that has not even been asked yet."""
        if self.http:
            return f"GET {self.http}: nothing listens on $PORT"
        return f"`{self.command}` has not ended" if self.command else "READY=1 has not come"


class Checks(NamedTuple):
    """``ready``: passed, the dyno is up, within so many seconds of its start. ``live``: asked of one that is up, every
    so many seconds; so many failures in a row end it, and it is tried again as after a crash.
    """

    ready: Probe | None = None
    live: Probe | None = None
    within: float = 60.0
    every: float = 10.0
    failures: int = 3

    def notified(self) -> bool:
        """Whether the dyno has something to tell."""
        return any(probe.notify for probe in self.probes())

    def probes(self) -> list[Probe]:
        """All there are."""
        return [probe for probe in (self.ready, self.live) if probe]


def held_to(profile: Profile, checks: Checks | None) -> Profile:
    """The profile of a type whose dynos are checked."""
    if checks is None or profile.one_off:
        return profile
    if checks.live:
        profile = profile._replace(failures=checks.failures)
    if checks.ready:
        ported = bool(checks.ready.http)
        profile = profile._replace(boot_timeout=checks.within, check=checks.ready.missing(), ported=ported)
    return profile


def plain(checks: Checks) -> dict[str, Any]:
    """As plain data."""
    probes = {"ready": checks.ready, "live": checks.live}
    return {**checks._asdict(), **{name: probe._asdict() if probe else None for name, probe in probes.items()}}


def from_plain(row: dict[str, Any]) -> Checks:
    """The same again."""
    ready, live = (Probe(**row[name]) if row[name] else None for name in ("ready", "live"))
    return Checks(**{**row, "ready": ready, "live": live})
