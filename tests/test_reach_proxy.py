"""Where only the operator's proxy finds names: git goes by it as all else does, and nobody comes to this host by it."""

import contextlib
import http.server
import os
import selectors
import socket
import ssl
from urllib.parse import urlsplit

import pytest

from procman import reach
from procman.builds import buildpack
from procman.builds.checkout import materialise
from procman.builds.git_remote import reach_repository
from procman.builds.request import Limits
from procman.errors import ProcmanError
from procman.platform import build_sources
from procman.reach import Reach
from tests.api_cases import certificate
from tests.builds_harness import write_tree
from tests.test_builds_fetching import HttpBackend, git, language, origin, serving  # noqa: F401 - a fixture

LOOK_UP = reach.look_up
NAMES = ("http_proxy", "https_proxy", "no_proxy", "all_proxy")


class Proxy(HttpBackend):
    """For ``http:``, with all hosts behind it; for ``https:`` a tunnel to the one place that is behind it."""

    def run_cgi(self):
        self.server.asked.append(self.path)
        if self.server.leads:
            self.send_response(302)
            self.send_header("Location", self.server.leads)
            self.end_headers()
            return
        self.path = urlsplit(self.path)._replace(scheme="", netloc="").geturl()
        super().run_cgi()

    do_GET = do_POST = run_cgi  # noqa: N815

    def do_CONNECT(self):  # noqa: N802
        self.server.asked.append(self.path)
        self.send_response(200)
        self.end_headers()
        self.close_connection = True
        with socket.create_connection(self.server.behind) as behind, selectors.DefaultSelector() as selector:
            selector.register(behind, selectors.EVENT_READ, self.connection)
            selector.register(self.connection, selectors.EVENT_READ, behind)
            while True:
                for key, _ in selector.select():
                    data = key.fileobj.recv(1 << 16)
                    if not data:
                        return
                    key.data.sendall(data)


class Tls(http.server.ThreadingHTTPServer):
    """Says farewell, without which a client does not believe that this was all."""

    def shutdown_request(self, request):
        with contextlib.suppress(OSError):
            request.unwrap()
        super().shutdown_request(request)


@pytest.fixture
def proxy(origin, monkeypatch):  # noqa: F811
    """The only one who finds any name, as the server's environment says."""
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)

    def look_up(host, port, flags=0):
        if not reach.is_address(host):
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return [host]

    monkeypatch.setattr(reach, "look_up", look_up)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
    server.base, server.asked, server.leads, server.behind = str(origin.parent), [], None, None
    with serving(server) as address:
        monkeypatch.setenv("http_proxy", address)
        monkeypatch.setenv("https_proxy", address)
        yield server


def test_a_buildpack_comes_by_the_proxy(proxy, tmp_path):
    assert language(buildpack.obtain("http://packs.invalid/pack.git", str(tmp_path), 1, Limits())) == "Two"
    assert len(proxy.asked) > 2
    assert all(asked.startswith("http://packs.invalid/pack.git/") for asked in proxy.asked)


def test_over_https_too(proxy, origin, tmp_path, monkeypatch):  # noqa: F811
    certificate(tmp_path, "packs.invalid")
    chain, key = tmp_path / "packs.invalid.pem", tmp_path / "packs.invalid.key"
    for name in ("SSL_CERT_FILE", "GIT_SSL_CAINFO"):
        monkeypatch.setenv(name, str(chain))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, key)
    server = Tls(("127.0.0.1", 0), HttpBackend)
    server.base, proxy.behind = str(origin.parent), server.server_address
    server.socket = context.wrap_socket(server.socket, server_side=True)
    with serving(server):
        assert language(buildpack.obtain("https://packs.invalid/pack.git#old", str(tmp_path), 1, Limits())) == "One"
    assert set(proxy.asked) == {"packs.invalid:443"}


def test_a_submodule_comes_by_the_proxy(proxy, origin, tmp_path):  # noqa: F811
    app, url = tmp_path / "app", "http://packs.invalid/pack.git"
    write_tree(app, {".gitmodules": f'[submodule "lib"]\n\tpath = lib\n\turl = {url}\n'})
    git("init", "--quiet", cwd=app)
    git("add", ".", cwd=app)
    git("update-index", "--add", "--cacheinfo", f"160000,{git('rev-parse', 'main', cwd=origin)},lib", cwd=app)
    git("commit", "--quiet", "-m", "x", cwd=app)
    (tmp_path / "tree").mkdir()
    materialise(str(app / ".git"), git("rev-parse", "HEAD", cwd=app), str(tmp_path / "tree"), {}, Limits())
    assert (tmp_path / "tree/lib/bin/detect").read_text() == "#!/bin/sh\necho Two\n"


