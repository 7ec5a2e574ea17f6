"""A whole server for tests of deploys: real git over TLS, real builds, dynos and HAProxy; with apps of a few lines."""

import json
import os
import shlex
import shutil
import socket
import sys
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx

from tests.builds_harness import write_tree
from tests.git_server import Clone
from tests.harness import DEADLINE_S, Workshop, free_port, poll
from tests.platform_server import PlatformServer

SAMPLE = Path(__file__).parent.parent / "sample_app"
PYTHON = shlex.quote(sys.executable)
SERVE = f"exec {PYTHON} serve.py"
# A web dyno without a framework, so that it is up at once: a page of its release, its slug's word, and a config var.
SERVE_PY = """
import os, sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
class Page(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        text = f"{open('word').read().strip()} {os.environ.get('SETTING', '-')}\\n".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)
    def log_message(self, *words):
        pass
print("serving", flush=True)
ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Page).serve_forever()
"""


def page(word: str = "one", procfile: str = f"web: {SERVE}\n", **more: str) -> dict[str, "str | bytes"]:
    """The files of an app that serves ``word``; ``procfile`` adds to or replaces its Procfile."""
    return {"Procfile": procfile, "serve.py": SERVE_PY, "word": word} | more


class DeploySite:
    """``data``: where the server keeps its own, if not in a new folder. ``flags``: of ``procman server``."""

    count = 0

    def __init__(self, *flags: str, data: Path | None = None) -> None:
        DeploySite.count += 1
        self.base = Path(tempfile.mkdtemp(prefix="procman-deploys-"))
        self.base.chmod(0o711)
        self.shop = Workshop(self.base, f"deploys-{os.getpid()}-{DeploySite.count}")
        router = free_port()
        self.server = PlatformServer(self.shop, "--router-port", str(router), *flags)
        self.server.router_port = router
        if data:
            self.server.data = data
            self.server.flags = ("--data", str(data), *self.server.flags[2:])
        self.clones = 0
        self.env: dict[str, str] = {}

    def start(self) -> None:
        """Serve; what git needs to know is in ``env``."""
        self.server.start()
        text = self.shop.call("server", "env", "--data", str(self.server.data)).stdout
        self.env = dict(shlex.split(line)[1].split("=", 1) for line in text.splitlines())

    def url(self, app: str) -> str:
        return f"https://{self.env['HEROKU_GIT_HOST']}/{app}.git"

    def clone(self, app: str | None = None, tree: "dict[str, str | bytes] | Path | None" = None) -> Clone:
        """A work tree with these files committed, and the app, which is created, as its remote ``heroku``."""
        self.clones += 1
        clone = Clone(self.base / f"clone{self.clones}")
        clone.env |= self.env
        if app:
            self.server.call("POST", "/apps", {"name": app})
            clone.git("remote", "add", "heroku", self.url(app))
        if tree is not None:
            write(clone, tree)
        return clone

    def push(self, clone: Clone, status: int = 0, refs: str = "main") -> str:
        """Push, with an exit status to expect; what the pusher sees, without ``remote:`` and the blanks git adds."""
        text = clone.git("push", "heroku", refs, status=status)
        return "\n".join(line.removeprefix("remote:").removeprefix(" ").rstrip() for line in text.splitlines())

    def visit(self, app: str, path: str = "/") -> httpx.Response:
        """A request through the router."""
        return visit(self.server.router_port, app, path)

    def shows(self, app: str, text: str) -> httpx.Response:
        """Wait until the app's page has this text."""

        def look():
            answer = self.visit(app)
            return answer if answer.status_code == 200 and text in answer.text else None

        return poll(look, lambda: f"last: {self.visit(app).text!r}")

    def releases(self, app: str) -> list[tuple[int, str, str]]:
        """Version, status and description of all."""
        found = self.server.call("GET", f"/apps/{app}/releases")
        return [(row["version"], row["status"], row["description"]) for row in found]

    def current(self, app: str) -> int:
        """The version that is current."""
        [version] = [row["version"] for row in self.server.call("GET", f"/apps/{app}/releases") if row["current"]]
        return version

    def close(self) -> None:
        """End everything, HAProxy too, and remove the folder."""
        self.server.end_router()
        self.server.close()
        left = self.shop.processes()
        self.shop.close()
        shutil.rmtree(self.base, ignore_errors=True)
        assert not left, f"processes left behind: {left}"


def write(clone: Clone, tree: "dict[str, str | bytes] | Path", message: str = "change") -> str:
    """Add files to a work tree (a name that begins with ``*`` is made executable), and commit; the commit."""
    if isinstance(tree, Path):
        hidden = shutil.ignore_patterns("__pycache__", "tmp", ".env")
        shutil.copytree(tree, clone.directory, dirs_exist_ok=True, ignore=hidden)
    else:
        write_tree(clone.directory, tree)
    clone.git("add", "--all")
    clone.git("commit", "--quiet", "--allow-empty", "-m", message)
    return clone.git("rev-parse", "HEAD").strip()


def visit(port: int, app: str, path: str = "/") -> httpx.Response:
    """A request to an app through the router at that port."""
    headers = {"Host": f"{app}.localhost:{port}"}
    return httpx.get(f"http://127.0.0.1:{port}{path}", headers=headers, timeout=DEADLINE_S, trust_env=False)


class Visitor:
    """Asks for a page again and again while the block runs; ``answers``: status and text of each."""

    def __init__(self, site: DeploySite, app: str) -> None:
        self._site, self._app = site, app
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._go)
        self.answers: list[tuple[int, str]] = []

    def _go(self) -> None:
        while not self._stop.wait(0.01):
            try:
                answer = self._site.visit(self._app)
                self.answers.append((answer.status_code, answer.text.strip()))
            except httpx.HTTPError as error:
                self.answers.append((0, repr(error)))

    def __enter__(self) -> "Visitor":
        self._thread.start()
        poll(lambda: len(self.answers) > 2)
        return self

    def __exit__(self, *_) -> None:
        seen = len(self.answers)
        poll(lambda: len(self.answers) > seen + 2)
        self._stop.set()
        self._thread.join()

    @property
    def lost(self) -> list[tuple[int, str]]:
        """Answers other than 200."""
        return [answer for answer in self.answers if answer[0] != 200]


class Gate:
    """Something that runs in a dyno or a build comes to it, which is known, and waits there until it is opened."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(DEADLINE_S)
        self._guests: list[socket.socket] = []
        port = self._listener.getsockname()[1]
        self.command = f"{PYTHON} -c 'import socket; socket.create_connection((\"127.0.0.1\", {port})).recv(1)'"

    def wait(self) -> None:
        """Until somebody is there."""
        self._guests.append(self._listener.accept()[0])

    def open(self) -> None:
        """For all, from now on."""
        self._listener.close()
        for guest in self._guests:
            guest.close()


class Hook:
    """Somebody who is told by webhooks."""

    def __init__(self) -> None:
        told = self._told = []

        class Receiver(BaseHTTPRequestHandler):
            def do_POST(self):
                told.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *words):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/"

    def events(self, resource: str) -> list[dict]:
        return [event for event in self._told if event["resource"] == resource]

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
