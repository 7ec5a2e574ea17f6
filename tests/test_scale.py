"""`procman scale` changes quantities, or nothing and says why."""

import json
import signal
import socket

import pytest

from tests.formations import SLEEP, TWO, begin, rows, states
from tests.proc import is_alive


def test_scale_sets_adds_and_takes_away(workshop):
    running = begin(workshop, f"my-worker: {SLEEP}\nb: {SLEEP}\n", "-m", "b=1")
    before = rows(workshop)["b.1"]["pid"]
    done = workshop.call("scale", "my-worker=3")
    assert (done.stdout, done.returncode) == ("Formation: my-worker=3 b=1\n", 0)
    assert list(rows(workshop)) == ["my-worker.1", "my-worker.2", "my-worker.3", "b.1"]
    gone = rows(workshop)["my-worker.3"]["pid"]
    assert workshop.call("scale", "my-worker-1", "b+1").stdout == "Formation: my-worker=2 b=2\n"
    assert not is_alive(gone)
    assert list(rows(workshop)) == ["my-worker.1", "my-worker.2", "b.1", "b.2"]
    assert rows(workshop)["b.1"]["pid"] == before
    done = workshop.call("scale", "--json", "my-worker=0", "b=0")
    assert json.loads(done.stdout)["formation"] == {"my-worker": 0, "b": 0}
    assert rows(workshop) == {}
    assert workshop.call("ps").stdout.startswith("No dynos")
    assert workshop.call("scale", "b+1").returncode == 0
    assert states(workshop) == {"b.1": "up"}
    running.finish(signal.SIGTERM)


def test_a_formation_that_is_scaled_to_nothing_goes_on_whatever_has_completed(workshop):
    running = begin(workshop, f"job: exit 0\nb: {SLEEP}\n", "--restart", "on-failure", dynos=0)
    running.wait_for_all("job.1 .*State changed from .* to complete", r"b\.1 .*\| ready")
    assert workshop.call("scale", "b=0").stdout == "Formation: job=1 b=0\n"
    assert states(workshop) == {"job.1": "complete"}
    assert workshop.call("scale", "b=1", "job=0").returncode == 0
    assert workshop.call("scale", "b=0").returncode == 0
    assert states(workshop) == {}
    running.finish(signal.SIGTERM)


@pytest.mark.parametrize(
    ("word", "status", "why"),
    [
        ("nobody=1", 1, "cannot scale nobody: no such process type"),
        ("web=1001", 1, "over 1000 dynos"),
        ("web=99999999999999999999", 1, "cannot scale web to 99999999999999999999: over 1000 dynos"),
        ("web=-1", 2, "cannot scale 'web=-1': TYPE=N is wanted"),
        ("web", 2, "TYPE=N is wanted"),
        ("web=two", 2, "TYPE=N is wanted"),
        ("web=", 2, "TYPE=N is wanted"),
    ],
)
def test_a_scale_that_cannot_be_changes_nothing(workshop, word, status, why):
    running = begin(workshop, TWO)
    before = rows(workshop)
    refused = workshop.call("scale", "worker=3", word)
    assert refused.returncode == status
    assert why in refused.stderr
    assert {name: row["pid"] for name, row in rows(workshop).items()} == {n: r["pid"] for n, r in before.items()}
    running.finish(signal.SIGTERM)


def test_scale_refuses_a_port_that_somebody_holds(workshop, port):
    running = begin(workshop, TWO, "-p", str(port))
    with socket.create_server(("127.0.0.1", port + 1)):
        refused = workshop.call("scale", "web=2")
    assert refused.returncode == 1
    assert f"cannot start web.2: port {port + 1} is taken" in refused.stderr
    assert "--port" not in refused.stderr, "start has no say any more"
    assert list(rows(workshop)) == ["web.1", "worker.1"]
    running.finish(signal.SIGTERM)
