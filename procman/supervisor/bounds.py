"""What holds a dyno of `procman start` to its bounds: programs in front of its shell, and a watch of its memory.

``posix_spawn`` sets no limits, and our own, which a child has from us, would bind us and our threads meanwhile. So
``prlimit`` (util-linux) is spawned, sets them on itself and becomes the dyno's shell: they are in force before the
first instruction of the command, and the pid stays. Where control groups can be made, ``sh`` enters the dyno's first.
"""

import os

from procman.core.model import DynoName
from procman.supervisor.child import Child, Command
from procman.supervisor.home import Home
from procman.supervisor.processes import LocalProcesses
from procman.supervisor.supervisor import Supervisor
from procman.typed import TYPE_CHECKING, Callable, Mapping, NamedTuple

if TYPE_CHECKING:
    from procman.core.plan import Limits
    from procman.supervisor.cgroups import Group
    from procman.supervisor.memory import MemoryWatch

VAST = 2  # times the quota: R15 (Heroku: dyno-memory-behavior, of all sizes that share a host)
SH = "/bin/sh"
ENTER = 'while [ "$1" != -- ]; do echo $$ >"$1"; shift; done 2>/dev/null; shift; exec "$@"'


class Bounds(NamedTuple):
    """``memory``: bytes of the quota, if there is one. ``limits``: soft and hard, by prlimit's names."""

    memory: int | None = None
    limits: Mapping[str, int] = {}


class Confinement:
    """Of one formation. ``place``: what its control groups are called, as no other formation's are.

    Nothing of it wakes anybody, or is imported, before there is a dyno with a quota.
    """

    def __init__(
        self, place: str, command: Callable[[DynoName], Command], bounds: Callable[[DynoName], Bounds]
    ) -> None:
        self._place = place
        self._command = command
        self._bounds = bounds
        self._base: dict[str, str] | None = None  # by controller; {}: groups cannot be made here
        self._groups: "dict[tuple[DynoName, int], Group]" = {}
        self._memory: "MemoryWatch | None" = None
        self._supervisor: Supervisor | None = None
        self._processes: LocalProcesses | None = None

    def prepare(self, dyno: DynoName, run: int) -> Command:
        """What a run executes."""
        command, bounds = self._command(dyno), self._bounds(dyno)
        entries = self._make_group(dyno, run, bounds.memory) if bounds.memory else []
        chain = chain_of(entries, bounds.limits)
        return command._replace(argv=(*chain, command.shell, "-c", command.text)) if chain else command

    def join(self, supervisor: Supervisor, processes: LocalProcesses) -> None:
        """Whose dynos they are."""
        self._supervisor, self._processes = supervisor, processes
        processes.group_of = self._group_of
        supervisor.on_birth.append(self._begin)
        supervisor.on_death.append(self._end)
        supervisor.on_emptied.append(self._forget)

    def sweep(self) -> None:
        """Remove the control groups that an earlier supervisor left, but for those of dynos that live on."""
        if self._base and self._supervisor:
            from procman.supervisor.cgroups import sweep  # noqa: PLC0415

            sweep(self._base, [name_of(child.dyno, child.run) for child in self._supervisor.children()])

    def close(self) -> None:
        """The end: nothing runs any more. Groups may also be of an earlier supervisor's, which had quotas."""
        places = {"unified": "", "memory": "/memory", "pids": "/pids"}
        paths = {name: f"/sys/fs/cgroup{place}/procman/{self._place}" for name, place in places.items()}
        if base := self._base or {name: path for name, path in paths.items() if os.path.isdir(path)}:
            from procman.supervisor.cgroups import withdraw  # noqa: PLC0415

            withdraw(base)

    def _make_group(self, dyno: DynoName, run: int, quota: int) -> list[str]:
        from procman.supervisor.cgroups import create  # noqa: PLC0415

        for life in [life for life in self._groups if life[0] == dyno]:
            self._groups.pop(life).remove()  # it could not be started
        group = create(self._find_base(), name_of(dyno, run), limits_of(quota), lambda words: None)
        if group:
            self._groups[dyno, run] = group
        return group.entries() if group else []

    def _find_base(self) -> dict[str, str]:
        if self._base is None:
            from procman.supervisor.cgroups import prepare  # noqa: PLC0415

            self._base = prepare(self._place, os.geteuid())
        return {controller: path for controller, path in self._base.items() if controller != "pids"}

    def _begin(self, child: Child) -> None:
        quota = self._bounds(child.dyno).memory
        if not quota or child.ended:
            return
        life = child.dyno, child.run
        if life not in self._groups:  # an earlier supervisor's, or an earlier program's
            self._find_group(child)
        self._watch().add(child, limits_of(quota), self._groups.get(life))

    def _find_group(self, child: Child) -> None:
        from procman.supervisor.cgroups import Group  # noqa: PLC0415

        name = name_of(child.dyno, child.run)
        paths = {controller: f"{parent}/{name}" for controller, parent in self._find_base().items()}
        if there := {controller: path for controller, path in paths.items() if os.path.isdir(path)}:
            self._groups[child.dyno, child.run] = Group(there)

    def _watch(self) -> "MemoryWatch":
        if self._memory is None:
            from procman.supervisor.memory import MemoryWatch  # noqa: PLC0415

            assert self._supervisor and self._processes
            kill, members = self._processes.kill, self._processes.members
            supervisor = self._supervisor
            self._memory = MemoryWatch(supervisor.loop, supervisor.output.say, lambda child: kill([child]), members)
        return self._memory

    def _group_of(self, child: Child) -> "Group | None":
        return self._groups.get((child.dyno, child.run))

    def _end(self, child: Child) -> None:
        if self._memory:
            self._memory.drop(child)

    def _forget(self, child: Child) -> None:
        if group := self._groups.pop((child.dyno, child.run), None):
            group.remove()


