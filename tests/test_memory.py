"""Real dynos that use too much: warned, killed, and measured, with a control group and without."""

import os
import signal
from collections.abc import Callable

import pytest

from procman.core.model import DynoName
from procman.core.plan import Limits
from procman.supervisor.cgroups import Group, create
from procman.supervisor.child import Child
from procman.supervisor.memory import MemoryWatch, exact_share, resident, runnable_tasks, sampled
from procman.supervisor.proctable import snapshot
from tests.isolated import MB, Ground, make_ground  # noqa: F401 - a fixture
from tests.test_cgroups import base  # noqa: F401 - a fixture

SMALL = Limits("Tiny", 40 * MB, 80 * MB, 24)
# tail keeps what has no end of line; when all is written, it has read all but what is in the pipe.
HOLD = "{{ head -c {0}M /dev/zero; echo full >&2; read end; }} | tail >/dev/null"
R14 = "Error R14 (Memory quota exceeded)"
R15 = "Error R15 (Memory quota vastly exceeded)"
PLACES = pytest.mark.parametrize("grouped", [True, False], ids=["by control group", "by sampling"])


class Clock:
    """The part of a loop that a watch uses; time passes when it is told to."""

    def __init__(self) -> None:
        self.time = 1000.0
        self.deadline: Callable[[], float] = lambda: float("inf")
        self.callback: Callable[[float], None] = lambda now: None

    def now(self) -> float:
        return self.time

    def on_deadline(self, deadline: Callable[[], float], callback: Callable[[float], None]) -> None:
        self.deadline, self.callback = deadline, callback

    def next(self) -> float:
        """Go on to the deadline; how long that took."""
        before, self.time = self.time, self.deadline()
        self.callback(self.time)
        return self.time - before


class Scene:
    """One real dyno under a watch with a clock of its own."""

    def __init__(
        self, ground: Ground, groups: dict[str, str] | None, command: str, identity: str | None = None
    ) -> None:
        self.said: list[str] = []
        self.killed = 0
        self.group: Group | None = create(groups, "web.1.0.1", SMALL, self.said.append) if groups else None
        entries = self.group.entries() if self.group else ()
        self.dyno = ground.start(ground.isolation, command, limits=SMALL, groups=entries)
        self.child = Child(DynoName("web", 1), 1, self.dyno.pid, [])
        self.clock = Clock()
        self.watch = MemoryWatch(self.clock, lambda dyno, text: self.said.append(text), self._kill, self._members)
        self.watch.add(self.child, SMALL, self.group, identity)

    def _kill(self, child: Child) -> None:
        self.killed += 1
        os.killpg(child.pid, signal.SIGKILL)

    def _members(self, children):
        table = snapshot()
        return {child: [process.pid for process in table.family([child.pid])] for child in children}

    def until(self, seconds: float) -> float:
        """Look as often as is asked for, for so long; the longest time between looks."""
        end, longest = self.clock.time + seconds, 0.0
        while self.clock.deadline() <= end:
            longest = max(longest, self.clock.next())
        self.clock.time = end
        return longest

    def end(self) -> int:
        os.killpg(self.dyno.pid, signal.SIGKILL)
        status = self.dyno.end().status
        self.watch.drop(self.child)
        assert self.clock.deadline() == float("inf")
        assert self.group is None or self.group.remove()
        return status


def test_without_a_dyno_nobody_is_woken():
    clock = Clock()
    MemoryWatch(clock, lambda dyno, text: None, lambda child: None, lambda children: {})
    assert clock.deadline() == float("inf")


@PLACES
def test_over_the_quota_it_is_said_every_20_seconds_and_the_dyno_goes_on(ground: Ground, base, grouped):  # noqa: F811
    def deed():
        scene = Scene(ground, base if grouped else None, HOLD.format(50))
        scene.dyno.wait_for("^full$")
        scene.until(60)
        said = list(scene.said)
        scene.dyno.tell("")
        alive = scene.dyno.end().status == 0
        scene.watch.drop(scene.child)
        return said, scene.killed, alive, scene.said == said

    ground.require()
    said, killed, alive, unchanged = ground.as_user(deed)
    assert (killed, alive, unchanged) == (0, True, True)
    assert said.count(R14) == 3 and len(said) == 6
    used = int(said[0].removeprefix("Process running mem=").split("M(")[0])
    assert 47 <= used <= 80
    assert said[0].endswith("%)") and 117 < float(said[0].split("(")[1][:-2]) <= 200
    assert said[1::2] == [R14] * 3


