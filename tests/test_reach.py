"""Where users' URLs lead: not to this host, in no spelling, by no name, over no redirect."""

import asyncio
import contextlib
import http.server
import shlex
import socket
import threading

import pytest

from procman import reach
from procman.builds import buildpack
from procman.builds.git_remote import NO_WAY, Remote, reach_repository
from procman.builds.request import Limits
from procman.errors import ProcmanError
from procman.logs.couriers import Trouble
from procman.logs.drain_http import HttpReceiver, Post
from procman.logs.drain_tcp import TcpReceiver
from procman.logs.drain_url import parse_url
from procman.platform import build_sources
from procman.reach import AddressRefused, Reach, kind_of
from tests.api_cases import make_app, play, tarball
from tests.test_api_webhooks import listening
from tests.test_builds_checkout import FEW, Repository, check_out, module

NAME = "rebound.example"


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("127.0.0.1", "this host itself"),
        ("127.255.0.9", "this host itself"),
        ("0.0.0.0", "this host itself"),
        ("0.1.2.3", "this host itself"),
        ("::1", "this host itself"),
        ("::", "this host itself"),
        ("::ffff:127.0.0.1", "this host itself"),
        ("::127.0.0.1", "this host itself"),
        ("64:ff9b::7f00:1", "this host itself"),
        ("2002:7f00:1::", "this host itself"),
        ("169.254.169.254", "this host's own link"),
        ("::ffff:169.254.169.254", "this host's own link"),
        ("fe80::1%lo", "this host's own link"),
        ("febf::1", "this host's own link"),
        ("224.0.0.1", "no single host"),
        ("ff02::1", "no single host"),
        ("64:ff9b:1::7f00:1", "this host itself"),
        ("fd00:ec2::254", "where clouds keep secrets"),
        ("fd20:ce::254", "where clouds keep secrets"),
        ("168.63.129.16", "where clouds keep secrets"),
        ("::ffff:168.63.129.16", "where clouds keep secrets"),
        ("10.0.0.1", ""),
        ("172.16.3.4", ""),
        ("192.168.1.1", ""),
        ("fd12::1", ""),
        ("93.184.216.34", ""),
        ("2606:2800:220:1::1", ""),
        ("64:ff9b::5db8:d822", ""),
        ("128.0.0.1", ""),
    ],
)
def test_addresses_are_judged_by_what_they_lead_to(address, kind):
    assert kind_of(address) == kind


@pytest.mark.parametrize(
    "host",
    ["localhost", "LocalHost.", "a.localhost", "127.1", "0x7f000001", "2130706433", "::1", "::1%lo", "\uff4cocalhost"],
)
def test_this_host_is_refused_at_once_in_any_spelling(host):
    with pytest.raises(AddressRefused, match=r"is this host itself: only a server with --allow-local-addresses goes"):
        Reach().check(host)
    Reach(local=True).check(host)


@pytest.mark.parametrize("host", ["example.com", "10.0.0.1", "b\u00fccher.example", "x" * 70, ""])
def test_a_name_is_not_looked_up_before_its_time(host):
    Reach().check(host)


@pytest.fixture
def rebound(monkeypatch):
    """A name that leads to this host; how often it was looked up."""
    asked = []

    def look_up(host, port, flags=0):
        if host == NAME and flags:
            raise socket.gaierror
        asked.append(host)
        return ["93.184.216.34", "127.0.0.1"] if host == NAME else [host]

    monkeypatch.setattr(reach, "look_up", look_up)
    return asked


def test_a_name_is_looked_up_once_and_the_address_that_was_judged_is_connected_to(monkeypatch):
    places = []

    def getaddrinfo(host, port, *words, **more):
        places.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1" if host == NAME else host, port or 0))]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        Reach(local=True).connect(NAME, port, 5).close()
        assert places == [NAME, "127.0.0.1"]
        with pytest.raises(AddressRefused, match=rf"{NAME} \(127\.0\.0\.1\) is this host itself"):
            Reach().connect(NAME, port, 5)


def test_one_address_of_a_name_that_is_forbidden_forbids_it(rebound):
    with pytest.raises(AddressRefused):
        Reach().addresses(NAME, 80)
    assert rebound == [NAME]


class Site(http.server.BaseHTTPRequestHandler):
    """Sends everybody to where ``server.leads`` says, if it says so."""

    def do_GET(self):
        self.server.paths.append(self.path)
        self.send_response(302 if self.path == "/away" else 200)
        self.send_header("Location", self.server.leads)
        self.end_headers()

    def log_message(self, *words):
        pass


@pytest.fixture
def site():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Site) as server:
        server.paths = []
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