def chain_of(entries: list[str], limits: Mapping[str, int]) -> tuple[str, ...]:
    """The programs in front of the shell. Raises OSError when there is no prlimit."""
    enter = (SH, "-c", ENTER, "procman", *entries, "--") if entries else ()
    if not limits:
        return enter
    words = (f"--{name}={'unlimited' if value < 0 else value}" for name, value in limits.items())
    return (*enter, prlimit(), *words)


def prlimit() -> str:
    """Its path. Raises FileNotFoundError."""
    from shutil import which  # noqa: PLC0415 - only for who has limits

    if found := which("prlimit"):
        return found
    raise FileNotFoundError(2, "No such file or directory", "prlimit (of util-linux), which sets limits")


def refuse_impossible(name: str, value: int) -> None:
    """ValueError for a limit that could not be set here."""
    import resource  # noqa: PLC0415

    if not hasattr(resource, "prlimit"):
        raise ValueError("only Linux can set limits for a program before it runs")
    _, most = resource.getrlimit(getattr(resource, f"RLIMIT_{name.upper()}"))
    if os.geteuid() and most != resource.RLIM_INFINITY and (value < 0 or value > most):
        raise ValueError(f"{name} cannot be over {most} for this user (ulimit -H)")
    try:
        prlimit()
    except FileNotFoundError as error:
        raise ValueError(f"there is no {error.filename}") from None


def limits_of(quota: int) -> "Limits":
    """A quota as the rest of us knows it."""
    from procman.core.plan import Limits  # noqa: PLC0415

    return Limits("", quota, VAST * quota, 0)


def place_of(home: Home) -> str:
    """What the control groups of a formation are called."""
    from zlib import crc32  # noqa: PLC0415

    return f"{home.name}-{crc32(os.fsencode(home.path)):08x}"


def name_of(dyno: DynoName, run: int) -> str:
    """The name of the group of one life."""
    return f"{dyno}.{run}"
