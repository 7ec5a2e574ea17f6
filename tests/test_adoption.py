"""Dynos outlive a killed supervisor, and the next one goes on with them: nothing lost, nothing twice."""

import contextlib
import json
import os
import re
import select
import shutil
import signal
import time
import urllib.request

import pytest

from tests.harness import DEADLINE_S
from tests.proc import is_alive
from tests.served import WAIT, Served, by_name, kind

WEB = "exec $PY -u -m http.server --bind 127.0.0.1 $PORT"
COUNT = "exec $PY -u $CHILDREN/count.py"


@pytest.fixture
def served(workshop):
    return Served(workshop)


def kill(running) -> None:
    """The supervisor, by SIGKILL, and nobody else."""
    assert running.finish(signal.SIGKILL) == 137


def end_and_wait(pid: int) -> None:
    """A dyno's root, by SIGKILL, without anybody who looks after it."""
    handle = os.pidfd_open(pid)
    os.kill(pid, signal.SIGKILL)
    assert select.select([handle], [], [], DEADLINE_S)[0]
    os.close(handle)


def holder_of(served) -> int:
    """The process that holds the log pipes."""
    return json.loads((served.home / "ledger.json").read_text())["holder"][0]


def test_dynos_go_on_without_a_supervisor_and_under_the_next(served):
    served.plan(1, types={"web": kind(WEB), "worker": kind(WAIT, 2)})
    running = served.start()
    served.call("apply")
    served.call("switch", generation=1)
    before = served.rows()
    kill(running)
    url = f"http://127.0.0.1:{before['web.1', 1]['port']}/"
    assert urllib.request.urlopen(url, timeout=DEADLINE_S).status == 200
    running = served.start()
    after = served.rows()
    same = ("pid", "run", "port", "state", "generation", "release")
    assert {name: [row[key] for key in same] for name, row in before.items()} == {
        name: [row[key] for key in same] for name, row in after.items()
    }
    assert "heroku[procman]: Took over web.1, worker.1 and worker.2" in served.log()
    assert served.log().count("Starting process") == 3
    assert served.end(running) == 0
    assert not list((served.home / "pipes").iterdir())
    assert not (served.home / "ledger.json").exists()


def test_no_line_is_lost_or_told_twice(served):
    served.plan(1, types={"worker": kind(COUNT)})
    running = served.start()
    for _ in range(3):
        served.wait_for_log(r"app\[worker.1\]: \d*0$")
        kill(running)
        pid = json.loads((served.home / "ledger.json").read_text())["dynos"][0]["pid"]
        os.kill(pid, signal.SIGUSR1)  # ten more, into the pipe, which nobody reads
        os.kill(pid, signal.SIGUSR1)
        running = served.start()
    served.wait_for_log(r"app\[worker.1\]: 40$")
    assert served.end(running) == 0
    numbers = [int(line) for line in served.lines("worker.1", "app")]
    assert numbers == list(range(1, len(numbers) + 1))


def test_a_flood_is_written_once_and_in_order_whenever_the_supervisor_is_killed(served):
    served.plan(1, types={"worker": kind("$PY $CHILDREN/write.py count 120000 n; echo done; sleep 1000")})
    running = served.start()
    for wanted in range(1, 7):
        served.wait_for_log(rf"n 00{wanted}[0-9]{{4}} ")
        kill(running)
        running = served.start()
    served.wait_for_log(r"app\[worker.1\]: done")
    numbers = [int(line.split()[1]) for line in served.lines("worker.1", "app")[:-1]]
    assert numbers == list(range(120_000))
    assert served.end(running) == 0


