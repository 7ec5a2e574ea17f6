"""Rollouts of a served app, with real processes: preboot, failure, abandonment, plain restart, changes in place."""

import os
import signal

import pytest

from procman.core.plan import Health
from procman.core.sizes import SIZES
from tests.served import WAIT, Served, all_gone, answers, by_name, kind

WEB = "exec $PY -u -m http.server --bind 127.0.0.1 $PORT"
BAD = "echo first; echo second >&2; exit 3"


@pytest.fixture
def served(workshop):
    return Served(workshop)


def test_the_first_generation_starts_with_the_supervisor_and_proves_itself(served):
    served.plan(1, types={"web": kind(WEB, 2), "worker": kind()})
    running = served.start()
    answers = served.ask("apply")
    assert {answer["dyno"] for answer in answers[:-1]} == {"web.1", "web.2", "worker.1"}
    assert all(answer["event"] == "up" for answer in answers[:-1])
    assert answers[-1] == {"ok": True, "generation": 1, "ready": True}
    rows = served.rows()
    assert {row["port"] for row in rows.values()} == {served.base, served.base + 1, served.base + 2}
    assert {(row["state"], row["release"], row["size"], row["one_off"]) for row in rows.values()} == {
        ("up", 1, "Basic", False)
    }
    assert served.end(running) == 0


def test_preboot_keeps_the_old_until_the_switch(served):
    served.plan(1, types={"web": kind(WEB), "worker": kind()})
    running = served.start()
    served.call("apply")
    served.call("switch", generation=1)
    old = served.rows()
    assert served.apply(2, switch=False, types={"web": kind(WEB)})["ready"]
    rows = served.rows()
    assert rows["web.1", 1] == old["web.1", 1]
    assert rows["worker.1", 1] == old["worker.1", 1]
    assert rows["web.1", 2]["port"] != rows["web.1", 1]["port"]
    assert next(served.states())["generation"] == 1
    assert served.call("switch", generation=2) == {"ok": True}
    assert served.call("switch", generation=2) == {"ok": True}
    assert set(by_name(served.wait_until(all_gone(1)))) == {("web.1", 2)}
    assert served.lines("worker.1")[-3:-1] == [
        "State changed from up to down",
        "Stopping all processes with SIGTERM",
    ]
    assert "Restarting" not in served.log()
    assert served.end(running) == 0


def test_a_failed_rollout_says_why_and_leaves_the_old_untouched(served):
    served.plan(1, types={"web": kind(WEB), "worker": kind()})
    running = served.start()
    served.call("apply")
    served.call("switch", generation=1)
    old = served.rows()
    answer = served.apply(2, types={"web": kind(WEB), "worker": kind(BAD)}, steady_s=9.0)
    assert answer == {
        "ok": False,
        "error": "worker.1 did not come up: exited with status 3",
        "hint": None,
        "dyno": "worker.1",
        "lines": ["first", "second"],
    }
    assert served.rows() == old
    served.plan(1, types={"web": kind(WEB), "worker": kind(WAIT, 2)})
    assert served.call("apply") == {"ok": True, "generation": 1}
    assert served.apply(2, types={"web": kind(WEB)})["ready"], "the same generation may be tried again"
    assert served.end(running) == 0


def test_a_first_generation_that_fails_leaves_nothing_running(served):
    served.plan(1, types={"web": kind(WEB), "worker": kind(BAD)}, steady_s=9.0)
    running = served.start()
    assert served.call("apply")["error"] == "worker.1 did not come up: exited with status 3"
    assert served.rows() == {}
    assert served.apply(2)["ready"]
    assert served.end(running) == 0


def test_only_the_last_fifty_lines_are_told(served):
    served.plan(1)
    running = served.start()
    served.call("apply")
    answer = served.apply(2, types={"worker": kind("seq 100; printf 'caf\\351\\n'; exit 1")}, steady_s=9.0)
    assert answer["lines"] == [*map(str, range(52, 101)), "caf\ufffd"]
    served.end(running)


