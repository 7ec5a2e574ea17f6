"""The parts of a log drain: its URL, an answer over HTTP, a connection that is looked for."""

import asyncio

import pytest

from procman.errors import ProcmanError
from procman.logs.drain_http import answer
from procman.logs.drain_tcp import TcpReceiver
from procman.logs.drain_url import Receiver, parse_url
from procman.reach import Reach
from tests.receivers import SyslogReceiver, run


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("syslog://logs.example.com:1234", Receiver("syslog", "logs.example.com", 1234)),
        ("syslog://logs.example.com", Receiver("syslog", "logs.example.com", 514)),
        ("syslog+tls://[::1]:6514?insecure=true", Receiver("syslog+tls", "::1", 6514, insecure=True)),
        ("syslog+tls://x?insecure=yes", Receiver("syslog+tls", "x", 6514)),
        ("https://x", Receiver("https", "x", 443, path="/")),
        ("https://u:p@X:8443/a?b=c#d", Receiver("https", "x", 8443, path="/a?b=c", authorization="Basic dTpw")),
        ("http://u@x/", Receiver("http", "x", 80, path="/", authorization="Basic dTo=")),
    ],
)
def test_a_url_says_where_a_drain_leads(url, expected):
    assert parse_url(url) == expected


@pytest.mark.parametrize(
    "url",
    [
        "",
        "x",
        "ftp://x",
        "syslog://",
        "syslog://x:99999",
        "syslog://x:0",
        "https://[::1",
        "https://x/a b",
        "https://x/\r\nA: b",
        "https://x/ü",
        "syslog://u:secret@x:514",
        "https://a..b",
        f"https://{'a' * 64}.com",
        "https://u:secret@",
    ],
)
def test_a_url_that_cannot_be_a_drain_is_refused_without_its_secrets(url):
    with pytest.raises(ProcmanError) as caught:
        parse_url(url)
    assert caught.value.what.startswith("cannot use this drain URL: ")
    assert "secret" not in caught.value.what


def test_secrets_are_not_part_of_what_is_shown():
    assert parse_url("https://u:secret@[::1]:8443/key").shown() == "https://[::1]:8443"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length:  3\r\nX: y\r\n\r\n", (200, {"content-length": "3", "x": "y"})),
        (b"HTTP/1.0 404\n\n", (404, {})),
        (b"HTTP/1.1 2x0 OK\r\n\r\n", None),
        (b"SSH-2.0-OpenSSH\r\n", None),
        (b"HTTP/1.1 200 OK\r\nno header\r\n\r\n", None),
        (b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 200, None),
        (b"HTTP/1.1 200 OK\r\na: " + b"b" * 100_000, None),
        (b"HTTP/1.1 200 OK\r\na: b", None),
        (b"", None),
    ],
)
def test_an_answer_is_read_strictly(text, expected):
    async def scenario():
        reader = asyncio.StreamReader()
        reader.feed_data(text)
        reader.feed_eof()
        if expected:
            assert await answer(reader) == expected
        else:
            with pytest.raises((ValueError, EOFError)):
                await answer(reader)

    run(scenario())


def test_a_syslog_receiver_that_stays_away_is_looked_for_ever_more_rarely():
    async def scenario():
        now = 1000.0
        gone = SyslogReceiver()
        async with gone.listening():
            pass
        to = parse_url(f"syslog://127.0.0.1:{gone.port}")
        receiver = TcpReceiver(to, None, 5.0, 30.0, 300.0, lambda: now, lambda: None, Reach(local=True))
        receiver.put([b"6 hello\n"])
        waits = []
        for _ in range(6):
            assert receiver.wait() == 0
            with pytest.raises(ConnectionRefusedError):
                await receiver.push()
            waits.append(receiver.wait())
            now += receiver.wait()
        assert waits == [30, 60, 120, 240, 300, 300]
        async with gone.listening():
            await receiver.push()
            await gone.until_lines(1)
            await receiver.close()
        assert receiver.wait() == 30
        assert gone.frames() == [b"hello\n"]

    run(scenario())
