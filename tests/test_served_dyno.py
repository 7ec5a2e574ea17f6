"""A served app's dynos as its supervisor starts them: isolated, limited, measured, and cleared away."""

import os

import pytest

from procman.core.plan import Limits
from procman.supervisor.cgroups import prepare, withdraw
from procman.supervisor.starter_isolation import Way
from tests.isolated import MB, MOUNT, Ground, make_ground, wait_until  # noqa: F401 - a fixture
from tests.served import Served, kind

TINY = Limits("Tiny", 40 * MB, 80 * MB, 64)


@pytest.fixture
def served(workshop) -> Served:
    return Served(workshop)


@pytest.fixture
def groups():
    """The groups of an app whose supervisor is whoever runs the tests; none where that cannot be."""
    given = prepare(f"served-{os.getpid()}", os.geteuid())
    yield given
    if given:
        wait_until(lambda: withdraw(given))


@pytest.fixture
def isolated(ground: Ground) -> Way:
    """What dynos may have of their own on this host."""
    return ground.require().way


def is_clear(served: Served) -> bool:
    """Whether no folder of a dyno is left."""
    return os.listdir(served.home / "dynos") == []


def test_a_web_dyno_runs_in_its_own_copy_of_the_slug_and_is_up_when_its_port_is_bound(served: Served, isolated):
    (served.slug / "file").write_text("slug\n")
    (served.slug / ".profile.d").mkdir()
    (served.slug / ".profile.d" / "a.sh").write_text("export GREETING=hello\n")
    web = f'echo $GREETING $PWD; echo mine >file; ls {served.home}; "$PY" -m http.server $PORT'
    served.plan(types={"web": kind(web, 2)}, mount=MOUNT)
    running = served.start()
    served.wait_until(lambda message: [row["state"] for row in message["dynos"]] == ["up", "up"])
    for dyno in ("web.1", "web.2"):
        assert served.lines(dyno, "app")[0] == f"hello {MOUNT}"
        assert "No such file" in served.lines(dyno, "app")[1], "the server's data is hidden"
    assert (served.slug / "file").read_text() == "slug\n"
    assert len(os.listdir(served.home / "dynos")) == 2
    assert served.call("stop", types=["web"])["ok"]
    wait_until(lambda: is_clear(served))
    served.end(running)


def test_a_dyno_far_over_its_quota_crashes_with_r15(served: Served, isolated, groups):
    eater = kind("echo ready; tail /dev/zero")._replace(limits=TINY)
    served.plan(types={"worker": eater}, mount=MOUNT, cgroup=groups, policy="heroku")
    running = served.start()
    served.wait_for_log("State changed from up to crashed")
    lines = served.lines("worker.1")
    begun = lines.index("Error R15 (Memory quota vastly exceeded)") - 1
    assert lines[begun].startswith("Process running mem=")
    assert lines[begun + 2] == "Stopping process with SIGKILL"
    assert "Process exited with status 137" in lines[begun + 3 :]
    served.end(running)


def test_what_a_shutdown_left_of_folders_is_gone_after_the_next_start(served: Served, isolated):
    served.plan(mount=MOUNT)
    running = served.start()
    served.wait_until(lambda message: message["dynos"][0]["state"] == "up")
    served.end(running)
    (served.home / "dynos" / "worker.9.1.1" / "work" / "work").mkdir(parents=True)
    served.plan(mount=MOUNT, types={"worker": kind(quantity=0)})
    running = served.start()
    wait_until(lambda: is_clear(served))
    served.end(running)


def test_a_dyno_with_a_group_leaves_none_behind_nor_a_process_that_hid_from_it(served: Served, isolated, groups):
    if not groups:
        pytest.skip("no control groups here")
    worker = kind("(setsid env -i sh -c 'echo hidden $$; exec sleep 1000' &); read -t 1000 end <>/dev/null; sleep 1000")
    served.plan(types={"worker": worker}, mount=MOUNT, cgroup=groups)
    running = served.start()
    hidden = int(served.wait_for_log(r"hidden (\d+)")[1])
    assert served.call("stop", types=["worker"])["ok"]
    wait_until(lambda: not os.path.exists(f"/proc/{hidden}"))
    for path in groups.values():
        wait_until(lambda path=path: not [name for name in os.listdir(path) if name.startswith("worker")])
    served.end(running)
