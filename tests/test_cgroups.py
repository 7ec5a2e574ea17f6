"""Control groups: those of this kernel where there are any to be had, and the files of version 2 everywhere."""

import os
import signal
from collections.abc import Iterator

import pytest

from procman.core.plan import Limits
from procman.supervisor import cgroups
from procman.supervisor.cgroups import Group, admit, create, prepare, settings, sweep, withdraw
from procman.supervisor.memory_rules import Usage
from tests.isolated import MB, Ground, make_ground, reap_all, wait_until  # noqa: F401 - a fixture

SMALL = Limits("Tiny", 40 * MB, 80 * MB, 12)
APP = f"test-{os.getpid()}"


def silent(text: str) -> None:
    raise AssertionError(text)


@pytest.fixture
def base(ground: Ground) -> Iterator[dict[str, str]]:
    """The groups of an app, given to the ground's user."""
    given = prepare(APP, ground.uid)
    if not given:
        root = cgroups.ROOT
        writable = os.geteuid() == 0 and any(
            os.access(f"{root}/{name}", os.W_OK) and not os.statvfs(f"{root}/{name}").f_flag & os.ST_RDONLY
            for name in ("memory", "cgroup.subtree_control")
            if os.path.exists(f"{root}/{name}")
        )
        assert not writable, "this user may write control groups, and got none"
        pytest.skip("control groups cannot be written here")
    yield given
    assert withdraw(given), "groups were left behind"


def started(ground: Ground, base: dict[str, str], command: str):
    admit(base, os.getpid())
    group = create(base, "web.1.0.1", SMALL, silent)
    assert group
    return group, ground.start(ground.isolation, command, limits=SMALL, groups=group.entries())


def test_an_app_gets_groups_that_its_user_may_divide_and_not_enlarge(ground: Ground, base):
    owners = {os.stat(path).st_uid for path in base.values()}
    assert owners == {ground.uid}
    if os.geteuid() == 0:
        for path in base.values():
            for name in ("memory.limit_in_bytes", "memory.max", "pids.max"):
                if os.path.exists(f"{path}/{name}"):
                    assert os.stat(f"{path}/{name}").st_uid == 0
    assert prepare(APP, ground.uid) == base, "a second time it is the same"


def test_a_dyno_is_in_its_group_before_anything_of_it_runs(ground: Ground, base):
    daemon = "(setsid env -i sh -c 'echo $$; exec sleep 1000' &); read end"

    def deed():
        group, dyno = started(ground, base, daemon)
        astray = int(dyno.wait_for("^[0-9]+$")[0])
        members, usage = group.members(), group.usage()
        os.kill(astray, signal.SIGKILL)
        dyno.tell("")
        status = dyno.end().status
        reap_all()
        return {dyno.pid, astray} <= set(members), usage is not None and usage.rss > 0, status, group.remove()

    ground.require()
    assert ground.as_user(deed) == [True, True, 0, True]


def test_a_dyno_holds_no_descriptor_of_its_group(ground: Ground, base):
    def deed():
        group, dyno = started(ground, base, "readlink /proc/$$/fd/*; echo end; read end")
        dyno.wait_for("^end$")
        within = dyno.pid in group.members()
        dyno.tell("")
        return within, dyno.end().output

    ground.require()
    within, held = ground.as_user(deed)
    assert within
    assert "pipe:" in held
    assert "cgroup.procs" not in held


def test_a_process_limit_refuses_a_fork(ground: Ground, base):
    def deed():
        group, dyno = started(ground, base, "sh -c 'while sleep 1000 & do :; done'")
        ended = dyno.end()
        left = group.remove()
        for pid in group.members():
            os.kill(pid, signal.SIGKILL)
        return ended, left

    if "pids" not in base and "unified" not in base:
        pytest.fail("no controller for pids")
    ground.require()
    (status, output), _ = ground.as_user(deed)
    assert status != 0
    assert "fork" in output
    sweep(base)


def test_a_hard_limit_kills_and_is_counted(ground: Ground, base):
    def deed():
        group, dyno = started(ground, base, "tail /dev/zero; echo $?; read end")
        dyno.wait_for("^137$")
        kills, peak = group.kills(), group.peak()
        dyno.tell("")
        dyno.end()
        return kills, peak, group.usage(), group.remove()

    ground.require()
    kills, peak, usage, removed = ground.as_user(deed)
    assert kills >= 1
    assert 60 * MB < peak <= SMALL.vast
    assert usage is None, "nothing of the dyno is in it any more"
    assert removed


