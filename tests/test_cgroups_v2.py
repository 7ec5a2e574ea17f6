"""Control groups of version 2, as this kernel has them: who may enter, who may divide, and what a kill reaches.

Where memory is counted in a hierarchy of version 1, version 2 counts something else, or nothing. Groups, rights and
kills are the same for whatever is counted.
"""

import json
import os
import signal
import subprocess
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from procman.core.plan import Limits
from procman.supervisor import cgroups
from procman.supervisor.cgroups import admit, create, prepare, sweep, withdraw
from tests.isolated import wait_until

UID = 40_000
APP = f"test-v2-{os.getpid()}"
PLENTY = Limits("Any", 1 << 30, 2 << 30, 100)


def mounted() -> str:
    """Where version 2 is; "" for nowhere."""
    rows = (line.split() for line in Path("/proc/self/mounts").read_text().splitlines())
    return next((row[1] for row in rows if row[2] == "cgroup2" and "rw" in row[3].split(",")), "")


@pytest.fixture
def root(tmp_path: Path) -> Iterator[str]:
    """The kernel's own groups of version 2."""
    if os.geteuid():
        pytest.skip("only root may make control groups")
    found, own = mounted(), tmp_path / "unified"
    if not found:
        own.mkdir()
        if subprocess.run(["mount", "-t", "cgroup2", "none", str(own)], capture_output=True, check=False).returncode:
            pytest.skip("this kernel has no control groups of version 2")
        found = str(own)
    before = cgroups.text(f"{found}/cgroup.subtree_control").split()
    yield found
    cgroups.drop(f"{found}/procman")
    for name in set(cgroups.text(f"{found}/cgroup.subtree_control").split()) - set(before):
        cgroups.put(f"{found}/cgroup.subtree_control", f"-{name}")
    if own.is_dir():
        subprocess.run(["umount", str(own)], check=True)


@pytest.fixture
def base(root: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """An app's groups, in which whatever there is to count is counted."""
    there = cgroups.text(f"{root}/cgroup.controllers").split()
    if not set(cgroups.CONTROLLERS) <= set(there):
        if not there:
            pytest.skip("nothing is left for version 2 to count")
        monkeypatch.setattr(cgroups, "CONTROLLERS", (there[0],))
    given = prepare(APP, UID, root)
    assert given == {"unified": f"{root}/procman/{APP}"}
    yield given
    assert withdraw(given), "groups were left behind"


def as_supervisor(base: dict[str, str], deed: Callable[[], Any]) -> Any:
    """What ``deed`` finds, in a process of the app's user that root has let in."""
    (ask, asked), (tell, told) = (os.pipe()[::-1] for _ in range(2))
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            os.setresgid(UID, UID, UID)
            os.setresuid(UID, UID, UID)
            os.read(asked, 1)
            os.write(tell, json.dumps(deed()).encode())
            status = 0
        except BaseException:
            os.write(tell, json.dumps(traceback.format_exc()).encode())
        os._exit(status)
    assert admit(base, pid)
    os.write(ask, b"!")
    os.close(tell)
    with open(told, "rb") as file:
        found = json.loads(file.read())
    assert os.waitpid(pid, 0)[1] == 0, found
    os.close(ask)
    os.close(asked)
    return found


def run_in(group: cgroups.Group, command: str) -> "subprocess.Popen[bytes]":
    """A process that is in the group before it runs."""
    words = ["/bin/sh", "-c", f'for file in "$@"; do echo $$ > "$file"; done; {command}', "sh", *group.entries()]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stdin=subprocess.PIPE)


def test_where_memory_is_not_counted_an_app_gets_no_groups_and_nothing_is_left(root: str):
    if "memory" in cgroups.text(f"{root}/cgroup.controllers").split():
        pytest.skip("memory is counted here")
    assert prepare(APP, UID, root) == {}
    assert not os.path.exists(f"{root}/procman/{APP}")


def test_an_apps_group_holds_groups_and_no_processes_so_its_supervisor_has_a_leaf(base: dict[str, str]):
    path = base["unified"]
    assert not cgroups.put(f"{path}/cgroup.procs", str(os.getpid())), "controllers count in it: only leaves have any"
    assert {os.stat(place).st_uid for place in (path, f"{path}/cgroup.procs", f"{path}/supervisor")} == {UID}
    assert os.stat(f"{path}/cgroup.subtree_control").st_uid == UID
    assert os.stat(f"{path}/../cgroup.procs").st_uid == 0
    assert prepare(APP, UID, path.partition("/procman/")[0]) == base, "a second time it is the same"

    def deed() -> list[list[int]]:
        return [cgroups.numbers(f"{path}/supervisor/cgroup.procs"), [os.getpid()]]

    members, own = as_supervisor(base, deed)
    assert members == own


def test_a_dyno_is_in_its_group_with_all_that_it_starts_and_cannot_leave_it(base: dict[str, str]):
    def deed() -> dict[str, Any]:
        group = create(base, "web.1.0.1", PLENTY, pytest.fail)
        assert group
        dyno = run_in(group, "setsid env -i sh -c 'echo $$; exec sleep 1000' & echo $$; read end")
        assert dyno.stdout
        pids = sorted(int(dyno.stdout.readline()) for _ in range(2))
        members = group.members()
        outside = cgroups.put(f"{base['unified']}/../cgroup.procs", str(pids[0]))
        refused = group.remove()
        gone = sweep(base)
        dyno.wait()
        wait_until(lambda: sweep(base))
        return {"same": members == pids, "outside": outside, "removed": refused, "swept": gone or group.remove()}

    assert as_supervisor(base, deed) == {"same": True, "outside": False, "removed": False, "swept": True}


def test_a_kill_at_one_stroke_ends_what_forks_faster_than_it_could_be_counted(base: dict[str, str]):
    if not os.path.exists(f"{base['unified']}/cgroup.kill"):
        pytest.skip("this kernel is older than 5.14")

    def deed() -> list[Any]:
        group = create(base, "worker.1.0.1", PLENTY, pytest.fail)
        assert group
        again = "sh -c 'echo; trap : TERM; while :; do (sleep 0.01; exec sleep 1000) & sleep 0.005; done' &"
        dyno = run_in(group, f"{again} {again} read end")
        assert dyno.stdout
        dyno.stdout.readline()
        dyno.stdout.readline()
        wait_until(lambda: len(group.members()) > 10)
        cgroups.kill(group.paths["unified"])
        status = dyno.wait()
        wait_until(group.remove)
        return [status, group.members()]

    assert as_supervisor(base, deed) == [-signal.SIGKILL, []]


def test_what_a_killed_supervisor_left_is_withdrawn_by_root(base: dict[str, str]):
    def deed() -> int:
        group = create(base, "web.1.0.1", PLENTY, pytest.fail)
        assert group
        dyno = run_in(group, "echo; exec sleep 1000")
        assert dyno.stdout
        dyno.stdout.readline()
        return dyno.pid

    left = as_supervisor(base, deed)
    assert left in cgroups.numbers(f"{base['unified']}/web.1.0.1/cgroup.procs")
    wait_until(lambda: withdraw(base))
    assert not os.path.exists(base["unified"])
