"""Log drains: what arrives at real receivers, good and bad ones."""

import asyncio
import os
import time

from procman.logs.drains import Drain
from tests.receivers import ROUTER, HttpReceiver, SyslogReceiver, run, unframe
from tests.shipping import QUICK, TOKEN, make_app, make_tls, messages, shipping  # noqa: F401 - fixtures

ROUTED = b'at=info method=GET path="/" host=demo.example.com'


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