@pytest.mark.parametrize("name", ["no_proxy", "NO_PROXY"])
def test_git_goes_round_the_proxy_only_where_we_do(proxy, tmp_path, monkeypatch, name):
    monkeypatch.setenv(name, "203.0.113.0/24")  # networks are understood by curl, and not by Python
    assert language(buildpack.obtain("http://203.0.113.9/pack.git", str(tmp_path), 1, Limits())) == "Two"
    monkeypatch.setenv(name, "packs.invalid")
    with pytest.raises(ProcmanError, match=r"packs\.invalid cannot be looked up here"):
        buildpack.obtain("http://packs.invalid/pack.git", str(tmp_path), 2, Limits())


HERE = (  # in spellings that urllib, git, or a proxy itself reads so
    "127.0.0.1", "localhost", "[::1]", "2130706433", "169.254.169.254", "localhost.", "127.0.0.1.", "[::1%25lo]",
    "%6cocalhost", "\uff4cocalhost", "l\u1d52calhost", "local\xadhost", "localhost\u3002", "\uff11\uff12\uff17.1",
)


@pytest.mark.parametrize("host", HERE)
def test_nobody_comes_to_this_host_by_a_proxy_that_may_stand_on_it(proxy, tmp_path, monkeypatch, host):
    monkeypatch.setattr(reach, "look_up", LOOK_UP)  # who knows all spellings
    for scheme in ("http", "https"):
        with pytest.raises(ProcmanError, match="only a server with --allow-local-addresses goes there"):
            buildpack.obtain(f"{scheme}://{host}/pack.git", str(tmp_path), scheme, Limits())
        with pytest.raises(ProcmanError, match=r"goes there|it names no host"):
            reach_repository(f"{scheme}://me:secret@{host}/pack.git", Reach())  # which is not asked for redirects
    assert not proxy.asked
    for scheme in ("http", "https"):
        proxy.leads = f"{scheme}://{host}/secret".encode().decode("latin-1")
        with pytest.raises(ProcmanError, match=r"cannot fetch the source: .* goes there"):
            build_sources.fetch("http://out.invalid/x.tgz", str(tmp_path), Reach())
        with pytest.raises(ProcmanError, match="goes there"):
            buildpack.obtain("http://out.invalid/pack.git", str(tmp_path), f"{scheme} there", Limits())
    assert {urlsplit(asked).hostname for asked in proxy.asked} == {"out.invalid"}


@pytest.mark.parametrize("host", ["localhost%3a443%20HTTP%2f1.1%0d%0aX:443", "a%20localhost", "a%25%0d%0alocalhost"])
def test_a_proxy_is_told_nothing_but_a_name(proxy, tmp_path, host):
    for scheme in ("http", "https"):
        with pytest.raises(ProcmanError, match="is no name of a host"):
            build_sources.fetch(f"{scheme}://{host}/x.tgz", str(tmp_path), Reach())
    assert not proxy.asked


@pytest.mark.parametrize("names", ["all_proxy", "ALL_PROXY", "http_proxy no_proxy", "http_proxy NO_PROXY"])
def test_where_we_go_by_no_proxy_git_goes_by_none(proxy, origin, tmp_path, monkeypatch, names):  # noqa: F811
    address = os.environ["http_proxy"]
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.delenv(name)
    for name in names.split():  # the end of an address means nothing to curl
        monkeypatch.setenv(name, "0.0.1" if name.lower() == "no_proxy" else address)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), HttpBackend)
    server.base = str(origin.parent)
    with serving(server) as url:
        assert language(buildpack.obtain(f"{url}/pack.git", str(tmp_path), 1, Limits(local=True))) == "Two"
    assert not proxy.asked


@pytest.mark.parametrize("url", ["ssh://git@packs.invalid/x.git", "git@packs.invalid:x.git", "git://packs.invalid/x"])
def test_what_a_proxy_does_not_speak_is_told_with_what_it_does(proxy, tmp_path, monkeypatch, url):
    words = "packs.invalid cannot be looked up here: Temporary failure in name resolution"
    with pytest.raises(ProcmanError, match=words) as refused:
        buildpack.obtain(url, str(tmp_path), 1, Limits())
    assert refused.value.hint == "https://packs.invalid/… goes through the proxy"
    monkeypatch.delenv("https_proxy")
    with pytest.raises(ProcmanError, match=words) as refused:
        buildpack.obtain(url, str(tmp_path), 2, Limits())
    assert refused.value.hint == "https_proxy=http://PROXY:PORT procman server"


def test_a_mistyped_name_is_no_reason_for_a_proxy(proxy, tmp_path, monkeypatch):
    def look_up(host, port, flags=0):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.delenv("https_proxy")
    monkeypatch.setattr(reach, "look_up", look_up)
    with pytest.raises(ProcmanError, match=r"cannot be looked up here: Name or service not known") as refused:
        buildpack.obtain("https://packs.invalid/pack.git", str(tmp_path), 1, Limits())
    assert refused.value.hint is None
