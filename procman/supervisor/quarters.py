"""Where the dynos of a served app live: for each life a folder, a group and a start, and their end with it."""

import os
import uuid
from collections.abc import Callable, Collection, Mapping

from procman.core.model import DynoName
from procman.core.plan import Limits, Plan
from procman.supervisor import cgroups
from procman.supervisor.cgroups import Group
from procman.supervisor.checkups import notices_of
from procman.supervisor.child import Child
from procman.supervisor.memory import MemoryWatch
from procman.supervisor.slug_copy import discard, make_folder, sweep
from procman.supervisor.starter import Place, dyno_env, launch, target_of
from procman.supervisor.starter_beside import beside
from procman.supervisor.starter_isolation import Isolation, Way

Life = tuple[DynoName, int]


class Quarters:
    """``base``: the directory for the dynos' folders. ``hide``: what of ours they shall not see."""

    def __init__(
        self, base: str, isolation: Isolation, hide: tuple[str, ...], say: Callable[[str], None]
    ) -> None:
        self._base = base
        self._isolation = isolation
        self._hide = hide
        self._say = say
        self._groups: dict[Life, Group] = {}
        self._limits: dict[Life, tuple[Limits, str | None]] = {}
        self._memory: MemoryWatch | None = None
        self._said: set[str] = set()

    def furnish(
        self,
        dyno: DynoName,
        run: int,
        plan: Plan,
        limits: Limits | None,
        command: str,
        env: Mapping[str, str],
        port: int,
    ) -> tuple[tuple[str, ...], dict[str, str]]:
        """What to execute, and its environment. Raises OSError."""
        name = folder_of(dyno, run)
        target = target_of(self._isolation, plan.directory, plan.mount)
        place = Place(make_folder(self._base, name), plan.directory, target, self._hide)
        group = None
        if limits:
            if plan.cgroup:
                group = cgroups.create(plan.cgroup, name, limits, self._say_once)
            self._limits[dyno, run] = limits, self._identity(plan)
        if group:
            self._groups[dyno, run] = group
        entries = group.entries() if group else ()
        own = dyno_env(env, str(dyno), port, target)
        try:
            chain = launch(self._isolation, place, command, own, limits, entries)
        except OSError:
            self._clear(dyno, run)
            raise
        return chain.argv, {**chain.env, "PWD": target}

    def notices(self, dyno: DynoName, run: int) -> tuple[str, str]:
        """Where the socket for a dyno's notices is, and where the dyno sees it: in its own /tmp."""
        if self._isolation.way is Way.SHARED:
            return notices_of(os.path.dirname(self._base))(dyno, run)
        place = f"tmp/.procman/{dyno}"
        return f"{self._base}/{folder_of(dyno, run)}/{place}", f"/{place}"

    def beside(self, child: Child, text: str) -> tuple[tuple[str, ...], Mapping[str, str]]:
        """A command in the place of a dyno that runs: argv and environment."""
        return beside(self._isolation, child, text)

    def watch(self, memory: MemoryWatch) -> None:
        """Who looks at what they use."""
        self._memory = memory

    def move_in(self, child: Child) -> None:
        """It lives."""
        life = child.dyno, child.run
        if self._memory and life in self._limits:
            limits, identity = self._limits[life]
            self._memory.add(child, limits, self._groups.get(life), identity)

    def group_of(self, child: Child) -> Group | None:
        """Its control group, which knows also those that hide from every other look."""
        return self._groups.get((child.dyno, child.run))

    def die(self, child: Child) -> None:
        """Its root has ended."""
        if self._memory:
            self._memory.drop(child)

    def move_out(self, child: Child) -> None:
        """Nothing of it is left."""
        self._clear(child.dyno, child.run)

    def sweep(self, keep: Collection[Life], cgroup: Mapping[str, str]) -> None:
        """Remove what an earlier supervisor's dynos left, but for those that live on."""
        names = [folder_of(dyno, run) for dyno, run in keep]
        sweep(self._base, names)
        if cgroup:
            cgroups.sweep(cgroup, names)

    def take_over(self, dyno: DynoName, run: int, plan: Plan, limits: Limits | None) -> None:
        """A life that an earlier supervisor furnished goes on."""
        paths = {controller: f"{parent}/{folder_of(dyno, run)}" for controller, parent in plan.cgroup.items()}
        if there := {controller: path for controller, path in paths.items() if os.path.isdir(path)}:
            self._groups[dyno, run] = Group(there)
        if limits:
            self._limits[dyno, run] = limits, self._identity(plan)

    @staticmethod
    def _identity(plan: Plan) -> str | None:
        return f"{plan.app_id}.{uuid.uuid4()}" if plan.runtime_metrics else None

    def _say_once(self, words: str) -> None:
        if words not in self._said:
            self._said.add(words)
            self._say(words)

    def _clear(self, dyno: DynoName, run: int) -> None:
        self._limits.pop((dyno, run), None)
        if group := self._groups.pop((dyno, run), None):
            group.remove()
        discard(os.path.join(self._base, folder_of(dyno, run)))


def folder_of(dyno: DynoName, run: int) -> str:
    """The name of the folder of one life."""
    return f"{dyno}.{dyno.generation}.{run}"
