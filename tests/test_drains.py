"""Log drains: what arrives at real receivers, good and bad ones."""

import asyncio
import os
import time
from contextlib import asynccontextmanager

import pytest

from procman.logs.drains import Drain, DrainManager
from procman.logs.shipper import Pace
from procman.reach import Reach
from tests.receivers import ROUTER, App, HttpReceiver, SyslogReceiver, make_certificate, run, unframe

TOKEN = "d.0f0e0d0c-0b0a-4908-8706-050403020100"
QUICK = Pace(retry_s=0.01, reconnect_s=0.01, reconnect_max_s=0.02)
ROUTED = b'at=info method=GET path="/" host=demo.example.com'


@pytest.fixture
def app(tmp_path) -> App:
    return App(tmp_path / "app")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    return make_certificate(tmp_path_factory.mktemp("tls"))


@asynccontextmanager
async def shipping(app: App, *urls: str, pace: Pace = QUICK, **more):
    """A manager with a drain a URL, d-0 and so on."""
    state = os.path.dirname(app.log.stores[0]) + "/drains"
    manager = DrainManager(lambda app_id: app.log, state, pace, reach=Reach(local=True), **more)
    manager.set_drains("app", [Drain(f"d-{number}", TOKEN, url) for number, url in enumerate(urls)])
    try:
        yield manager
    finally:
        await manager.close()


def messages(frames: list[bytes]) -> list[bytes]:
    return [frame.rsplit(b" - ", 1)[1].removesuffix(b"\n") for frame in frames]


def test_a_tls_syslog_receiver_gets_these_bytes(app, certificate):
    async def scenario():
        async with SyslogReceiver().listening(certificate.server()) as receiver:
            app.writes(b"before there was a drain")
            url = f"syslog+tls://127.0.0.1:{receiver.port}"
            async with shipping(app, url, ca_file=certificate.certificate):
                app.writes("grüezi".encode(), b"")
                app.writes(ROUTED, source=ROUTER)
                app.writes(b"x" * 10_001)
                await receiver.until_lines(5)
        host = TOKEN.encode()
        long = b" <190>1 2024-05-01T10:00:04.500000+00:00 " + host + b" app web.1 - - "
        assert receiver.received == (
            b"101 <190>1 2024-05-01T10:00:02.500000+00:00 %s app web.1 - - gr\xc3\xbcezi\n"
            b"94 <190>1 2024-05-01T10:00:02.500000+00:00 %s app web.1 - - \n"
            b"147 <158>1 2024-05-01T10:00:03.500000+00:00 %s heroku router - - %s\n"
        ) % (host, host, host, ROUTED) + b"10094%s%s\n95%sx\n" % (long, b"x" * 10_000, long)

    run(scenario())


def test_an_https_receiver_gets_these_bytes(app, certificate):
    async def scenario():
        async with HttpReceiver().listening(certificate.server()) as receiver:
            url = f"https://user:p%40ss@127.0.0.1:{receiver.port}/in?source=demo"
            async with shipping(app, url, ca_file=certificate.certificate):
                app.writes(b"hello", b"world")
                app.writes(ROUTED, source=ROUTER)
                await receiver.until(lambda: len(receiver.accepted()) == 3)
        first = receiver.requests[0]
        assert first.head == (
            "POST /in?source=demo HTTP/1.1\r\n"
            f"Host: 127.0.0.1:{receiver.port}\r\n"
            "Content-Type: application/logplex-1\r\n"
            f"Content-Length: {len(first.body)}\r\n"
            "Logplex-Msg-Count: 3\r\n"
            f"Logplex-Frame-Id: {first.header('Logplex-Frame-Id')}\r\n"
            f"Logplex-Drain-Token: {TOKEN}\r\n"
            "User-Agent: Logplex/v100\r\n"
            "Authorization: Basic dXNlcjpwQHNz\r\n\r\n"
        )
        assert first.body == (
            b"63 <190>1 2024-05-01T10:00:01.500000+00:00 host app web.1 - hello\n"
            b"63 <190>1 2024-05-01T10:00:01.500000+00:00 host app web.1 - world\n"
            b"%d <158>1 2024-05-01T10:00:02.500000+00:00 host heroku router - %s\n"
        ) % (62 + len(ROUTED), ROUTED)

    run(scenario())


