"""Restart behaviour as a value: when a dyno that ended is started again, and when it is given up."""

from zlib import crc32

from procman.typed import NamedTuple

NEVER = float("inf")


class RestartPolicy(NamedTuple):
    """How a formation dyno comes back. All times in seconds.

    ``delays[i]`` is the cool-off before try i of a row of crashes; the last one repeats. A life of at least
    ``forgiven_after`` starts a new row. ``limit`` is the number of restarts within one row (None: no limit;
    0: never restarted). ``on_failure_only``: an exit with status 0 completes the dyno instead of crashing it.
    ``stops_all``: the first exit of any dyno ends the whole formation with its status. ``grace``: how long a
    stop waits between SIGTERM and SIGKILL. ``boot_kills``: a web dyno over its boot timeout is killed (Heroku)
    rather than warned about. ``lives``: after so many runs in all, those asked for included, none is tried again.
    ``spares_long_lives``: a life of at least ``forgiven_after`` is no crash of a row at all: the next follows at once.
    """

    name: str
    delays: tuple[float, ...] = (0.0,)
    jitter: float = 0.0
    forgiven_after: float = 10.0
    limit: int | None = None
    on_failure_only: bool = False
    stops_all: bool = False
    grace: float = 10.0
    boot_kills: bool = False
    lives: int | None = None
    spares_long_lives: bool = False

    def cool_off(self, crashes: int, seed: str) -> float:
        """Seconds to wait after the ``crashes``-th crash of a row (1 is the first); ``NEVER`` when given up.

        The jitter is drawn from ``seed`` (dyno and run), so that the core stays free of randomness and a
        replayed history waits as long as the first time.
        """
        if self.limit is not None and crashes > self.limit:
            return NEVER
        if not crashes:
            return 0.0  # the end of a life that was spared
        delay = self.delays[min(crashes, len(self.delays)) - 1]
        spread = crc32(seed.encode()) / 0xFFFFFFFF * 2 - 1
        return delay * (1 + self.jitter * spread)


def cycle_s(seed: str) -> float:
    """Seconds from a dyno's start to its daily restart (Heroku: dyno-restarts: 24 hours and up to 216 minutes)."""
    return 86_400 + crc32(seed.encode()) / 0xFFFFFFFF * 216 * 60


# Dev Center "dynos": at once, then 10 minutes doubling to 24 hours; up for 10 minutes counts as healthy.
HEROKU = RestartPolicy(
    "heroku",
    delays=(0.0, *(min(600.0 * 2**n, 86_400.0) for n in range(9))),
    forgiven_after=600.0,
    grace=30.0,
    boot_kills=True,
)
DEV = RestartPolicy("dev", delays=(0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0), jitter=0.15)
ALWAYS = RestartPolicy("always")
ON_FAILURE = DEV._replace(name="on-failure", on_failure_only=True)
NEVER_RESTART = DEV._replace(name="never", limit=0)
FOREMAN = DEV._replace(name="foreman", limit=0, stops_all=True)

NAMED: dict[str, RestartPolicy] = {
    policy.name: policy for policy in (DEV, HEROKU, ALWAYS, ON_FAILURE, NEVER_RESTART, FOREMAN)
}


def limited(times: int) -> RestartPolicy:
    """``max=N``: as ``dev``, given up after N restarts in a row."""
    return DEV._replace(name=f"max={times}", limit=times)
