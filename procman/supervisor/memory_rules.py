"""What is said and done about a dyno's memory and load, as pure functions of what was measured."""

import math
from typing import NamedTuple

from procman.core.plan import Limits

PERIOD_S = 20.0  # Heroku: R14 repeats, and log-runtime-metrics come, about every 20 s
SOON_S = 2.0  # without a control group nobody stops a fast climber but we
NEAR_S = 1.0
MB = 1 << 20
MINUTES = (1, 5, 15)


class Usage(NamedTuple):
    """What a dyno uses, in bytes, and pages moved since it began (None: not counted here).

    ``shared``: the part of ``cache`` that is shared memory, which no file stands behind.
    """

    rss: int
    cache: int = 0
    swap: int = 0
    shared: int = 0
    pgpgin: int | None = None
    pgpgout: int | None = None

    @property
    def firm(self) -> int:
        """What counts against the quota. File pages do not: the kernel takes them back before it refuses anything."""
        return self.rss + self.swap + self.shared

    @property
    def total(self) -> int:
        """What Heroku's ``memory_total`` adds up."""
        return self.rss + self.cache + self.swap


class Verdict(NamedTuple):
    """Lines about the dyno, and whether it has to be killed."""

    lines: tuple[str, ...] = ()
    kill: bool = False


def judge(used: int, limits: Limits, killed: bool) -> Verdict:
    """Heroku: dyno-memory-behavior. ``killed``: the kernel has stopped a process at the hard limit already."""
    running = f"Process running mem={used // MB}M({used * 100 / limits.memory:.1f}%)"
    if killed or used > limits.vast:
        return Verdict(
            (running, "Error R15 (Memory quota vastly exceeded)", "Stopping process with SIGKILL"), kill=True
        )
    if used > limits.memory:
        return Verdict((running, "Error R14 (Memory quota exceeded)"))
    return Verdict()


def interval(used: int, limits: Limits, grouped: bool) -> float:
    """Seconds until the next look. ``grouped``: the kernel itself holds the hard limit, and has only to be asked."""
    if grouped and used * 4 <= limits.vast * 3:
        return PERIOD_S if used * 2 <= limits.memory else PERIOD_S / 4
    return NEAR_S if used * 2 > limits.memory else SOON_S


def next_look(now: float, seconds: float) -> float:
    """The next whole multiple of the interval: dynos that are looked at equally often share one wake-up."""
    return (math.floor(now / seconds) + 1) * seconds


class Load(NamedTuple):
    """Exponentially damped counts of runnable tasks over 1, 5 and 15 minutes; ``seconds`` for which it was counted."""

    averages: tuple[float, ...] = (0.0, 0.0, 0.0)
    seconds: float = 0.0

    def after(self, runnable: int, seconds: float) -> "Load":
        """With one more count, taken ``seconds`` after the last."""
        damped = (
            average * (kept := math.exp(-seconds / (minutes * 60))) + runnable * (1 - kept)
            for average, minutes in zip(self.averages, MINUTES, strict=True)
        )
        return Load(tuple(damped), self.seconds + seconds)

    def words(self) -> str:
        """Averages over times that have passed; that over one minute always (Heroku: it appears first)."""
        return " ".join(
            f"sample#load_avg_{minutes}m={average:.2f}"
            for average, minutes in zip(self.averages, MINUTES, strict=True)
            if minutes == 1 or self.seconds >= minutes * 60
        )


def metrics(source: str, identity: str, load: Load, usage: Usage, limits: Limits) -> tuple[str, str]:
    """The two lines of ``log-runtime-metrics``. ``identity``: ``APPID.DYNOID``."""
    head = f"source={source} dyno=heroku.{identity}"
    sizes = {"total": usage.total, "rss": usage.rss, "cache": usage.cache, "swap": usage.swap}
    pages = {"pgpgin": usage.pgpgin, "pgpgout": usage.pgpgout}
    parts = [f"sample#memory_{name}={size / MB:.2f}MB" for name, size in sizes.items()]
    parts += [f"sample#memory_{name}={count}pages" for name, count in pages.items() if count is not None]
    parts.append(f"sample#memory_quota={limits.memory / MB:.2f}MB")
    return f"{head} {load.words()}", f"{head} {' '.join(parts)}"
