"""What strangers may send: refused, made harmless, or HAProxy's answer written down; and what may not be configured."""

import asyncio
import os
import ssl
import stat
import subprocess

import pytest

from procman.errors import ProcmanError
from procman.router import Certificate, Router, Server, Settings, Site, Timeouts
from procman.router.binary import check_binary, find_binary
from procman.router.sites import check_sites, is_host, page_url
from tests.router_harness import CALM, NAMES, PROGRAMS, SOON, Town, run, site

CRLF = "\r\n"
HOST = "Host: demo.localhost"


@pytest.fixture(params=PROGRAMS, ids=NAMES)
def haproxy(request):
    return request.param


# What is sent, and the status that comes: 400 and the like close the connection.
STRANGE = {
    "no host": (["GET / HTTP/1.1"], 400),
    "empty host": (["GET / HTTP/1.1", "Host:"], 400),
    "two different hosts": (["GET / HTTP/1.1", HOST, "Host: other.localhost"], 400),
    "host with a space": (["GET / HTTP/1.1", "Host: demo .localhost"], 400),
    "host with a slash": (["GET / HTTP/1.1", "Host: demo.localhost/../x"], 400),
    "host that would end a map's line": (["GET / HTTP/1.1", "Host: demo.localhost%0a"], 400),
    "two different lengths": (["POST / HTTP/1.1", HOST, "Content-Length: 1", "Content-Length: 2"], 400),
    "list of different lengths": (["POST / HTTP/1.1", HOST, "Content-Length: 1, 2"], 400),
    "negative length": (["POST / HTTP/1.1", HOST, "Content-Length: -1"], 400),
    "length with a sign": (["POST / HTTP/1.1", HOST, "Content-Length: +1"], 400),
    "chunked is not the last coding": (["POST / HTTP/1.1", HOST, "Transfer-Encoding: chunked, identity"], 400),
    "space before the colon": (["GET / HTTP/1.1", HOST, "Content-Length : 5"], 400),
    "space in a name": (["GET / HTTP/1.1", HOST, "Bad Name: x"], 400),
    "NUL in a value": (["GET / HTTP/1.1", HOST, "X: a\0b"], 400),
    "folded line at the front": (["GET / HTTP/1.1", " X: y", HOST], 400),
    "no version": (["GET /"], 400),
    "version from nowhere": (["GET / HTTP/9.9", HOST], 200),  # and the dyno sees 1.1
    "control character in the path": (["GET /\x01 HTTP/1.1", HOST], 400),
    "CONNECT": (["CONNECT demo.localhost:80 HTTP/1.1", "Host: demo.localhost:80"], 405),
    "too large": (["GET / HTTP/1.1", HOST, "X: " + "x" * 40_000], 400),
    "too many headers": (["GET / HTTP/1.1", HOST, *(f"X{n}: y" for n in range(1100))], 400),
    "large, but not too large": (["GET / HTTP/1.1", HOST, "X: " + "x" * 8_000, "Y: " + "y" * 8_000], 200),
}
PASSED_BY_26 = {"NUL in a value"}  # to the dyno, as it is


def test_strange_requests_have_their_answer(tmp_path, haproxy):
    async def scenario():
        async with Town(tmp_path, haproxy) as town:
            await town.router.apply([site(await town.server())])
            for name, (lines, wanted) in STRANGE.items():
                status = wanted
                if name in PASSED_BY_26 and town.router.binary.version.startswith("2.6."):
                    status = 200
                client = await town.client()
                await client.send((CRLF.join(lines) + CRLF * 2).encode("latin-1"))
                assert (await client.answer()).status == status, name
                client.close()

    run(scenario())