def test_what_may_not_overlap_never_does_and_comes_back_after_a_failure(served):
    types = {"clock": kind(f"exec $PY $CHILDREN/alone.py procman-{os.getpid()}", overlap=False)}
    served.plan(1, types=types)
    running = served.start()
    served.call("apply")
    served.call("switch", generation=1)
    served.wait_for_log("mine")
    assert served.apply(2, types=types)["ready"]
    assert [row["generation"] for row in served.rows().values()] == [2]
    answer = served.apply(3, types={**types, "worker": kind("sleep 0.3; exit 4")}, steady_s=9.0)
    assert answer["error"] == "worker.1 did not come up: exited with status 4"
    assert [row["generation"] for row in served.rows().values()] == [2]
    broken = {"clock": kind("exit 5", overlap=False)}
    assert served.apply(4, types=broken, watch_s=9.0)["error"] == "clock.1 did not come up: exited with status 5"
    rows = served.rows()
    assert [(row["generation"], row["run"]) for row in rows.values()] == [(2, 2)]
    assert "exited with status 9" not in served.log()
    assert served.end(running) == 0


def test_a_health_check_decides(served):
    served.plan(1)
    running = served.start()
    served.call("apply")
    answer = "exec $PY $CHILDREN/answer.py"
    env = {"HEROKU_APP_DEFAULT_DOMAIN_NAME": "shop.example"}
    types = {"web": kind(f"{answer} 503 302", health=Health("/health?x=1"))}
    assert served.apply(2, types=types, env=env)["ready"]
    assert served.lines("web.1", "app") == ["got shop.example /health?x=1"] * 2
    types = {"web": kind(f"{answer} 500", health=Health("/", within=0.2))}
    assert served.apply(3, types=types)["error"] == "web.1 did not come up: GET / was answered with 500"
    types = {"web": kind(f"{answer} -", health=Health("/", timeout=0.1, within=0.2))}
    assert served.apply(4, types=types)["error"] == (
        "web.1 did not come up: GET / was not answered within 0.1 seconds"
    )
    assert served.end(running) == 0


def test_a_boot_timeout_fails_a_rollout(served):
    served.plan(1)
    running = served.start()
    served.call("apply")
    answer = served.apply(2, types={"web": kind()}, boot_timeout=2.0)
    assert answer["error"] == "web.1 did not come up: it did not bind $PORT within 2 seconds (R10)"
    assert answer["lines"] == ["ready"]
    assert served.end(running) == 0


def test_a_second_apply_joins_the_first_and_a_hang_up_ends_nothing(served):
    served.plan(1)
    running = served.start()
    served.call("apply")
    served.plan(2, types={"worker": kind(), "clock": kind()}, steady_s=3.0)
    hung_up = served.begin("apply")
    served.wait_until(lambda message: ("worker.1", 2) in by_name(message))
    joined = [served.begin("apply"), served.begin("apply")]
    hung_up.close()
    for client in joined:
        *ups, last = answers(client)
        assert {up["dyno"] for up in ups} == {"worker.1", "clock.1"}
        assert last == {"ok": True, "generation": 2, "ready": True}
    assert all(row["run"] == 1 for row in served.rows().values())
    assert served.end(running) == 0


def test_other_quantities_may_be_applied_to_a_rollout_in_progress(served):
    served.plan(1)
    running = served.start()
    served.call("apply")
    served.plan(2, steady_s=0.4)
    first = served.begin("apply")
    served.wait_until(lambda message: ("worker.1", 2) in by_name(message))
    assert served.apply(2, types={"worker": kind(WAIT, 2)}, steady_s=0.4)["ready"]
    assert answers(first)[-1]["ready"]
    assert set(by_name(served.wait_until(all_gone(1)))) == {("worker.1", 2), ("worker.2", 2)}
    assert served.end(running) == 0


def test_a_newer_generation_puts_an_end_to_one_in_progress(served):
    served.plan(1)
    running = served.start()
    served.call("apply")
    served.call("switch", generation=1)
    served.plan(2, types={"web": kind()})
    second = served.begin("apply")
    served.wait_until(lambda message: ("web.1", 2) in by_name(message))
    assert served.apply(3)["ready"]
    assert answers(second)[-1]["error"] == "cannot apply generation 2: generation 3 was applied"
    assert [row["generation"] for row in served.wait_until(all_gone(1))["dynos"]] == [3]
    served.plan(2)
    assert served.call("apply")["error"] == "cannot apply generation 2: 3 is newer"
    assert served.end(running) == 0