class Outside(Reach):
    """For which one name is a host outside: the test's own server."""

    def connect(self, host, port, timeout):
        return socket.create_connection(("127.0.0.1", port), timeout) if host == "out.example" else super().connect(
            host, port, timeout
        )


@pytest.mark.parametrize("there", ["http://127.0.0.1:{port}/secret", "http://[::ffff:7f00:1]:{port}/secret"])
def test_a_redirect_to_this_host_is_refused(site, tmp_path, there):
    port = site.server_port
    site.leads = there.format(port=port)
    with pytest.raises(ProcmanError, match=r"cannot fetch the source: .* is this host itself"):
        build_sources.fetch(f"http://out.example:{port}/away", str(tmp_path), Outside())
    assert site.paths == ["/away"]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("there", ["file:///etc/passwd", "ftp://127.0.0.1/x"])
def test_a_redirect_leads_to_no_other_protocol(site, tmp_path, there):
    site.leads = there
    with pytest.raises(ProcmanError, match="cannot fetch the source"):
        build_sources.fetch(f"http://out.example:{site.server_port}/away", str(tmp_path), Outside())


def test_a_redirect_elsewhere_is_followed(site, tmp_path):
    site.leads = f"http://out.example:{site.server_port}/there"
    build_sources.fetch(f"http://out.example:{site.server_port}/away", str(tmp_path), Outside())
    assert site.paths == ["/away", "/there"]


def test_a_proxy_of_the_operators_may_be_on_this_host(site, tmp_path, monkeypatch):
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{site.server_port}")
    monkeypatch.delenv("no_proxy", raising=False)
    site.leads = "/"
    build_sources.fetch("http://out.example/x.tgz", str(tmp_path), Reach())
    assert site.paths == ["http://out.example/x.tgz"]