def test_a_group_is_removed_only_when_it_is_empty_and_swept_with_what_is_in_it(ground: Ground, base):
    def deed():
        group, dyno = started(ground, base, "sleep 1000")
        wait_until(lambda: dyno.pid in group.members())
        refused = group.remove()
        sweep(base, keep=["web.1.0.1"])
        refused = refused or dyno.pid not in group.members()
        sweep(base)
        dyno.end()
        wait_until(lambda: sweep(base))  # Linux 6.18 lets a process that was reaped leave its group a moment later
        return refused, sweep(base), [name for path in base.values() for name in os.listdir(path) if "web" in name]

    ground.require()
    assert ground.as_user(deed) == [False, True, []]


def test_where_no_group_can_be_made_a_dyno_goes_without_and_it_is_said(tmp_path):
    said: list[str] = []
    (tmp_path / "memory").write_text("no directory")
    assert create({"memory": str(tmp_path / "memory")}, "web.1.0.1", SMALL, said.append) is None
    assert said == [f"No control group for memory in {tmp_path}/memory: what dynos use is sampled instead"]
    assert create({}, "web.1.0.1", SMALL, said.append) is None
    assert len(said) == 1, "an app without groups is no news for every dyno"


def test_without_the_right_an_app_gets_no_groups(ground: Ground, tmp_path):
    (tmp_path / "memory").mkdir()
    tmp_path.chmod(0o555)
    assert ground.as_user(lambda: prepare(APP, ground.uid, str(tmp_path / "nowhere"))) == {}
    if os.geteuid() == 0:
        assert ground.as_user(lambda: prepare(APP, ground.uid)) == {}


def test_version_2_is_prepared_with_a_leaf_for_the_supervisor(tmp_path):
    """The kernel makes the files of a group; here they are written as it would."""
    root, path = tmp_path, tmp_path / "procman" / APP
    path.mkdir(parents=True)
    (root / "cgroup.controllers").write_text("cpu memory pids\n")
    for place in (root, path.parent, path):
        (place / "cgroup.subtree_control").write_text("memory pids\n")
        (place / "cgroup.procs").write_text("")
    (path / "supervisor").mkdir()
    (path / "supervisor" / "cgroup.procs").write_text("")
    given = prepare(APP, os.getuid(), str(root))
    assert given == {}, "memory was not enabled: the last thing written was pids"
    (path / "cgroup.subtree_control").unlink()
    (path / "cgroup.subtree_control").symlink_to("/dev/null")
    assert admit({"unified": str(path)}, 123)
    assert (path / "supervisor" / "cgroup.procs").read_text() == "123"


def test_limits_of_both_versions():
    files = dict(settings({"memory": "M", "pids": "P"}, SMALL))
    assert files == {"M/memory.limit_in_bytes": 80 * MB, "M/memory.memsw.limit_in_bytes": 80 * MB, "P/pids.max": 12}
    assert dict(settings({"unified": "U"}, SMALL)) == {
        "U/memory.max": 80 * MB,
        "U/memory.swap.max": 40 * MB,
        "U/memory.oom.group": 1,
        "U/pids.max": 12,
    }


def test_usage_is_read_from_the_files_of_version_2(tmp_path):
    (tmp_path / "cgroup.procs").write_text("12\n7\n")
    (tmp_path / "memory.stat").write_text("anon 100\nfile 50\nshmem 5\nkernel 9\n")
    (tmp_path / "memory.swap.current").write_text("3\n")
    (tmp_path / "memory.events").write_text("low 0\noom 4\noom_kill 2\n")
    (tmp_path / "memory.peak").write_text("170\n")
    group = Group({"unified": str(tmp_path)})
    assert group.usage() == Usage(100, 50, 3, 5)
    assert (group.members(), group.kills(), group.peak()) == ([7, 12], 2, 170)
    assert group.entries() == [f"{tmp_path}/cgroup.procs"]
    (tmp_path / "memory.stat").unlink()
    assert group.usage() is None