def test_a_generation_can_be_abandoned_until_it_is_in_use(served):
    served.plan(1, types={"worker": kind(), "clock": kind(overlap=False)})
    running = served.start()
    served.call("apply")
    served.call("switch", generation=1)
    ready = served.apply(2, switch=False, types={"worker": kind(), "clock": kind(overlap=False)})
    assert ready["ready"]
    assert set(served.rows()) == {("worker.1", 1), ("worker.1", 2), ("clock.1", 2)}
    assert served.call("abandon", generation=2) == {"ok": True}
    assert set(served.wait_until(lambda message: len(message["dynos"]) == 2 and all_gone(2)(message))["dynos"][0])
    assert set(served.rows()) == {("worker.1", 1), ("clock.1", 1)}
    assert served.call("abandon", generation=2) == {"ok": True}, "there is nothing of it"
    assert served.call("abandon", generation=1)["error"] == "cannot abandon generation 1: it is in use"
    assert served.call("switch", generation=2)["error"] == "cannot switch to generation 2: there is none"
    assert served.call("switch")["error"] == "cannot switch: 'generation' must be a number"
    assert served.end(running) == 0


def test_the_plain_way_restarts_all_side_by_side(served):
    slow = "trap 'echo bye; exit 0' TERM; echo ready; while :; do sleep 0.05; done"
    served.plan(1, types={"worker": kind(f"{slow}")}, rollout="restart")
    running = served.start()
    assert served.call("apply") == {"ok": True, "generation": 1}
    served.wait_for_log(r"app\[worker.1\]: ready")
    assert served.apply(2, switch=False, rollout="restart") == {"ok": True, "generation": 2}
    served.wait_until(all_gone(1))
    assert served.lines("worker.1")[2:8] == [
        "Restarting",
        "State changed from up to starting",
        "Stopping all processes with SIGTERM",
        "Starting process with command `echo ready; exec sleep 1000`",
        "State changed from starting to up",
        "Process exited with status 0",
    ]
    assert served.apply(3, switch=False, types={"worker": kind("exit 7")}, rollout="restart")["ok"]
    served.wait_for_log("Next try in 10 min: exited with status 7")
    assert served.end(running) == 0


def test_the_same_generation_changes_in_place_and_nothing_else_is_touched(served):
    served.plan(1, types={"worker": kind(), "clock": kind(), "gone": kind()})
    running = served.start()
    served.call("apply")
    served.call("switch", generation=1)
    before = served.rows()
    assert served.apply(1, types={"worker": kind(WAIT, 3), "clock": kind()}) == {"ok": True, "generation": 1}
    rows = served.rows()
    assert set(rows) == {("worker.1", 1), ("worker.2", 1), ("worker.3", 1), ("clock.1", 1)}
    assert [rows[name, 1] for name in ("worker.1", "clock.1")] == [before[name, 1] for name in ("worker.1", "clock.1")]
    bigger = kind()._replace(limits=SIZES["Standard-2X"])
    assert served.apply(1, types={"worker": kind(), "clock": bigger})["ok"]
    rows = served.rows()
    assert rows["worker.1", 1] == before["worker.1", 1]
    assert (rows["clock.1", 1]["run"], rows["clock.1", 1]["size"]) == (2, "Standard-2X")
    assert served.apply(1, types={"worker": kind("echo changed; exec sleep 1000"), "clock": bigger})["ok"]
    assert served.rows()["worker.1", 1]["run"] == 2
    served.wait_for_log("changed")
    assert served.end(running) == 0


def test_a_crash_in_use_is_an_ordinary_crash_and_keeps_its_port(served):
    served.plan(1)
    running = served.start()
    served.call("apply")
    served.call("switch", generation=1)
    row = served.rows()["worker.1", 1]
    os.kill(row["pid"], signal.SIGKILL)
    again = by_name(served.wait_until(lambda message: by_name(message)["worker.1", 1]["run"] == 2))["worker.1", 1]
    assert again["port"] == row["port"]
    assert served.call("restart", dynos=["worker.1"])["ok"]
    assert served.rows()["worker.1", 1]["port"] == row["port"]
    assert served.end(running) == 0


def test_a_plan_that_is_none_changes_nothing(served):
    served.plan(1)
    running = served.start()
    served.call("apply")
    (served.home / "plan.json").write_text("{}")
    assert served.call("apply")["error"] == "cannot use plan.json: the plan: app_id is missing"
    (served.home / "plan.json").unlink()
    assert served.call("apply")["error"] == "cannot read plan.json: No such file or directory"
    assert served.call("reload")["error"] == "cannot reload: this app's plan is its server's"
    assert [row["state"] for row in served.rows().values()] == ["up"]
    assert served.end(running) == 0


def test_a_shutdown_answers_whoever_waits(served):
    served.plan(1, types={"web": kind()})
    running = served.start()
    waiting = served.begin("apply")
    served.call("ps")
    assert served.end(running) == 0
    assert answers(waiting)[-1]["error"] == "the app was shut down meanwhile"
