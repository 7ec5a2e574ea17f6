"""A schedule: how processes behave and what happens when, as plain data that is drawn from a seed."""

import errno
import random
import signal
from typing import Any, NamedTuple

TYPES = ("web", "worker", "clock")
POLICIES = ("dev", "heroku", "always", "on-failure", "max=2", "never", "foreman")
FAILURES = (errno.ENOENT, errno.EACCES, errno.EAGAIN, errno.EMFILE, errno.ENOMEM, errno.E2BIG, errno.ENOEXEC)
DEATHS = (0, 1, 3, 143, -signal.SIGKILL, -signal.SIGSEGV, -signal.SIGABRT)
GAPS = (0.0, 0.0, 0.001, 0.02, 0.3, 1.1, 3.0, 12.0, 70.0, 700.0)
NEEDS = ((), (), (), (), (("web", "worker"),), (("worker", "clock"),), (("web", "worker"), ("worker", "clock")))
FLOODS = (100, 9000, 9000, 70_000)  # bytes


class Script(NamedTuple):
    """One process. The defaults say a word, bind at once, live on, and end when they are told to.

    ``fails``: errno of its spawn. ``writes``: pairs of seconds after its birth, and bytes. ``binds``: seconds after
    which it listens on $PORT; None: never. ``ends``: seconds after which it ends by itself, with ``code``.
    ``obeys``: seconds from a stop signal to its end, with ``last``; None: it ignores them. ``offspring``: what it
    starts, ``after`` its own birth; each may be in a session of its own (``setsid``), without the token (``forgets``).
    ``frozen``: seconds of uninterruptible sleep at its birth. ``reaps``: it waits for its children.
    """

    fails: int = 0
    writes: tuple[tuple[float, int], ...] = ((0.0, 30),)
    binds: float | None = 0.01
    ends: float | None = None
    code: int = 0
    obeys: float | None = 0.0
    last: int = -signal.SIGTERM
    offspring: tuple["Script", ...] = ()
    after: float = 0.0
    setsid: bool = False
    forgets: bool = False
    frozen: float = 0.0
    reaps: bool = True


PLAIN = Script()


class Settings(NamedTuple):
    """What a supervisor is started with. ``exit_with``: as in ``Engine``. ``split``: stdout and stderr are two pipes.

    ``room``: bytes in a pipe. ``span``: how many pids there are. ``book``: ports come out of a ``PortBook``.
    ``disk``: bytes of a segment of the log store, 0 without one. ``detached``: dynos outlive a killed supervisor.
    ``needs``: pairs of types, of which the one is not started before the other is up.
    """

    formation: tuple[tuple[str, int], ...]
    policies: tuple[str, str, str]
    grace: float | None = None
    exit_with: str | None = "none"
    split: bool = False
    room: int = 65_536
    span: int = 40
    book: bool = False
    disk: int = 0
    detached: bool = False
    needs: tuple[tuple[str, str], ...] = ()


class Happening(NamedTuple):
    """``gap``: seconds after the one before. ``what``: see ``happenings``; ``detail``: plain values."""

    gap: float
    what: str
    detail: tuple[Any, ...] = ()


class Schedule(NamedTuple):
    """``scripts``: of the first processes, in the order of their spawns; the others are plain."""

    settings: Settings
    scripts: tuple[Script, ...]
    happenings: tuple[Happening, ...]


def draw(seed: int) -> Schedule:
    """The schedule of a seed, always the same."""
    rng = random.Random(seed)
    settings = draw_settings(rng)
    scripts = tuple(draw_script(rng) for _ in range(rng.randrange(2, 12)))
    happenings = tuple(draw_happening(rng) for _ in range(rng.randrange(1, 14)))
    detached = rng.random() < 0.35
    needs = rng.choice(NEEDS)
    return Schedule(settings._replace(detached=detached, needs=needs), scripts, happenings)


def draw_formation(rng: random.Random) -> tuple[tuple[str, int], ...]:
    """One to three types, rarely more than four dynos."""
    types = rng.sample(TYPES, rng.choice((1, 1, 2, 2, 3)))
    return tuple((kind, rng.choice((0, 1, 1, 1, 2, 2, 3))) for kind in types)


