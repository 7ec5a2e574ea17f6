"""Log sessions: the last lines and what follows, as events and as text."""

import time
from contextlib import aclosing

import pytest

from procman.core.model import DynoName
from procman.logs.formats import Source
from procman.logs.line import parse_line
from procman.logs.stream import Session, Settings, event, events, plain
from tests.receivers import ROUTER, App, run

WORKER = Source(DynoName("worker", 1), "app")


@pytest.fixture
def app(tmp_path) -> App:
    return App(tmp_path)


async def collect(stream) -> list[bytes]:
    return [piece async for piece in stream]


def data_of(text: bytes) -> list[bytes]:
    """What an EventSource would hand out, in lines: as the standard says, fields of blocks."""
    lines = []
    for block in text.split(b"\n\n"):
        lines += [line[6:] for line in block.split(b"\n") if line.startswith(b"data: ")]
    return lines


def said(text: bytes) -> list[bytes]:
    return [parse_line(line).message for line in data_of(text)]


def id_of(text: bytes) -> str:
    return text[4 : text.index(b"\n")].decode()


def test_without_tail_the_stream_ends_behind_the_last_line(app):
    app.writes(b"one", b"two")
    app.writes(b"at=info", source=ROUTER)
    app.writes(b"three")
    got = run(collect(events(app.log, Session(lines=3))))
    assert b"".join(got) == (
        b"id: 1.db-1.3d\n"
        b"data: 2024-05-01T10:00:01.500000+00:00 app[web.1]: two\n"
        b"data: 2024-05-01T10:00:02.500000+00:00 heroku[router]: at=info\n"
        b"data: 2024-05-01T10:00:03.500000+00:00 app[web.1]: three\n\n"
    ).replace(b"1.db-1.3d", id_of(got[0]).encode())
    assert run(collect(events(app.log, Session(lines=0)))) == []
    assert run(collect(events(app.log, Session(), id_of(got[-1])))) == []


def test_older_clients_get_the_same_as_plain_text(app):
    app.writes(b"one")
    app.writes(b"at=info", source=ROUTER)
    assert b"".join(run(collect(plain(app.log, Session())))) == (
        b"2024-05-01T10:00:01.500000+00:00 app[web.1]: one\n2024-05-01T10:00:02.500000+00:00 heroku[router]: at=info\n"
    )


@pytest.mark.parametrize(
    ("session", "expected"),
    [
        (Session(dyno="web.1"), [b"w"]),
        (Session(dyno="worker"), [b"k"]),
        (Session(process_type="web"), [b"w"]),
        (Session(dyno="router"), [b"at=info"]),
        (Session(source="heroku"), [b"at=info"]),
        (Session(source="app"), [b"w", b"k"]),
        (Session(source="app", dyno="router"), []),
    ],
)
def test_a_session_shows_what_was_asked_for(app, session, expected):
    app.writes(b"w")
    app.writes(b"k", source=WORKER)
    app.writes(b"at=info", source=ROUTER)
    assert said(b"".join(run(collect(events(app.log, session))))) == expected


def test_with_tail_lines_come_as_they_are_written_and_silence_is_filled(app):
    async def scenario():
        app.writes(b"before")
        async with aclosing(
            events(app.log, Session(tail=True, dyno="web"), None, Settings(heartbeat_s=0.01))
        ) as stream:
            assert said(await anext(stream)) == [b"before"]
            assert await anext(stream) == b": ping\n\n"
            app.writes(b"not wanted", source=WORKER)
            app.writes(b"after")
            while (got := await anext(stream)) == b": ping\n\n":
                pass
            assert said(got) == [b"after"]

    run(scenario())


def test_a_line_written_while_the_reader_is_busy_is_not_missed(app):
    async def scenario():
        async with aclosing(events(app.log, Session(tail=True))) as stream:
            app.writes(b"0")
            for which in range(50):
                got = await anext(stream)
                assert said(got) == [b"%d" % which]
                app.writes(b"%d" % (which + 1))  # rings while nobody waits

    run(scenario())


