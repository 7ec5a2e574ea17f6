"""The supervisor's program is replaced in place: the same process, dynos, pipes, sockets and clients go on."""

import os
import signal
import threading

import pytest

from tests.served import WAIT, Served, by_name, kind, read_all
from tests.test_one_offs import attach, read_until

FLOOD = "i=0; while [ $i -lt 200000 ]; do echo line $i; i=$((i+1)); done; echo done; exec sleep 1000"


@pytest.fixture
def served(workshop):
    return Served(workshop)


def started(served, **plan):
    served.plan(1, **plan)
    running = served.start()
    served.call("apply")
    served.call("switch", generation=1)
    return running


def test_the_process_and_its_dynos_stay_and_go_on_as_before(served):
    running = started(served, types={"worker": kind(WAIT, 2), "bad": kind("sleep 0.2; exit 3")})
    served.wait_for_log("Next try in 10 min")
    before = served.rows()
    assert served.call("upgrade") == {"ok": True, "pid": running.pid}
    assert served.rows() == before
    os.kill(before["worker.1", 1]["pid"], signal.SIGKILL)
    again = by_name(served.wait_until(lambda message: by_name(message)["worker.1", 1]["run"] == 2))["worker.1", 1]
    assert (again["status"], again["port"]) == (137, before["worker.1", 1]["port"])
    assert served.apply(2)["ready"]
    assert served.end(running) == 0
    assert "Took over" not in served.log()


def test_no_byte_of_a_flood_is_lost(served):
    running = started(served, types={"worker": kind(FLOOD)})
    for _ in range(3):
        served.call("upgrade")
    served.wait_for_log(r"app\[worker.1\]: done")
    lines = served.lines("worker.1", "app")
    assert lines == [*(f"line {number}" for number in range(200_000)), "done"]
    assert served.end(running) == 0


def test_a_line_begun_before_is_ended_after(served):
    words = "trap 'echo \" and ended\"' USR1; echo up; printf begun; while :; do sleep 0.05; done"
    running = started(served, types={"worker": kind(words)})
    served.wait_for_log(r"app\[worker.1\]: up")
    served.call("upgrade")
    os.kill(served.rows()["worker.1", 1]["pid"], signal.SIGUSR1)
    served.wait_for_log(r"app\[worker.1\]: begun and ended$")
    assert served.end(running) == 0


def test_attached_clients_and_followers_stay(served):
    running = started(served)
    client, _ = attach(served, "echo ready; while read word; do echo got $word; done")
    read_until(client, b"ready")
    piped, _ = attach(served, "cat", dyno="run.2", tty=False)
    piped.socket.sendall(b"before ")
    read_until(piped, b"before ")
    states = served.states()
    next(states)
    served.call("upgrade")
    client.socket.sendall(b"hello\n")
    assert b"got hello" in read_until(client, b"got hello")
    piped.socket.sendall(b"after\x04")
    assert read_all(piped) == b"after"
    assert next(states)["generation"] == 1
    client.socket.sendall(b"\x04")
    read_all(client)
    for row in ("run.1", "run.2"):
        assert "State changed from up to complete" in served.lines(row)
    assert served.end(running) == 0


def test_a_signal_does_it_too_and_stop_signals_are_not_lost(served):
    running = started(served)
    running.signal(signal.SIGUSR2)
    served.wait_for_log("Replacing the program of this supervisor")
    running.signal(signal.SIGTERM)
    assert running.finish() == 143
    assert "Process exited with status 143" in served.lines("worker.1")


def test_signals_that_come_in_the_middle_of_it_do_no_harm(served):
    running = started(served)
    before = served.rows()
    for _ in range(200):
        running.signal(signal.SIGUSR2)
        os.sched_yield()
    served.wait_for_log("Replacing")
    assert served.call("upgrade")["ok"]
    assert served.rows() == before
    assert served.end(running) == 0


def test_it_is_refused_in_the_middle_of_a_rollout_and_when_the_plan_is_none(served):
    running = started(served)
    served.plan(2, types={"web": kind()})
    waiting = served.begin("apply")
    served.wait_until(lambda message: ("web.1", 2) in by_name(message))
    assert served.call("upgrade")["error"] == "cannot upgrade: generation 2 is being rolled out"
    served.call("abandon", generation=2)
    waiting.close()
    (served.home / "plan.json").write_text("nonsense")
    answer = served.call("upgrade")
    assert answer["error"] == "cannot upgrade: the new program cannot go on: cannot use plan.json: not JSON"
    assert answer["hint"] == "nothing has changed"
    assert [row["state"] for row in served.rows().values()] == ["up"]
    assert served.end(running) == 0


def test_a_generation_that_is_ready_stays_ready(served):
    running = started(served)
    served.apply(2, switch=False)
    before = served.rows()
    served.call("upgrade")
    assert served.rows() == before
    assert served.call("abandon", generation=2) == {"ok": True}
    assert set(served.rows()) == {("worker.1", 1)}
    assert served.end(running) == 0


def test_dynos_taken_over_before_and_killed_after_are_looked_after(served):
    running = started(served)
    pid = served.rows()["worker.1", 1]["pid"]
    running.finish(signal.SIGKILL)
    running = served.start()
    served.call("upgrade")
    assert served.rows()["worker.1", 1]["pid"] == pid
    running.finish(signal.SIGKILL)
    running = served.start()
    assert served.rows()["worker.1", 1]["pid"] == pid
    os.kill(pid, signal.SIGTERM)
    row = by_name(served.wait_until(lambda message: by_name(message)["worker.1", 1]["run"] == 2))["worker.1", 1]
    assert row["exit"] == "killed by SIGTERM"
    assert served.end(running) == 0


def test_many_upgrades_under_orders_leave_no_descriptor_behind(served):
    running = started(served)
    served.call("upgrade")
    before = len(os.listdir(f"/proc/{running.pid}/fd"))
    threads = [threading.Thread(target=lambda: served.call("restart", dynos=["worker.1"])) for _ in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(3):
        served.call("upgrade")
    for thread in threads:
        thread.join()
    served.wait_until(lambda message: by_name(message)["worker.1", 1]["state"] == "up")
    assert len(os.listdir(f"/proc/{running.pid}/fd")) <= before + 1
    assert served.end(running) == 0
