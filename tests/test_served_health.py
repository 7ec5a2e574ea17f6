"""Health checks and start order of a served app: the same as in a terminal, in the place where its dynos run."""

import os
import signal

import pytest

from procman.core.health import Checks, Probe
from tests.served import WAIT, Served, kind
from tests.test_health import until
from tests.test_outliving import kill

HEALTHY = "exec $PY $CHILDREN/healthy.py"
NOTIFYING = "exec $PY $CHILDREN/notifying.py"
HTTP = Probe(http="/health", timeout=2.0)


@pytest.fixture
def served(workshop):
    return Served(workshop)


def state(served, dyno: str) -> str:
    return served.rows()[dyno, 1]["state"]


def inside(served, dyno: str, name: str) -> str:
    """A file that the dyno sees in its working directory."""
    return f"/proc/{served.rows()[dyno, 1]['pid']}/cwd/{name}"


def test_a_release_is_ready_when_its_dynos_are_healthy_and_one_that_turns_sick_is_started_again(served):
    checks = Checks(HTTP, HTTP, every=0.1, failures=2)
    served.plan(1, types={"web": kind(HEALTHY, checks=checks)})
    running = served.start()
    assert served.call("apply")["ready"]
    assert served.call("switch", generation=1) == {"ok": True}
    served.wait_for_log("asked for /health")
    assert served.lines("web.1", "app")[:2] == ["begun", "asked for /health"]
    with open(inside(served, "web.1", "health"), "w") as file:
        file.write("500")
    served.wait_for_log("Health check failed 2 times in a row: GET /health was answered with 500")
    served.wait_for_log(r"web.1.*State changed from up to crashed(.*\n)+.*web.1.*State changed from starting to up")
    assert served.end(running) == 0


def test_a_release_whose_dynos_are_never_healthy_fails_and_says_what_was_found(served):
    served.plan(1, types={"worker": kind()})
    running = served.start()
    served.call("apply")
    served.call("switch", generation=1)
    checks = Checks(Probe(command="exit 7"), within=3.0)
    answer = served.apply(2, types={"worker": kind(checks=checks)})
    assert not answer["ok"]
    assert "it did not pass its health check within 3 seconds (R10): `exit 7` ended with status 7" in answer["error"]
    assert served.end(running) == 0


def test_a_command_sees_what_the_dyno_sees(served):
    checks = Checks(Probe(command='test "$SECRET $DYNO" = "word worker.1" && test -e mine && test -e /tmp/mine'))
    command = "touch mine /tmp/mine; echo made; exec sleep 1000"
    served.plan(1, types={"worker": kind(command, checks=checks)}, env={"SECRET": "word"})
    running = served.start()
    assert served.call("apply")["ready"]
    assert state(served, "worker.1") == "up"
    assert served.end(running) == 0


def test_a_dyno_tells_that_it_is_ready_also_to_the_next_supervisor_and_the_next_program(served):
    notify = Probe(notify=True)
    types = {"db": kind(NOTIFYING, checks=Checks(notify)), "worker": kind(WAIT, needs=("db",))}
    served.plan(1, types=types)
    running = served.start()
    served.wait_for_log("db.1.*begun")
    assert (state(served, "db.1"), state(served, "worker.1")) == ("starting", "starting")
    assert served.lines("worker.1") == ["Waiting for db"]
    kill(running.pid)
    running = served.start()
    served.wait_for_log("Took over db.1")
    assert served.call("upgrade")["ok"]
    with open(inside(served, "db.1", "orders"), "w") as orders:
        orders.write("READY=1\n")
    until(lambda: state(served, "worker.1") == "up")
    pids = {name: row["pid"] for name, row in served.rows().items()}
    assert served.call("upgrade")["ok"]
    assert {name: row["pid"] for name, row in served.rows().items()} == pids
    assert state(served, "db.1") == "up"
    os.kill(running.pid, signal.SIGTERM)
    running.finish()
    log = served.log()
    assert log.index("worker.1]: Process exited") < log.index("db.1]: Stopping all processes")
