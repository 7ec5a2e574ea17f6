"""The plan: what a served app's supervisor shall run, as the server wrote it down."""

from collections.abc import Mapping
from typing import NamedTuple

from procman.core.health import Checks


class Limits(NamedTuple):
    """What a dyno of one size may use (Heroku: dyno-memory-behavior, dyno-scaling-and-process-limits).

    ``memory``: bytes of the quota (R14 over it); ``vast``: bytes at which R15 kills; ``processes``: processes and
    threads at a time, 0: as many as there can be.
    """

    size: str
    memory: int
    vast: int
    processes: int


class Health(NamedTuple):
    """An HTTP check that a new web dyno has to pass: GET ``path`` answered below 400 within ``timeout`` seconds of one
    try; tried again until ``within`` seconds after the port was bound. ``any_answer``: whatever its status.
    """

    path: str
    timeout: float = 5.0
    within: float = 60.0
    any_answer: bool = False


class TypePlan(NamedTuple):
    """What is held true for one process type. ``overlap``: old and new dynos may run side by side.

    ``health``: asked once, before requests are sent to a new one; ``checks``: of every dyno, all its life. ``needs``:
    types that are to be up before it starts.
    """

    command: str
    quantity: int
    limits: Limits
    overlap: bool = True
    health: Health | None = None
    checks: Checks | None = None
    needs: tuple[str, ...] = ()


class Plan(NamedTuple):
    """One generation of one app.

    ``directory``: the unpacked slug. ``mount``: where it is to appear to the dyno (``/app``), None: dynos run in
    ``directory`` itself. ``env``: config vars and what the platform sets for all dynos alike; PORT, DYNO, HOME and PATH
    are the supervisor's. ``ports``: first port of the app's block, and how many there are. ``rollout``: ``preboot`` or
    ``restart``. ``policy``: a name of ``restart.NAMED``. ``cgroup``: a directory under which dynos may get control
    groups of their own, by controller (``{"memory": …, "pids": …}``, or ``{"unified": …}``).
    ``steady_s``: seconds for which a dyno without a port has to stay up to count as healthy.
    """

    app_id: str
    app_name: str
    generation: int
    release_id: str
    version: int
    directory: str
    types: Mapping[str, TypePlan]
    env: Mapping[str, str]
    ports: tuple[int, int]
    mount: str | None = None
    rollout: str = "preboot"
    policy: str = "heroku"
    boot_timeout: float = 60.0
    grace: float = 30.0
    steady_s: float = 5.0
    watch_s: float = 10.0
    cycle: bool = True
    runtime_metrics: bool = False
    cgroup: Mapping[str, str] = {}