def draw_settings(rng: random.Random) -> Settings:
    """Mostly those under which the formation lives on."""
    policies = rng.choices(POLICIES, (6, 6, 2, 3, 2, 1, 1), k=3)
    return Settings(
        draw_formation(rng),
        (policies[0], policies[1], policies[2]),
        rng.choice((None, None, None, 0.0, 3.0)),
        rng.choice(("none", "none", "none", None, "web", "any")),
        rng.random() < 0.25,
        rng.choice((65_536, 65_536, 4096)),
        rng.choice((12, 20, 40, 400)),
        rng.random() < 0.5,
        rng.choice((0, 0, 3000, 100_000)),
    )


def draw_script(rng: random.Random, depth: int = 0) -> Script:
    """Four in ten are wayward."""
    if rng.random() < 0.2:
        return PLAIN
    fails = rng.choice(FAILURES) if depth == 0 and rng.random() < 0.12 else 0
    writes = tuple(
        (rng.choice((0.0, 0.0, 0.05, 0.5, 3.0)), rng.choice((12, 12, 30, 30, 200, 3000, rng.choice(FLOODS))))
        for _ in range(rng.choice((0, 1, 1, 2, 3)))
    )
    kin = rng.choice((0, 0, 0, 1, 1, 2)) if depth < 2 else 0
    return Script(
        fails,
        writes,
        rng.choice((0.0, 0.01, 0.3, 3.0, None)) if depth == 0 else None,
        rng.choice((None, None, 0.0, 0.02, 1.0, 15.0, 650.0)),
        rng.choice(DEATHS),
        rng.choice((0.0, 0.0, 0.0, 0.05, 2.0, 40.0, None)),
        rng.choice((-signal.SIGTERM, -signal.SIGTERM, 0, 143, 1)),
        tuple(draw_script(rng, depth + 1) for _ in range(kin)),
        rng.choice((0.0, 0.0, 0.1, 2.0)),
        rng.random() < 0.35,
        rng.random() < 0.3,
        rng.choice((0.0, 0.0, 0.0, 0.0, 0.0, 4.0, 20.0)),
        rng.random() < 0.7,
    )


def draw_happening(rng: random.Random) -> Happening:
    """Something that the world does."""
    what = rng.choices(list(KINDS), list(KINDS.values()))[0]
    at = rng.randrange(8)
    detail: tuple[Any, ...] = ()
    if what in ("crash", "kill"):
        detail = (at, rng.choice(DEATHS))
    elif what in ("out of memory", "stop process", "continue process", "restart", "stop", "start", "freeze"):
        detail = (at, rng.randrange(1, 3))
    elif what in ("scale", "reload", "roll out", "succeed"):
        detail = (draw_formation(rng), rng.sample(TYPES, rng.randrange(3)))
    elif what == "clock":
        detail = (rng.choice((-86_400.0, -1.5, 3600.0, 1e8)),)
    elif what == "strangers":
        detail = (rng.randrange(1, 9), rng.choice((0.1, 5.0, 1000.0)))
    elif what == "port taken":
        detail = (at,)
    elif what == "disk full":
        detail = (rng.choice((0, 37, 500)),)
    elif what == "disk slow":
        detail = (rng.choice((0.0, 0.05, 0.3, 5.0)),)
    elif what == "signal":
        detail = (rng.choice((signal.SIGINT, signal.SIGTERM)), rng.choice((0, 0, 0.05, 0.5, 1.5)))
    elif what == "late news":
        detail = (rng.randrange(5),)
    elif what == "supervisor killed":
        detail = (rng.choice((0, 1, 3, 10, 40)),)
    return Happening(rng.choice(GAPS), what, detail)


KINDS = {
    "crash": 14, "kill": 10, "out of memory": 2, "stop process": 3, "continue process": 2, "freeze": 2, "scale": 8,
    "reload": 3, "restart": 5, "stop": 4, "start": 4, "roll out": 2, "succeed": 2, "run once": 2, "clock": 4,
    "strangers": 6, "port taken": 4, "ports given back": 1, "disk full": 4, "disk room": 3, "disk slow": 3,
    "reader stalls": 4, "reader reads": 3, "no descriptors": 2, "reader gone": 1, "signal": 2, "late news": 5,
    "guard killed": 1, "supervisor killed": 2, "replace program": 3,
}  # fmt: skip