@pytest.mark.parametrize(
    "answer", [b"no HTTP\r\n\r\n", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab"]
)
def test_what_is_no_http_or_stops_half_way_is_a_failure_in_words_and_leaves_nothing(tmp_path, answer):
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/x.tgz"

        def serve():
            for _ in range(2):
                with server.accept()[0] as client:
                    client.recv(4096)
                    client.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        with pytest.raises(ProcmanError, match=r"the source: 127.0.0.1:\d+: (BadStatusLine|IncompleteRead)"):
            build_sources.fetch(url, str(tmp_path), Reach(local=True))
        assert not list(tmp_path.iterdir())
        with pytest.raises(ProcmanError, match="cannot fetch the buildpack"):
            buildpack.obtain(url, str(tmp_path), 1, Limits(local=True))
        thread.join()


class Everywhere(Reach):
    """All names lead to one host outside."""

    def addresses(self, host, port):
        return ["2001:db8::1", "203.0.113.9"]

    def open(self, url, headers, patience):
        raise ConnectionRefusedError


@pytest.mark.parametrize(
    ("url", "pinned"),
    [
        ("https://out.example/x.git", ("-c", "http.curloptResolve=out.example:443:[2001:db8::1],203.0.113.9")),
        ("http://[2001:db8::1]:81/x.git", ()),  # curl refuses to go on with an address of IPv6 for a name
        ("http://203.0.113.9/x.git", ()),
    ],
)
def test_git_is_told_where_a_name_led(url, pinned):
    told = reach_repository(url, Everywhere())
    assert told == Remote(url, (*pinned, "-c", "http.followRedirects=false"), NO_WAY)


def test_ssh_is_told_where_a_name_led():
    ssh = reach_repository("ssh://git@out.example:2222/x.git", Everywhere()).env["GIT_SSH_COMMAND"]
    assert shlex.split(ssh)[-4:] == ["-o", "HostName=2001:db8::1", "-o", "HostKeyAlias=[out.example]:2222"]
    assert "'[out.example]:2222'" in ssh  # git has a shell read it


@pytest.mark.parametrize(
    "url",
    [
        "ssh://git@$(id).example/x", "ssh://git@a;id/x", "http://%6cocalhost.example/x.git", "git://a b/x", "ssh:x",
        "https://b\u00fccher.example/x.git", "https://\u212aelvin.example/x.git", "git@\uff4cocalhost:x.git",
    ],
)
def test_what_a_shell_or_curl_would_read_otherwise_is_no_name_of_a_host(url):
    with pytest.raises(ProcmanError, match="it names no host"):
        reach_repository(url, Everywhere())


@pytest.mark.parametrize(
    "word",
    [
        "http://127.0.0.1:{port}/pack.git", "https://localhost:{port}/pack.git", "git://127.0.0.1:{port}/pack.git",
        "ssh://git@[::1]:{port}/pack.git", "git@localhost:pack.git", "http://169.254.169.254/pack.tgz",
        "http://me:secret@127.0.0.1:{port}/pack.git",
    ],
)
def test_a_buildpack_comes_from_outside(site, tmp_path, word):
    with pytest.raises(ProcmanError, match=r"is this host('s own link| itself): only a server with") as refused:
        buildpack.obtain(word.format(port=site.server_port), str(tmp_path), 1, Limits())
    assert not site.paths
    assert "secret" not in str(refused.value)


def test_a_submodule_comes_from_outside(site, tmp_path):
    repo = Repository(tmp_path / "repo")
    (tmp_path / "tree").mkdir()
    commit = module(repo, f"http://127.0.0.1:{site.server_port}/lib.git".encode())
    with pytest.raises(ProcmanError, match=r"'lib' cannot be fetched from .* is this host itself"):
        check_out(repo, commit, tmp_path / "tree", FEW)
    assert not site.paths


@pytest.mark.parametrize("host", ["127.0.0.1", "169.254.169.254", "localhost", "[::1]", "2130706433"])
def test_the_api_refuses_urls_that_lead_to_this_host(tmp_path, host):
    async def scenario(platform, client):
        await make_app(platform, client)
        hook = {"include": ["api:app"], "level": "notify", "url": f"https://{host}/hook"}
        for path, body in (
            ("builds", {"source_blob": {"url": f"http://{host}:5000/x.tgz"}}),
            ("webhooks", hook),
            ("log-drains", {"url": f"syslog://{host}:514"}),
        ):
            answer = await client.post(f"/apps/demo/{path}", json=body)
            assert answer.status_code == 422, path
            assert "only a server with --allow-local-addresses goes there" in answer.json()["message"]
        hook["url"] = "https://10.0.0.1/hook"
        made = await client.post("/apps/demo/webhooks", json=hook)
        assert made.status_code == 201
        changed = await client.patch(f"/apps/demo/webhooks/{made.json()['id']}", json={"url": f"http://{host}/"})
        assert changed.status_code == 422

    play(tmp_path, scenario, allow_local_addresses=False)


def test_an_upload_to_the_server_itself_is_built_all_the_same(tmp_path):
    async def scenario(platform, client):
        blob = (await client.post("/sources")).json()["source_blob"]
        assert (await client.put(blob["put_url"], content=tarball({"a/Procfile": b"web: x\n"}))).is_success
        bring = await build_sources.from_url(platform.host, blob["get_url"], None)
        (tmp_path / "tree").mkdir()
        bring(str(tmp_path / "tree"))
        assert (tmp_path / "tree" / "Procfile").read_bytes() == b"web: x\n"

    play(tmp_path, scenario, allow_local_addresses=False)


def test_a_webhook_whose_name_leads_to_this_host_is_not_called(tmp_path, rebound):
    async def scenario(platform, client):
        await make_app(platform, client)
        async with listening(platform, 200) as (url, receiver):
            body = {"include": ["api:app"], "level": "notify", "url": url.replace("127.0.0.1", NAME)}
            hook = (await client.post("/apps/demo/webhooks", json=body)).json()
            await client.patch("/apps/demo", json={"maintenance": True})

            async def failed():
                found = (await client.get("/apps/demo/webhook-deliveries")).json()
                return next((each for each in found if each["status"] == "failed"), None)

            delivery = await platform.db.until(failed)
            assert delivery["webhook"]["id"] == hook["id"]
            assert delivery["last_attempt"]["error_class"] == "AddressRefused"
            assert receiver.requests.empty()

    play(tmp_path, scenario, allow_local_addresses=False)


@pytest.mark.parametrize("scheme", ["http", "syslog"])
def test_a_drain_whose_name_leads_to_this_host_gets_nothing_and_the_log_says_so(rebound, scheme):
    told = []

    async def scenario():
        with socket.create_server(("127.0.0.1", 0)) as server, contextlib.closing(server):
            to = parse_url(f"{scheme}://{NAME}:{server.getsockname()[1]}")
            trouble = Trouble(to.shown(), told.append)
            if to.http:
                send = HttpReceiver(to, "token", None, 5.0, Reach()).post(Post([b"x"], "1"))
            else:
                receiver = TcpReceiver(to, None, 5.0, 30.0, 300.0, lambda: 0.0, lambda: None, Reach())
                receiver.put([b"x"])
                send = receiver.push()
            with pytest.raises(AddressRefused) as refused:
                await send
            trouble.tell(refused.value)
            trouble.tell(refused.value)
            server.setblocking(False)
            with pytest.raises(BlockingIOError):
                server.accept()

    asyncio.run(scenario())
    assert len(told) == 1
    assert told[0].startswith(f"cannot send logs to {scheme}://{NAME}")
