"""Watches what dynos use: says R14 and R15, has those killed that use far too much, and writes runtime metrics.

Without a dyno to watch, it has no deadline: a formation without quotas is never woken for this.
"""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence

from procman.core.model import DynoName
from procman.core.plan import Limits
from procman.supervisor.cgroups import Group
from procman.supervisor.child import Child
from procman.supervisor.loop import FOREVER, Loop
from procman.supervisor.memory_rules import PERIOD_S, Load, Usage, Verdict, interval, judge, metrics, next_look

PAGE = os.sysconf("SC_PAGE_SIZE")


class Watched:
    """One life of a dyno. ``identity``: ``APPID.DYNOID``, for whom metrics are to be written."""

    __slots__ = ("child", "group", "identity", "killed", "kills", "limits", "load", "look_at", "report_at", "said_at")

    def __init__(self, child: Child, limits: Limits, group: Group | None, identity: str | None, now: float) -> None:
        self.child = child
        self.limits = limits
        self.group = group
        self.identity = identity
        self.look_at = next_look(now, interval(0, limits, group is not None))
        self.report_at = next_look(now, PERIOD_S)
        self.said_at = -FOREVER
        self.load = Load()
        self.kills = 0  # a group is made for one life
        self.killed = False


class MemoryWatch:
    """Looks at every added child now and then.

    ``say`` gets lines about a dyno; ``kill`` has to end it so that this counts as a crash. ``members``: pids of all
    processes of each of these children; asked only about those without a group.
    """

    def __init__(
        self,
        loop: Loop,
        say: Callable[[DynoName, str], None],
        kill: Callable[[Child], None],
        members: Callable[[Sequence[Child]], Mapping[Child, Iterable[int]]],
    ) -> None:
        self._loop = loop
        self._say = say
        self._kill = kill
        self._members = members
        self._watched: dict[Child, Watched] = {}
        loop.on_deadline(self._deadline, self._look)

    def add(self, child: Child, limits: Limits, group: Group | None = None, identity: str | None = None) -> None:
        """Begin to watch."""
        self._watched[child] = Watched(child, limits, group, identity, self._loop.now())

    def drop(self, child: Child) -> None:
        """Its root has ended. If the kernel stopped something of it for want of memory, that is said now."""
        watched = self._watched.pop(child, None)
        if watched and watched.group and not watched.killed and watched.group.kills() > watched.kills:
            self._tell(watched, judge(max(watched.group.peak(), watched.limits.vast), watched.limits, killed=True))

    def _deadline(self) -> float:
        return min((watched.look_at for watched in self._watched.values()), default=FOREVER)

    def _look(self, now: float) -> None:
        due = [watched for watched in self._watched.values() if watched.look_at <= now]
        usages = {watched: watched.group.usage() if watched.group else None for watched in due}
        # Also those who never came into their group, as the kernel refused them.
        lost = [watched for watched in due if usages[watched] is None]
        members = self._members([watched.child for watched in lost]) if lost else {}
        for watched in lost:
            usages[watched] = sampled(members.get(watched.child, ()), watched.limits.memory)
        for watched, usage in usages.items():
            if usage is not None:
                self._weigh(watched, usage, now, grouped=watched not in lost, pids=members.get(watched.child))

    def _weigh(self, watched: Watched, usage: Usage, now: float, grouped: bool, pids: Iterable[int] | None) -> None:
        limits = watched.limits
        watched.look_at = next_look(now, interval(usage.firm, limits, grouped))
        if now >= watched.report_at:
            watched.report_at = next_look(now, PERIOD_S)
            if watched.identity is not None:
                self._report(watched, usage, pids)
        kills = watched.group.kills() if watched.group else 0
        if kills > watched.kills:
            watched.kills = kills
            self._pronounce(watched, max(usage.firm, limits.vast), killed=True)
        elif not watched.killed and (usage.firm > limits.vast or now - watched.said_at >= PERIOD_S - 0.5):
            self._pronounce(watched, usage.firm, killed=False)

    def _pronounce(self, watched: Watched, used: int, killed: bool) -> None:
        verdict = judge(used, watched.limits, killed)
        if verdict.lines:
            watched.said_at = self._loop.now()
        self._tell(watched, verdict)
        if verdict.kill:
            watched.killed = True
            self._kill(watched.child)

    def _tell(self, watched: Watched, verdict: Verdict) -> None:
        for line in verdict.lines:
            self._say(watched.child.dyno, line)

    def _report(self, watched: Watched, usage: Usage, pids: Iterable[int] | None) -> None:
        if pids is None:
            pids = watched.group.members() if watched.group else ()
        watched.load = watched.load.after(sum(map(runnable_tasks, pids)), PERIOD_S)
        dyno = watched.child.dyno
        for line in metrics(str(dyno), watched.identity or "", watched.load, usage, watched.limits):
            self._say(dyno, line)


def sampled(pids: Iterable[int], quota: int) -> Usage:
    """Usage as the sum over processes.

    Resident sizes count what processes share once for each of them. They are cheap, and an upper bound; the exact
    shares are asked for only when that bound is over the quota.
    """
    pids = list(pids)
    rss = sum(map(resident, pids))
    if rss <= quota:
        return Usage(rss)
    shares = [share for pid in pids if (share := exact_share(pid)) is not None]
    return Usage(sum(rss for rss, _ in shares), swap=sum(swap for _, swap in shares)) if shares else Usage(rss)


def resident(pid: int) -> int:
    """Bytes of memory that a process has in use; 0 when it has gone."""
    try:
        with open(f"/proc/{pid}/statm", "rb") as file:
            return int(file.read().split()[1]) * PAGE
    except (OSError, IndexError):
        return 0


def exact_share(pid: int) -> tuple[int, int] | None:
    """Its share of memory and of swap, in bytes; None when the kernel does not tell."""
    try:
        with open(f"/proc/{pid}/smaps_rollup", "rb") as file:
            rows = dict(line.split(b":", 1) for line in file if b":" in line and b"kB" in line)
    except OSError:
        return None
    if b"Pss" not in rows:
        return None
    return kilobytes(rows[b"Pss"]), kilobytes(rows.get(b"SwapPss", b"0 kB"))


def kilobytes(field: bytes) -> int:
    """Bytes of ``   123 kB``."""
    return int(field.split()[0]) * 1024


def runnable_tasks(pid: int) -> int:
    """How many threads of a process run, or wait for nothing but a processor or a disk, as load averages count."""
    count = 0
    try:
        tasks = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return 0
    for task in tasks:
        try:
            with open(f"/proc/{pid}/task/{task}/stat", "rb") as file:
                stat = file.read()
        except OSError:
            continue
        count += stat[stat.rindex(b")") + 2 :][:1] in (b"R", b"D")
    return count