def test_a_receiver_that_fails_now_and_then_gets_every_line_once_and_knows_a_batch_again(app, certificate):
    async def scenario():
        answers = [500, 200, 0, 302, 200, -1, 200, 503, 200, 0, 200]
        async with HttpReceiver(*answers).listening(certificate.server()) as receiver:
            url = f"https://127.0.0.1:{receiver.port}/"
            async with shipping(app, url, ca_file=certificate.certificate, pace=QUICK._replace(attempts=3)):
                for which in range(20):
                    app.writes(b"%d" % which)
                    await receiver.until(lambda count=which: len(receiver.accepted()) > count)
        assert messages(receiver.accepted()) == [b"%d" % which for which in range(20)]
        by_id: dict[str, set[bytes]] = {}
        for request in receiver.requests:
            by_id.setdefault(request.header("Logplex-Frame-Id"), set()).add(request.body)
        assert len(by_id) == 20
        assert all(len(bodies) == 1 for bodies in by_id.values())

    run(scenario())


def test_after_two_failures_a_batch_is_dropped_and_the_next_begins_with_the_count(app):
    async def scenario():
        async with (
            HttpReceiver(500, 503).listening() as receiver,
            shipping(app, f"http://127.0.0.1:{receiver.port}"),
        ):
            app.writes(b"one", b"two")
            await receiver.until(lambda: len(receiver.requests) == 2)
            app.writes(b"three")
            await receiver.until(lambda: len(receiver.requests) == 3)
            app.writes(b"four")
            await receiver.until(lambda: len(receiver.requests) == 4)
        third, fourth = receiver.requests[2:]
        assert third.header("Logplex-Msg-Count") == "2"
        notice, line = unframe(third.body)
        stamp, _, rest = notice.removeprefix(b"<172>1 ").partition(b" ")
        assert len(stamp) == 25
        words = b"Error L10 (output buffer overflow): 2 messages dropped since 2024-05-01T10:00:01+00:00.\n"
        assert rest == b"host heroku logplex - " + words
        assert line.endswith(b" - three\n")
        assert fourth.header("Logplex-Msg-Count") == "1"

    run(scenario())


def test_what_a_receiver_refuses_is_not_tried_again(app):
    async def scenario():
        async with (
            HttpReceiver(404).listening() as receiver,
            shipping(app, f"http://127.0.0.1:{receiver.port}"),
        ):
            app.writes(b"one")
            await receiver.until(lambda: len(receiver.requests) == 1)
            app.writes(b"two")
            await receiver.until(lambda: len(receiver.requests) == 2)
        notice, line = messages(unframe(receiver.requests[1].body))
        assert notice.startswith(b"Error L10 (output buffer overflow): 1 messages dropped")
        assert line == b"two"

    run(scenario())


def test_a_connection_is_kept_and_its_end_while_idle_is_no_failure(app):
    async def scenario():
        async with (
            HttpReceiver(200, 200, -1).listening() as receiver,
            shipping(app, f"http://127.0.0.1:{receiver.port}", pace=QUICK._replace(attempts=1)),
        ):
            for which in range(5):
                app.writes(b"%d" % which)
                await receiver.until(lambda count=which: len(receiver.requests) > count)
        assert messages(receiver.accepted()) == [b"0", b"1", b"2", b"3", b"4"]
        assert receiver.connections == 2

    run(scenario())


def test_a_receiver_that_never_answers_costs_its_attempts_and_no_more(app):
    async def scenario():
        silent = SyslogReceiver(stalled=True)
        async with silent.listening():
            pace = QUICK._replace(timeout_s=0.02, patience_s=0.1)
            async with shipping(app, f"http://127.0.0.1:{silent.port}", pace=pace) as manager:
                app.writes(b"one")
                await silent.until(lambda: len(silent.connections) == 2)
                app.writes(b"two")
                await silent.until(lambda: len(silent.connections) == 4)
                (running,) = manager._running["app"].values()
                assert running.shipper._dropped >= 1

    run(scenario())


