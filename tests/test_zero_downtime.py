"""A short form of ``python -m benchmarks.zero_downtime``: a whole server under load, and not one request lost."""

import pytest

from benchmarks.zero_downtime import Scene, failures, is_excused, read, tabulate
from tests.harness import poll


@pytest.fixture
def scene():
    scene = Scene(with_wrk=False)
    scene.start()
    yield scene
    scene.close()


def test_under_load_nothing_that_happens_to_a_server_costs_a_request(scene):
    with scene.load:
        poll(lambda: scene.load.outcomes)
        scene.do("git push", scene.push)
        scene.do("scale down", lambda: scene.scale(1))
        scene.do("scale up", lambda: scene.scale(2))
        scene.do("HAProxy reload", scene.reload)
        scene.do("server kill -9", scene.kill_server)
        scene.do("dyno kill -9", scene.kill_dyno)
    lines = tabulate(scene.events, scene.load.outcomes)
    assert failures(lines) == 0, lines
    *quiet, killed = lines
    assert [line.excused for line in quiet] == [0] * 5
    kinds = {outcome.kind for outcome in scene.load.outcomes if not outcome.trouble}
    assert kinds == {"keep-alive", "slow", "new connection", "upload", "websocket"}
    event = scene.events[-1]
    lost = [each for each in scene.load.outcomes if each.trouble and is_excused(each, event, 0)]
    assert len(lost) == killed.excused
    # A body that was being sent, a connection that was upgraded: whoever waited for the first byte got a 503.
    assert {each.trouble for each in lost if each.kind in ("keep-alive", "new connection", "slow")} <= {"status 503"}


def test_a_killed_haproxy_costs_what_was_in_flight_and_what_came_within_a_second(scene):
    with scene.load:
        poll(lambda: scene.load.outcomes)
        for _ in range(3):
            scene.do("HAProxy kill -9", scene.kill_haproxy)
        scene.do("git push", scene.push)
    killed, pushed = tabulate(scene.events, scene.load.outcomes)
    assert (killed.times, failures([killed, pushed]), pushed.excused) == (3, 0, 0), (killed, pushed)


def test_what_wrk_counts_is_read():
    text = "  83 requests in 1.00s, 1MB read\n  Socket errors: connect 1, read 2, write 3, timeout 4\n"
    assert read(text + "  Non-2xx or 3xx responses: 5\n") == (83, 15)
    assert read("  83 requests in 1.00s, 1MB read\n") == (83, 0)
