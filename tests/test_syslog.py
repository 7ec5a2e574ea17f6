"""Logplex's framing, byte for byte; and the server's own writer of logs."""

import asyncio
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from procman.logs.server_log import ServerLog
from procman.logs.syslog import Framing, groups
from procman.logs.tail import last
from procman.server.logs import soon
from tests.receivers import unframe

TIME = b"2024-05-01T10:00:00.000001+00:00"
NOW = b"2024-05-01T10:00:09.000000+00:00"
TOKEN = "d.0f0e0d0c-0b0a-4908-8706-050403020100"


def test_a_frame_for_http_is_as_logplex_writes_it():
    got = Framing().frames(TIME + b" heroku[web.1]: Restarting\n", NOW)
    assert got == [b"70 <45>1 2024-05-01T10:00:00.000001+00:00 host heroku web.1 - Restarting\n"]


def test_a_frame_for_tcp_has_the_token_and_a_field_for_structured_data():
    (got,) = Framing(TOKEN).frames(TIME + b" app[web.1]: hello\n", NOW)
    body = b"<190>1 " + TIME + b" " + TOKEN.encode() + b" app web.1 - - hello\n"
    assert got == b"99 " + body
    assert len(body) == 99


@pytest.mark.parametrize(
    ("writer", "priority"),
    [
        (b"app[web.1]", b"<190>"),
        (b"app[api]", b"<134>"),
        (b"heroku[router]", b"<158>"),
        (b"heroku[run.1234]", b"<45>"),
        (b"heroku[logplex]", b"<172>"),
        (b"app[release.1234]", b"<190>"),
    ],
)
def test_the_priority_tells_who_wrote(writer, priority):
    (got,) = Framing().frames(TIME + b" " + writer + b": x\n", NOW)
    assert got.split(b" ")[1] == priority + b"1"


def test_long_messages_are_split_and_odd_lines_get_through():
    batch = TIME + b" app[web.1]: " + b"x" * 20_001 + b"\n" + TIME + b" app[web.1]: \nby hand\n"
    messages = [frame.rsplit(b" - ", 1)[1] for frame in Framing().frames(batch, NOW)]
    assert messages == [b"x" * 10_000 + b"\n", b"x" * 10_000 + b"\n", b"x\n", b"\n", b"by hand\n"]
    assert b"%s host app unknown - by hand\n" % NOW in Framing().frames(b"by hand\n", NOW)[0]


def test_the_notice_of_an_overflow_has_times_without_fraction():
    got = Framing().overflow(12, b"2024-05-01T10:00:00+00:00", b"2024-05-01T10:00:09+00:00")
    assert got == (
        b"144 <172>1 2024-05-01T10:00:09+00:00 host heroku logplex - "
        b"Error L10 (output buffer overflow): 12 messages dropped since 2024-05-01T10:00:00+00:00.\n"
    )


def test_the_notice_over_tcp_has_the_drains_token():
    got = Framing(TOKEN).overflow(500, b"2013-04-17T19:04:46+00:00", b"2013-04-17T19:04:46+00:00")
    assert got.endswith(
        b" <172>1 2013-04-17T19:04:46+00:00 d.0f0e0d0c-0b0a-4908-8706-050403020100 heroku logplex - - "
        b"Error L10 (output buffer overflow): 500 messages dropped since 2013-04-17T19:04:46+00:00.\n"
    )


@given(st.lists(st.binary(max_size=30).map(lambda text: text.replace(b"\n", b""))), st.integers(1, 300))
def test_any_bytes_come_through_whole(messages, limit):
    batch = b"".join(TIME + b" app[web.1]: " + message + b"\n" for message in messages)
    frames = Framing().frames(batch, NOW)
    start = b"<190>1 " + TIME + b" host app web.1 - "
    assert unframe(b"".join(frames)) == [start + message + b"\n" for message in messages]
    parts = list(groups(frames, limit))
    assert [frame for part in parts for frame in part] == frames
    assert all(len(part) == 1 or sum(map(len, part)) <= limit for part in parts)


# The server's writer


def test_the_server_writes_into_the_logs_of_many_apps_with_few_files_open(tmp_path):
    heard = []
    log = ServerLog(str(tmp_path), heard.append, lambda: 1714557600.000001, open_stores=3)
    before = len(os.listdir("/proc/self/fd"))
    for turn in range(2):
        for app in range(10):
            log.append(f"app-{app}", "heroku", "router", b"at=info\nat=error turn=%d\n" % turn)
    assert len(os.listdir("/proc/self/fd")) == before + 3
    assert heard == [f"app-{app}" for app in range(10)] * 2
    assert last(log.path("app-7"), 1) == [TIME + b" heroku[router]: at=error turn=1\n"]
    assert len(last(log.path("app-7"), 10)) == 4
    log.say("app-7", "app", "api", "Scaled to web@2:Basic by user a@b.c\nforged line")
    assert last(log.path("app-7"), 1) == [TIME + b" app[api]: Scaled to web@2:Basic by user a@b.c forged line\n"]
    log.remove("app-7")
    assert not os.path.exists(log.path("app-7"))
    log.close()
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_line_that_comes_after_the_loop_is_written_at_once_and_the_next_ones_too(tmp_path):
    heard = []
    log = ServerLog(str(tmp_path), heard.append, soon=soon)

    async def turn(words):
        log.append("demo", "heroku", "router", words)
        assert not heard
        await asyncio.sleep(0)
        assert heard == ["demo"]

    for number in range(2):
        asyncio.run(turn(b"in loop %d\n" % number))
        heard.clear()
        for _ in range(2):
            log.append("demo", "heroku", "router", b"after loop %d\n" % number)  # there is no loop to be asked
        assert last(log.path("demo"), 1)[0].endswith(b"after loop %d\n" % number)
    assert len(last(log.path("demo"), 10)) == 6
    assert not heard
    log.close()


def test_lines_whose_turn_never_came_are_written_at_the_close_and_do_not_stop_later_ones(tmp_path):
    loop = asyncio.new_event_loop()
    log = ServerLog(str(tmp_path), soon=loop.call_soon)
    log.append("demo", "heroku", "router", b"one\n")
    loop.close()
    log.append("demo", "heroku", "router", b"two\n")
    log.close()
    assert [line.rpartition(b" ")[2] for line in last(log.path("demo"), 9)] == [b"one\n", b"two\n"]
    log.append("demo", "heroku", "router", b"three\n")
    assert last(log.path("demo"), 1)[0].endswith(b"three\n")
    log.close()


def test_no_log_is_outside_the_servers_directory(tmp_path):
    log = ServerLog(str(tmp_path / "logs"))
    for wrong in ("", "..", "../x", "a/b"):
        with pytest.raises(ValueError, match="not the id"):
            log.append(wrong, "app", "api", b"x\n")
    assert not os.listdir(tmp_path)