def test_dead_and_stalled_drains_cost_a_healthy_one_nothing(app):
    async def scenario():
        async with (
            SyslogReceiver().listening() as healthy,
            SyslogReceiver(stalled=True).listening() as stalled,
            HttpReceiver(*[500] * 1000).listening() as failing,
        ):
            dead = SyslogReceiver()
            async with dead.listening():
                pass
            urls = [f"syslog://127.0.0.1:{receiver.port}" for receiver in (dead, stalled, healthy)]
            pace = QUICK._replace(patience_s=0.1)
            async with shipping(app, *urls, f"http://127.0.0.1:{failing.port}", pace=pace):
                begun = time.process_time()
                for batch in range(100):
                    app.writes(*[b"%d of the flood" % batch] * 1000)
                    await asyncio.sleep(0)
                await healthy.until_lines(100_000)
                assert time.process_time() - begun < 10  # 0.5 s here
                stalled.hang_up()
        assert messages(healthy.frames()) == [b"%d of the flood" % (which // 1000) for which in range(100_000)]

    run(scenario())


@pytest.mark.parametrize("scheme", ["http", "syslog"])
def test_a_server_that_comes_back_goes_on_where_it_was(app, scheme):
    async def scenario():
        receiver = HttpReceiver() if scheme == "http" else SyslogReceiver()
        taken = receiver.accepted if scheme == "http" else receiver.frames
        async with receiver.listening():
            for turn in range(5):
                async with shipping(app, f"{scheme}://127.0.0.1:{receiver.port}"):
                    app.writes(*[b"%d while it ran" % turn] * 2000)
                    if turn != 2:  # and once it is ended in the middle
                        await receiver.until(lambda count=turn: receiver_lines(receiver) >= 2001 * count + 2000)
                app.writes(b"%d while it was away" % turn)
            async with shipping(app, f"{scheme}://127.0.0.1:{receiver.port}"):
                await receiver.until(lambda: receiver_lines(receiver) >= 5 * 2001)
        expected = []
        for turn in range(5):
            expected += [b"%d while it ran" % turn] * 2000 + [b"%d while it was away" % turn]
        assert messages(taken()) == expected

    run(scenario())


def test_a_server_that_is_killed_repeats_a_batch_at_most_and_under_its_old_word_only_if_it_is_the_same(app):
    async def scenario():
        async with HttpReceiver(*[200] * 3, *[0] * 50).listening() as receiver:
            url = f"http://127.0.0.1:{receiver.port}"
            stubborn = QUICK._replace(attempts=100, retry_s=0.001, retry_max_s=0.001)
            for turn in range(10):
                async with shipping(app, url, pace=stubborn) as manager:
                    app.writes(*[b"%d" % turn] * 100)
                    await receiver.until(lambda count=turn: len(receiver.requests) > count)
                    for running in manager._running["app"].values():
                        running.task.cancel()  # in the middle of it, without a chance to write down the place
            async with shipping(app, url, pace=stubborn):
                await receiver.until(lambda: b"9" in messages(receiver.accepted()))
        seen: dict[str, list[bytes]] = {}
        for request in receiver.requests:
            assert seen.setdefault(request.header("Logplex-Frame-Id"), unframe(request.body)) == unframe(request.body)
        once = dict.fromkeys(r.header("Logplex-Frame-Id") for r in receiver.requests if r.answer == 200)
        got = [line for word in once for line in messages(seen[word])]
        assert {line: got.count(line) // 100 >= 1 for line in got} == {b"%d" % turn: True for turn in range(10)}

    run(scenario())


def receiver_lines(receiver) -> int:
    if isinstance(receiver, HttpReceiver):
        return sum(request.body.count(b"\n") for request in receiver.requests if request.answer == 200)
    return receiver.received.count(b"\n")


def test_a_syslog_receiver_that_comes_back_is_found_again(app):
    async def scenario():
        receiver = SyslogReceiver()
        async with receiver.listening():
            pass
        async with shipping(app, f"syslog://127.0.0.1:{receiver.port}"):
            app.writes(b"while it was away")
            async with receiver.listening():
                await receiver.until_lines(1)
                app.writes(b"present")
                await receiver.until_lines(2)
            app.writes(b"into what was just lost")
            async with receiver.listening():
                await receiver.until_lines(3)
        assert messages(receiver.frames()) == [b"while it was away", b"present", b"into what was just lost"]

    run(scenario())


@pytest.mark.parametrize("tls", [False, True])
def test_a_receiver_that_restarts_in_order_gets_no_line_twice(app, certificate, tls):
    async def scenario():
        receiver, context = SyslogReceiver(), certificate.server() if tls else None
        scheme = "syslog+tls" if tls else "syslog"
        async with receiver.listening(context):
            pass
        async with shipping(app, f"{scheme}://127.0.0.1:{receiver.port}", ca_file=certificate.certificate):
            for which in range(1, 6):
                async with receiver.listening(context):
                    app.writes(b"%d" % which)
                    await receiver.until_lines(which)
                    await receiver.see_off()
        assert messages(receiver.frames()) == [b"1", b"2", b"3", b"4", b"5"]

    run(scenario())


def test_a_drain_too_far_behind_is_brought_to_the_present_and_told(app):
    async def scenario():
        receiver = HttpReceiver()
        async with receiver.listening():
            url = f"http://127.0.0.1:{receiver.port}"
            async with shipping(app, url):
                app.writes(b"first")
                await receiver.until(lambda: len(receiver.requests) == 1)
            app.writes(*[b"lost"] * 5000)
            async with shipping(app, url, pace=QUICK._replace(behind_bytes=100_000)):
                app.writes(b"lost too, perhaps")
                await receiver.until(lambda: len(receiver.requests) >= 1)
                while len(receiver.requests) < 2:
                    app.writes(b"present")
                    await asyncio.sleep(0)
        notice, *lines = messages(unframe(receiver.requests[1].body))
        count = int(notice.split()[5])
        assert notice.endswith(b"messages dropped since 2024-05-01T10:00:02+00:00.")
        assert count >= 5000
        assert set(lines) == {b"present"}

    run(scenario())


def test_a_certificate_that_nobody_vouches_for_is_told_of_once_and_may_be_waved_through(app, certificate):
    async def scenario():
        told = []
        async with SyslogReceiver().listening(certificate.server()) as receiver:
            checked = f"syslog+tls://127.0.0.1:{receiver.port}"
            report = lambda app_id, text: (told.append((app_id, text)), receiver.changed())  # noqa: E731
            async with shipping(app, checked, f"{checked}?insecure=true", report=report):
                app.writes(b"hello")
                await receiver.until_lines(1)
                await receiver.until(lambda: told)
        words = 'Error L14 (certificate validation): error="self-signed certificate" uri="' + checked + '"'
        assert told == [("app", words)]
        assert messages(receiver.frames()) == [b"hello"]

    run(scenario())


def test_a_drain_that_stays_goes_on_and_one_that_goes_is_forgotten(app, tmp_path):
    async def scenario():
        async with HttpReceiver().listening() as receiver:
            url = f"http://127.0.0.1:{receiver.port}"
            async with shipping(app, url, f"{url}/other") as manager:
                state = f"{os.path.dirname(app.log.stores[0])}/drains"
                assert sorted(os.listdir(state)) == ["d-0", "d-1"]
                assert os.stat(f"{state}/d-0").st_mode & 0o777 == 0o600
                manager.set_drains("app", [Drain("d-0", TOKEN, url), Drain("bad", TOKEN, "ftp://x")])
                assert os.listdir(state) == ["d-0"]
                app.writes(b"hello")
                await receiver.until(lambda: receiver.requests)
                manager.set_drains("app", [Drain("d-0", TOKEN, f"{url}/moved")])
                app.writes(b"again")
                await receiver.until(lambda: len(receiver.requests) == 2)
                manager.set_drains("app", [])
                assert os.listdir(state) == []
        assert [request.head.split()[1] for request in receiver.requests] == ["/", "/moved"]
        assert set(messages(receiver.accepted())) == {b"hello", b"again"}

    run(scenario())


def test_nothing_is_left_open_when_the_manager_ends(app, certificate):
    async def scenario():
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(3):
            async with SyslogReceiver().listening(certificate.server()) as receiver:
                url = f"syslog+tls://127.0.0.1:{receiver.port}"
                async with shipping(app, url, ca_file=certificate.certificate):
                    app.writes(b"hello")
                    await receiver.until_lines(1)
        await asyncio.sleep(0)
        assert len(os.listdir("/proc/self/fd")) == before
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run(scenario())
