"""Start order: types that need others start after them and end before them."""

import re
import signal
from itertools import pairwise, permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from procman.core.order import cycle_in
from tests.test_health import settings
from tests.test_outliving import detach, end, rows

DB = "db: exec sleep 1000\n"
THREE = "web: exec sleep 1000\nworker: exec sleep 1000\n" + DB
NEEDS = '[needs]\nweb = ["worker"]\nworker = ["db"]\n[health.db]\ncommand = "test -e ready"\n'


def positions(text: str, *words: str) -> list[int]:
    return [text.index(word) for word in words]


def test_dynos_start_when_every_dyno_of_what_they_need_is_up_and_end_the_other_way_round(workshop):
    workshop.procfile(THREE)
    settings(workshop, NEEDS)
    running = workshop.start("db=2", "web=1", "worker=1")
    running.wait_for("db.2 .*Starting process")
    table = workshop.call("ps").stdout
    assert re.findall(r"waiting for \w+", table) == ["waiting for worker", "waiting for db"]
    assert rows(workshop)["web.1"]["state"] == "starting"
    assert "web.1 is waiting for worker" in workshop.call("explain", "web.1").stdout
    (workshop.directory / "ready").touch()
    running.wait_for("web.1 .*Starting process")
    assert running.finish(signal.SIGTERM) == 143
    text = running.text()
    up = "db.1     * State changed from starting to up"
    begun = positions(text, up, "worker.1 * Starting", "web.1    * Starting")
    assert begun == sorted(begun)
    ended = positions(
        text,
        "web.1    * Process exited",
        "worker.1 * Stopping",
        "worker.1 * Process exited",
        "db.1     * Stopping",
    )
    assert ended == sorted(ended)
    assert "stopping web.1, worker.1, db.1 and db.2, up to 30 s" in text


def test_a_needed_dyno_that_crashes_stops_nobody_and_who_starts_again_waits_for_it(workshop):
    workshop.procfile("web: exec sleep 1000\n" + DB)
    settings(workshop, '[needs]\nweb = "db"\n[health.db]\ncommand = "test -e ready"\n')
    (workshop.directory / "ready").touch()
    running = workshop.start()
    running.wait_for("web.1 .*Starting process")
    before = rows(workshop)
    (workshop.directory / "ready").unlink()
    assert workshop.call("kill", "--signal", "KILL", "db.1").returncode == 0
    running.wait_for("db.1 .*State changed from crashed to starting")
    assert rows(workshop)["web.1"]["pid"] == before["web.1"]["pid"]
    assert workshop.call("kill", "--signal", "KILL", "web.1").returncode == 0
    running.wait_for("web.1 .*Waiting for db")
    (workshop.directory / "ready").touch()
    running.wait_for("web.1 .*Starting process")
    assert running.finish(signal.SIGTERM) == 143


def test_the_second_stop_kills_all_at_once(workshop):
    workshop.procfile("web: exec python3 $CHILDREN/stubborn.py\n" + DB)
    running = workshop.start("--needs", "web=db")
    running.wait_for(r"web.1 +\| ")
    running.signal(signal.SIGINT)
    running.wait_for("Still waiting for web.1 and db.1, up to 1[0-8] s; Ctrl-C kills at once")
    running.signal(signal.SIGINT)
    assert running.finish() == 130
    assert "db.1    * Stopping remaining processes with SIGKILL" in running.text()
    assert workshop.wait_until_gone() == []


def test_who_waits_for_one_that_will_not_start_is_told_so(workshop):
    workshop.procfile("web: exec sleep 1000\n" + DB)
    settings(workshop, '[needs]\nweb = ["db"]\n')
    detach(workshop)
    assert workshop.call("stop", "db").returncode == 0
    refused = workshop.call("restart", "web")
    assert refused.returncode == 1
    assert "web.1 waits for db.1, which is down" in refused.stderr
    assert workshop.call("start", "db").returncode == 0
    assert workshop.call("restart", "web").returncode == 0
    end(workshop)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('[needs]\nweb = ["db"]\ndb = ["web"]\n', "cannot use needs of .procman.toml:1: web and db need each other"),
        ('[needs]\nweb = ["web"]\n', ".procman.toml:1: web needs itself, so none could start: web -> web"),
        ('[needs]\nweb = ["dbs"]\n', ".procman.toml:1: no process type 'dbs' in Procfile: did you mean 'db'?"),
        ('[needs]\nwbe = ["db"]\n', "no process type 'wbe' in Procfile: did you mean 'web'?"),
        ('needs = "web"\n', "'web' is not TYPE=TYPE, such as web=db"),
    ],
)
def test_rings_and_strangers_are_refused_where_they_are_written(workshop, text, why):
    workshop.procfile("web: exec sleep 1000\n" + DB)
    settings(workshop, text)
    refused = workshop.call("start")
    assert refused.returncode == 2
    assert why in refused.stderr
    assert len(refused.stderr.splitlines()) <= 2


names = st.sampled_from(["web", "worker", "db", "cache"])


@given(st.dictionaries(names, st.lists(names, max_size=3)))
def test_a_ring_is_found_wherever_there_is_one_and_is_one(needs):
    orders = permutations(["web", "worker", "db", "cache"])
    possible = any(
        all(order.index(needed) < order.index(kind) for kind, found in needs.items() for needed in found)
        for order in orders
    )
    ring = cycle_in(needs)
    assert bool(ring) != possible
    assert all(after in needs[before] for before, after in pairwise(ring))
    assert not ring or ring[0] == ring[-1]