def test_a_client_that_comes_back_gets_each_line_once(app):
    async def scenario():
        for which in range(3000):
            app.writes(b"%d " % which + b"x" * 50)
        session, last_id, got = Session(lines=2500, tail=True), None, []
        for _ in range(8):  # every connection breaks after one event
            async with aclosing(events(app.log, session, last_id)) as stream:
                text = await anext(stream)
                got += [int(message.split()[0]) for message in said(text)]
                last_id = id_of(text)
            app.writes(b"%d " % (3000 + _) + b"live")
        assert got == list(range(500, got[-1] + 1))
        assert got[-1] > 3000

    run(scenario())


@pytest.mark.parametrize(
    "wrong", ["1", "x~1.0-1.0", "0~1.0-1.0", "1.0", "1.0-1.0-1.0", "-1~1.0-1.0", "1.0-1.0 ", "٣~1.0-1.0"]
)
def test_the_id_of_no_event_is_refused_at_once(app, wrong):
    with pytest.raises(ValueError, match="not "):
        events(app.log, Session(), wrong)


@pytest.mark.parametrize("place", ["ffffffffffff.ffffffffffff-1.0", "1.ffffffffffff-1.ffffffffffff", "1.5-0.0"])
def test_a_place_that_never_was_harms_nobody(app, place):
    async def scenario():
        app.writes(b"one", b"two")
        quick = Settings(heartbeat_s=0.01)
        async with aclosing(events(app.log, Session(lines=0, tail=True), f"3~{place}", quick)) as stream:
            while await anext(stream) != b": ping\n\n":
                pass

    run(scenario())


def test_carriage_returns_do_not_break_an_event():
    assert event(b"10%\r20%\r\nnext\n", "1.0") == b"id: 1.0\ndata: 10% 20%\ndata: next\n\n"


def test_a_reader_too_far_behind_is_brought_to_the_present_and_told(app):
    async def scenario():
        settings = Settings(behind_bytes=500_000)
        async with aclosing(events(app.log, Session(lines=0, tail=True), None, settings)) as stream:
            app.writes(b"first")
            assert said(await anext(stream)) == [b"first"]
            for _ in range(40):
                app.writes(*[b"y" * 950] * 100)  # 4 MB that nobody takes
            shown, told = 0, b""
            while not told:
                for message in said(await anext(stream)):
                    if message.startswith(b"Error"):
                        told = message
                    shown += message.startswith(b"y")
            start = b"Error L11 (Tail buffer overflow) -> This tail session dropped "
            assert told == start + b"%d messages since 2024-05-01T10:00:" % (4000 - shown) + told[-9:]
            assert 1000 < shown < 2500
            app.writes(b"present")
            assert said(await anext(stream)) == [b"present"]

    run(scenario())


def test_a_flood_costs_a_session_little(app):
    async def scenario():
        for _ in range(100):
            app.writes(*[b"a line of the flood"] * 1000)
        begun, count = time.process_time(), 0
        async for text in events(app.log, Session(lines=100_000)):
            count += text.count(b"\ndata: ")
        assert count == 100_000
        place = "1.0-1.0"
        async with aclosing(events(app.log, Session(tail=True), place)) as stream:
            while count < 200_000:
                count += (await anext(stream)).count(b"\ndata: ")
        assert time.process_time() - begun < 3  # 0.1 s here

    run(scenario())


def test_a_session_that_is_left_gives_its_descriptors_back(app):
    import os

    async def scenario():
        app.writes(b"one")
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(5):
            stream = events(app.log, Session(tail=True))
            await anext(stream)
            app.writes(b"two")
            await anext(stream)
            await stream.aclose()
        assert len(os.listdir("/proc/self/fd")) == before

    run(scenario())