def test_what_ended_meanwhile_has_its_last_words_and_its_status_told(served):
    words = "trap 'echo last words; exit 7' USR1; echo ready; while :; do sleep 0.05; done"
    served.plan(1, types={"worker": kind(words)})
    running = served.start()
    served.wait_for_log(r"app\[worker.1\]: ready")
    served.call("ps")
    pid = served.rows()["worker.1", 1]["pid"]
    kill(running)
    handle = os.pidfd_open(pid)
    os.kill(pid, signal.SIGUSR1)
    assert select.select([handle], [], [], DEADLINE_S)[0]
    wait_for_file(served.home / "pipes" / "worker.1@1.1.out.exit")
    running = served.start()
    row = by_name(served.wait_until(lambda message: by_name(message)["worker.1", 1]["run"] == 2))["worker.1", 1]
    assert (row["status"], row["exit"]) == (7, "exited with status 7")
    assert served.lines("worker.1", "app")[:2] == ["ready", "last words"]
    assert served.end(running) == 0


def test_a_status_that_nobody_saw_is_not_made_up(served):
    served.plan(1)
    running = served.start()
    served.wait_for_log(r"app\[worker.1\]: ready")
    pid, holder = served.rows()["worker.1", 1]["pid"], holder_of(served)
    kill(running)
    end_and_wait(holder)
    end_and_wait(pid)
    # As if it had been reaped: here, nobody may reap orphans, and a zombie's status can be read.
    ledger = json.loads((served.home / "ledger.json").read_text())
    ledger["dynos"][0]["pid"] = 2**22 - 1
    (served.home / "ledger.json").write_text(json.dumps(ledger))
    running = served.start()
    row = by_name(served.wait_until(lambda message: by_name(message)["worker.1", 1]["run"] == 2))["worker.1", 1]
    assert row["exit"] == "exited with unknown status (its supervisor had been killed)"
    assert row["status"] is None
    assert "Process exited with unknown status" in served.lines("worker.1")
    assert served.end(running) == 0


def test_an_adopted_dyno_is_like_any_other(served):
    family = "exec $PY $CHILDREN/family.py"
    served.plan(1, types={"worker": kind(family), "clock": kind()}, grace=0.2)
    running = served.start()
    served.wait_for_log(r"app\[worker.1\]: daemon")
    served.wait_for_log(r"app\[clock.1\]: ready")
    rows = served.rows()
    kill(running)
    running = served.start()
    os.kill(rows["clock.1", 1]["pid"], signal.SIGKILL)
    again = by_name(served.wait_until(lambda message: by_name(message)["clock.1", 1]["run"] == 2))["clock.1", 1]
    assert (again["status"], again["port"]) == (137, rows["clock.1", 1]["port"])
    assert served.call("restart", dynos=["worker"])["ok"]
    assert served.rows()["worker.1", 1]["run"] == 2
    assert "Error R12 (Exit timeout)" in served.log()
    kill(running)
    running = served.start()
    assert served.rows()["worker.1", 1]["run"] == 2
    assert served.end(running) == 0
    # Whose parent is dead and who bears no token, is nobody's that could be told once a supervisor was killed.
    for pid in re.findall(r"bare-daemon (\d+)$", served.log(), re.MULTILINE):
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(pid), signal.SIGKILL)


def test_what_the_kernel_does_not_confirm_is_not_adopted(served):
    served.plan(1)
    running = served.start()
    served.wait_for_log(r"app\[worker\.1\]: ready$")  # it has become what it runs: its environment tells whose it is
    pid = served.rows()["worker.1", 1]["pid"]
    kill(running)
    ledger = json.loads((served.home / "ledger.json").read_text())
    ledger["dynos"][0]["start"] += 1
    (served.home / "ledger.json").write_text(json.dumps(ledger))
    running = served.start()
    row = by_name(served.wait_until(lambda message: by_name(message)["worker.1", 1]["state"] == "up"))["worker.1", 1]
    assert row["pid"] != pid
    assert not is_alive(pid), "the real one bears its dyno's token, and must not run beside the next"
    assert served.end(running) == 0