def test_far_over_it_without_a_group_the_dyno_is_killed_within_two_seconds(ground: Ground):
    def deed():
        scene = Scene(ground, None, HOLD.format(90))
        scene.dyno.wait_for("^full$")
        waited = scene.clock.next()
        ended = scene.dyno.end().status
        scene.watch.drop(scene.child)
        return waited, scene.said, scene.killed, ended

    ground.require()
    waited, said, killed, status = ground.as_user(deed)
    assert waited <= 2
    assert said[1:] == [R15, "Stopping process with SIGKILL"]
    assert said[0].startswith("Process running mem=")
    assert (killed, status) == (1, 137)


def test_what_the_kernel_kills_as_the_dynos_program_is_told_when_the_dyno_ends(ground: Ground, base):  # noqa: F811
    def deed():
        scene = Scene(ground, base, "tail /dev/zero")
        status = scene.dyno.end().status
        scene.watch.drop(scene.child)
        assert scene.group and scene.group.remove()
        return status, scene.said, scene.killed

    ground.require()
    status, said, killed = ground.as_user(deed)
    assert status == 137
    assert said == ["Process running mem=80M(200.0%)", R15, "Stopping process with SIGKILL"]
    assert killed == 0, "it has ended already"


def test_a_dyno_that_outlives_what_the_kernel_killed_of_it_is_killed_too(ground: Ground, base):  # noqa: F811
    def deed():
        scene = Scene(ground, base, "tail /dev/zero; echo again $?; read end")
        scene.dyno.wait_for("^again 137$")
        scene.until(40)
        ended = scene.dyno.end().status
        scene.watch.drop(scene.child)
        return ended, scene.said, scene.killed

    ground.require()
    assert ground.as_user(deed) == [137, ["Process running mem=80M(200.0%)", R15, "Stopping process with SIGKILL"], 1]


@PLACES
def test_a_dyno_within_its_quota_is_looked_at_seldom_and_nothing_is_said(ground: Ground, base, grouped):  # noqa: F811
    def deed():
        scene = Scene(ground, base if grouped else None, "echo ready; read end")
        scene.dyno.wait_for("^ready$")
        longest = scene.until(200)
        scene.end()
        return longest, scene.said

    ground.require()
    assert ground.as_user(deed) == [20.0 if grouped else 2.0, []]


@PLACES
def test_metrics_are_written_every_20_seconds_where_they_are_wished(ground: Ground, base, grouped):  # noqa: F811
    def deed():
        scene = Scene(ground, base if grouped else None, "echo ready; while :; do :; done", "app.dyno")
        scene.dyno.wait_for("^ready$")
        scene.until(60)
        scene.end()
        return scene.said

    ground.require()
    said = ground.as_user(deed)
    assert len(said) == 6
    loads, sizes = said[0::2], said[1::2]
    assert all(line.startswith("source=web.1 dyno=heroku.app.dyno sample#load_avg_1m=") for line in loads)
    assert loads[0].endswith("load_avg_1m=0.28") and loads[2].endswith("load_avg_1m=0.63")
    facts = dict(part.removeprefix("sample#memory_").split("=") for part in sizes[0].split()[2:])
    assert facts["quota"] == "40.00MB"
    assert 0 < float(facts["rss"][:-2]) < 20
    assert ("pgpgin" in facts) == (grouped and "memory" in base)
    if grouped and "memory" in base:
        assert int(facts["pgpgin"].removesuffix("pages")) > 0


def test_one_that_never_came_into_its_group_is_sampled(ground: Ground, base):  # noqa: F811
    def deed():
        scene = Scene(ground, None, HOLD.format(50))
        group = create(base, "web.1.0.1", SMALL, scene.said.append)
        scene.watch.add(scene.child, SMALL, group)
        scene.dyno.wait_for("^full$")
        scene.until(40)
        scene.end()
        assert group and group.remove()
        return scene.said

    ground.require()
    assert R14 in ground.as_user(deed)


def test_shared_pages_are_counted_once_when_it_matters():
    me = os.getpid()
    rss = resident(me)
    share, swap = exact_share(me) or (0, 0)
    assert 0 < share <= rss * 1.05 and swap >= 0
    assert sampled([me], rss * 10).rss == pytest.approx(resident(me), rel=0.05)
    assert sampled([me], 1).rss == pytest.approx(share, rel=0.2)
    assert sampled([], 1).rss == 0


def test_a_process_that_has_gone_counts_nothing():
    pid = os.posix_spawn("/bin/true", ["true"], {})
    os.waitpid(pid, 0)
    assert (resident(pid), exact_share(pid), runnable_tasks(pid)) == (0, None, 0)
    assert runnable_tasks(os.getpid()) >= 1  # a thread of the test's runner may just have news
