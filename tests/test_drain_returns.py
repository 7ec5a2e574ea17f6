"""Drains go on where they were: after a server or a receiver that was away, and at the present when too far behind."""

import asyncio

import pytest

from tests.receivers import HttpReceiver, SyslogReceiver, run, unframe
from tests.shipping import QUICK, make_app, make_tls, messages, shipping  # noqa: F401 - fixtures


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