def test_a_request_cannot_be_smuggled_behind_another(tmp_path, haproxy):
    """Chunked wins over a length, and a dyno never sees both: what one side takes for a body is none for the other."""

    async def scenario():
        async with Town(tmp_path, haproxy) as town:
            await town.router.apply([site(await town.server())])
            smuggled = "0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: demo.localhost\r\n\r\n"
            client = await town.client()
            head = ["POST /upload HTTP/1.1", HOST, f"Content-Length: {len(smuggled)}", "Transfer-Encoding: chunked"]
            await client.send((CRLF.join(head) + CRLF * 2 + smuggled).encode())
            answer = await client.answer()
            assert answer.status in {200, 400}
            assert answer.body == b"0" or answer.status == 400
            if answer.status == 200 and answer.headers.get("connection") != "close":
                assert (await client.answer()).status == 200  # a second request of its own, seen by both as such
            other = await town.client()
            head = ["POST /head HTTP/1.1", HOST, "Content-Length: 3", "Transfer-Encoding: xchunked"]
            await other.send((CRLF.join(head) + CRLF * 2 + "abc").encode())
            assert (await other.answer()).status in {400, 422}

    run(scenario())


def test_a_head_that_trickles_is_given_up(tmp_path, haproxy):
    async def scenario():
        async with Town(tmp_path, haproxy, timeouts=CALM._replace(head=SOON)) as town:
            await town.router.apply([site(await town.server())])
            client = await town.client()
            await client.send(b"GET / HTTP/1.1\r\n")

            async def trickle():
                while True:
                    await client.send(b"X: y\r\n")
                    await asyncio.sleep(0.05)

            task = asyncio.create_task(trickle())
            assert (await client.answer()).status == 408
            task.cancel()

    run(scenario())


def test_names_and_texts_of_users_cannot_leave_their_place(tmp_path, haproxy):
    """The worst that passes the checks, through commands, files and a reload."""

    async def scenario():
        async with Town(tmp_path, haproxy, slots=1) as town:
            server = await town.server()
            url = "https://pages.example/;%20x\\'\"<script>%[env(HOME)];show info"
            nasty = site(server, app_name='evil\n  server x 1.2.3.4:1 "', error_page_url=url)
            for sites in ([nasty], [nasty, site(app_id="b", hosts=("b.localhost",), state="none")]):
                await town.router.apply([])
                await town.router.apply(sites)
                answer = await town.get("/drop")
                assert answer.status == 503
                frame = answer.body[answer.body.index(b"<iframe") : answer.body.index(b"</iframe>")]
                assert b"https://pages.example/;%20x" in frame
                assert b"<script>" not in answer.body
                assert b"'" not in frame
                assert frame.count(b'"') == 4

    run(scenario())


def test_sockets_and_files_are_ours_alone(tmp_path, haproxy):
    async def scenario():
        async with Town(tmp_path, haproxy) as town:
            await town.router.apply([site(await town.server())])
            modes = {entry.name: stat.S_IMODE(entry.stat().st_mode) for entry in os.scandir(town.directory)}
            loose = {name: oct(mode) for name, mode in modes.items() if mode & 0o077}
            assert not loose.keys() - {"haproxy.pid"}
            environment = (await town.router._socket.processes()).worker
            with open(f"/proc/{environment}/environ", "rb") as file:
                assert b"HOME=" not in file.read()

    run(scenario())


CERTIFICATE = ["openssl", "req", "-x509", "-nodes", "-days", "2", "-newkey", "rsa:2048"]


def make_certificate(directory, name: str) -> str:
    names = f"subjectAltName=DNS:{name}"
    key, pem = directory / "key.pem", directory / f"{name}.pem"
    command = [*CERTIFICATE, "-subj", f"/CN={name}", "-addext", names, "-keyout", key, "-out", pem]
    subprocess.run(command, check=True, capture_output=True)
    pem.write_text(pem.read_text() + key.read_text())
    return str(pem)