@pytest.mark.parametrize("text", ["", "{", "[]", '{"place": 1}', '{"dynos": [{}]}'])
def test_a_ledger_that_is_nonsense_costs_adoption_and_nothing_else(served, text):
    served.plan(1)
    running = served.start()
    pid = served.rows()["worker.1", 1]["pid"]
    kill(running)
    (served.home / "ledger.json").write_text(text)
    running = served.start()
    assert not is_alive(pid)
    assert served.rows()["worker.1", 1]["state"] == "up"
    assert "Ended 1 process that an earlier procman left behind" in served.log()
    assert served.end(running) == 0


def test_a_copied_home_takes_nothing_over_and_ends_nothing(workshop, tmp_path):
    app = Served(workshop)
    app.plan(1)
    running = app.start()
    pid = app.rows()["worker.1", 1]["pid"]
    copy = app.home.parent / "app-2"
    shutil.copytree(app.home, copy, ignore=shutil.ignore_patterns("*.sock", "*.out", "*.new"))
    other = workshop.procman("supervise", str(copy))
    other.wait_for("^ready$")
    assert app.rows()["worker.1", 1]["pid"] == pid
    assert is_alive(pid)
    assert other.finish(signal.SIGTERM) == 143
    assert is_alive(pid)
    assert app.end(running) == 0


def test_pipes_that_somebody_deleted_are_found_in_the_dyno_itself(served):
    served.plan(1, types={"worker": kind(COUNT)})
    running = served.start()
    served.wait_for_log(r"app\[worker.1\]: 10$")
    pid = served.rows()["worker.1", 1]["pid"]
    kill(running)
    for path in (served.home / "pipes").iterdir():
        path.unlink()
    running = served.start()
    os.kill(pid, signal.SIGUSR1)
    served.wait_for_log(r"app\[worker.1\]: 20$")
    assert served.rows()["worker.1", 1]["pid"] == pid
    assert served.end(running) == 0


def test_where_there_can_be_no_named_pipes_dynos_run_all_the_same(served):
    served.plan(1)
    running = served.start()
    served.wait_for_log(r"app\[worker.1\]: ready")
    shutil.rmtree(served.home / "pipes")
    assert served.call("restart", dynos=["worker.1"], wait=True)["ok"]
    served.wait_for_log(r"app\[worker.1\]: ready(?s:.*)app\[worker.1\]: ready")
    pid = served.rows()["worker.1", 1]["pid"]
    kill(running)
    running = served.start()
    assert not is_alive(pid), "nobody could read what it writes"
    assert served.rows()["worker.1", 1]["state"] == "up"
    assert served.end(running) == 0


def test_of_two_only_one_supervises(served):
    served.plan(1)
    running = served.start()
    second = served.shop.procman("supervise", str(served.home))
    assert second.finish() == 1
    assert re.fullmatch(rf"error: cannot start app-1: it runs already \(pid {running.pid}\)\n", second.text())
    assert served.end(running) == 0


def test_detached_one_off_dynos_go_on_and_attached_ones_end(served):
    served.plan(1)
    running = served.start()
    served.call("apply")
    served.call("switch", generation=1)
    pid = served.call("run", dyno="run.1", command="exec sleep 1000", ttl=3600)["pid"]
    client = served.client()
    [answer] = client.ask("run", dyno="run.2", command="exec sleep 1000", attach=True, tty=False)
    kill(running)
    running = served.start()
    row = served.rows()["run.1", 1]
    assert (row["pid"], row["one_off"], row["state"]) == (pid, True, "up")
    assert not is_alive(answer["pid"])
    assert served.call("stop", dynos=["run.1"])["ok"]
    assert served.lines("run.1")[-1] == "State changed from up to complete"
    assert served.end(running) == 0


def wait_for_file(path) -> None:
    """Nothing tells of a file of another process but a look."""
    deadline = time.monotonic() + DEADLINE_S
    while not path.exists():
        assert time.monotonic() < deadline, f"no {path}"
        os.sched_yield()
