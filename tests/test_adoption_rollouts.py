"""A supervisor is killed between two generations, or in the middle of a rollout: the next one goes on with it."""

import pytest

from tests.served import WAIT, Served, all_gone, by_name, kind
from tests.test_adoption import WEB, kill


@pytest.fixture
def served(workshop):
    return Served(workshop)


def test_two_generations_are_taken_over_and_the_switch_still_works(served):
    served.plan(1)
    running = served.start()
    served.call("apply")
    served.call("switch", generation=1)
    served.apply(2, switch=False, types={"worker": kind(WAIT, 2)})
    before = {name: row["pid"] for name, row in served.rows().items()}
    kill(running)
    running = served.start()
    assert {name: row["pid"] for name, row in served.rows().items()} == before
    assert next(served.states())["generation"] == 1
    assert served.call("switch", generation=2) == {"ok": True}
    assert set(by_name(served.wait_until(all_gone(1)))) == {("worker.1", 2), ("worker.2", 2)}
    kill(running)
    running = served.start()
    assert next(served.states())["generation"] == 2
    assert served.end(running) == 0


def test_a_rollout_in_progress_goes_on(served):
    served.plan(1, types={"clock": kind(overlap=False)})
    running = served.start()
    served.call("apply")
    served.call("switch", generation=1)
    served.plan(2, types={"web": kind(WEB.replace("exec", "sleep 0.5; exec")), "clock": kind(overlap=False)})
    served.begin("apply")
    served.wait_until(lambda message: ("web.1", 2) in by_name(message))
    kill(running)
    running = served.start()
    assert served.call("apply") == {"ok": True, "generation": 2, "ready": True}
    rows = served.rows()
    assert set(rows) == {("web.1", 2), ("clock.1", 2)}
    assert rows["web.1", 2]["run"] == 1
    assert served.end(running) == 0


def test_a_generation_that_was_ending_goes_on_to_end(served):
    served.plan(1)
    running = served.start()
    served.call("apply")
    served.call("switch", generation=1)
    reluctant = "trap 'trap - TERM; echo not yet' TERM; echo deaf; while :; do sleep 0.05; done"
    served.apply(2, switch=False, types={"worker": kind(reluctant)}, grace=60.0)
    served.wait_for_log(r"app\[worker.1\]: deaf")
    served.begin("abandon", generation=2)
    served.wait_for_log(r"app\[worker.1\]: not yet")
    kept = served.rows()["worker.1", 1]["pid"]
    kill(running)
    served.plan(1)
    running = served.start()
    rows = by_name(served.wait_until(all_gone(2)))
    assert {name: row["pid"] for name, row in rows.items()} == {("worker.1", 1): kept}
    served.wait_for_log("Took over worker.1 and worker.1")
    assert served.end(running) == 0


def test_a_plan_that_came_meanwhile_is_rolled_out(served):
    served.plan(1)
    running = served.start()
    served.call("apply")
    served.call("switch", generation=1)
    kill(running)
    served.plan(2)
    running = served.start()
    assert served.call("apply")["ready"]
    assert set(served.rows()) == {("worker.1", 1), ("worker.1", 2)}
    kill(running)
    served.plan(3, rollout="restart")
    running = served.start()
    assert set(by_name(served.wait_until(lambda message: all_gone(1)(message) and all_gone(2)(message)))) == {
        ("worker.1", 3)
    }
    assert served.end(running) == 0