def test_certificates_are_chosen_by_name_and_changed_while_running(tmp_path, haproxy):
    async def scenario():
        default = make_certificate(tmp_path, "localhost")
        async with Town(tmp_path, haproxy, https=True, certificate=default) as town:
            hosts = ("demo.localhost", "www.example.com")
            server = await town.server()
            await town.router.apply([site(server, hosts=hosts)])
            www = make_certificate(tmp_path, "www.example.com")
            for name, pem in [("www.example.com", default), ("www.example.com", www), ("demo.localhost", default)]:
                if pem == www:
                    await town.router.apply([site(server, hosts=hosts, certificates=(Certificate("www", pem),))])
                context = ssl.create_default_context(cafile=pem)
                context.check_hostname = pem != default
                client = await town.client(town.https, ssl=context, server_hostname=name)
                answer = await client.get("/head", host=name)
                assert b"x-forwarded-proto: https" in answer.body
                assert f"x-forwarded-port: {town.https}".encode() in answer.body
                assert "protocol=https" in await town.line("/head")
            broken = tmp_path / "broken.pem"
            broken.write_text("no certificate")
            with pytest.raises(ProcmanError, match="cannot use certificate 'www'"):
                await town.router.apply([site(server, certificates=(Certificate("www", str(broken)),))])
            assert (await town.get()).status == 200

    run(scenario())


BAD = [
    {"hosts": ("Upper.localhost",)},
    {"hosts": ("a b",)},
    {"hosts": ("x.*.com",)},
    {"hosts": ("a\nb",)},
    {"hosts": ("a..b",)},
    {"hosts": ("-a.com",)},
    {"hosts": ("a" * 64 + ".com",)},
    {"app_id": "a b"},
    {"app_id": "x;show"},
    {"app_id": ""},
    {"state": "odd"},
    {"servers": (Server("web.1 ", 1, 80),)},
    {"servers": (Server("web", 1, 80),)},
    {"servers": (Server("web.1", -1, 80),)},
    {"servers": (Server("web.1", 1, 0),)},
    {"servers": (Server("web.1", 1, 80, "localhost;x"),)},
    {"servers": (Server("web.1", 1, 80), Server("web.1", 1, 81))},
    {"error_page_url": "javascript:alert(1)"},
    {"maintenance_page_url": "https://x/\n"},
]


@pytest.mark.parametrize("values", BAD, ids=str)
def test_what_could_not_stand_in_a_configuration_is_refused(values):
    with pytest.raises(ProcmanError):
        check_sites([Site(**{"app_id": "a", "app_name": "demo", **values})])


def test_a_host_belongs_to_one_app():
    with pytest.raises(ProcmanError, match="belongs to another"):
        check_sites([Site("a", "a", ("x.com",)), Site("b", "b", ("x.com",))])
    assert is_host("*.example.com")
    assert not is_host("*")
    assert page_url("https://x/?a=ü&b='") == "https://x/?a=%C3%BC&amp;b=%27"


@pytest.mark.parametrize("address", ["", "8080", "localhost:80", "127.0.0.1:0", "127.0.0.1:99999", "1.2.3.4:80 ssl"])
def test_an_address_is_one(tmp_path, address):
    with pytest.raises(ProcmanError, match="cannot listen"):
        Router(str(tmp_path), address, None, None, lambda *_: None)


def test_settings_are_checked(tmp_path):
    for settings in (Settings("x", user="no body"), Settings("x", timeouts=Timeouts(boot=0)), Settings("x", slots=0)):
        with pytest.raises(ProcmanError):
            Router(str(tmp_path), "127.0.0.1:80", None, None, lambda *_: None, settings)


def test_a_program_that_will_not_do_is_named(tmp_path):
    assert find_binary().path in PROGRAMS
    fake = tmp_path / "haproxy"
    for text, reason in [
        ("HAProxy version 2.4.9 2022/01/01", "2.6 is needed"),
        ("HAProxy version 2.8.1 x\nFeature list : -LUA +OPENSSL", "without LUA"),
        ("hello", "does not say"),
    ]:
        fake.write_text(f"#!/bin/sh\ncat <<END\n{text}\nEND\n")
        fake.chmod(0o755)
        with pytest.raises(ProcmanError, match=reason):
            check_binary(str(fake))
    with pytest.raises(ProcmanError, match="cannot use"):
        find_binary(str(tmp_path / "nothing"))
