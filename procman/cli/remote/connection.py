"""Calls of the server's API, and what is said when they fail."""

import json
import os
import re
from collections.abc import Iterator, Mapping
from email.message import Message
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import Any, NamedTuple
from urllib.parse import quote, urlsplit

from procman.errors import ProcmanError, UsageError
from procman.unix_http import UnixConnection

NO_SERVER = 3  # exit code
TIMEOUT_S = 120.0
CHUNK = 1 << 16
ACCEPT = "application/vnd.heroku+json; version=3"


class Place(NamedTuple):
    """Where a server is: an address, or a socket on this host; and our key."""

    url: str
    key: str
    socket: str = ""

    def words(self) -> str:
        """How messages call it."""
        return self.socket or self.url


def data_directory(environ: Mapping[str, str]) -> str:
    """Where this host's own server keeps its data, unless PROCMAN_DATA says otherwise."""
    if environ.get("PROCMAN_DATA"):
        return environ["PROCMAN_DATA"]
    if os.geteuid() == 0:
        return "/var/lib/procman"
    state = environ.get("XDG_STATE_HOME") or os.path.join(os.path.expanduser("~"), ".local", "state")
    return os.path.join(state, "procman", "server")


def find_place(environ: Mapping[str, str]) -> Place:
    """The server that is meant. Raises ProcmanError when none is in sight."""
    host, key = environ.get("HEROKU_HOST", ""), environ.get("HEROKU_API_KEY", "")
    if host and key:
        if urlsplit(host).scheme not in ("http", "https"):
            raise UsageError(f"cannot use HEROKU_HOST: '{host}' is no address like http://127.0.0.1:5000")
        return Place(host.rstrip("/"), key)
    data = data_directory(environ)
    try:
        with open(os.path.join(data, "owner.key"), encoding="ascii") as file:
            return Place("http://localhost", file.read().strip(), os.path.join(data, "server.sock"))
    except OSError:
        raise ProcmanError(
            "cannot find a server: HEROKU_HOST and HEROKU_API_KEY are not set, and none has run here",
            'procman server, then eval "$(procman server env)"',
            NO_SERVER,
        ) from None


class Server:
    """One server's API. Every call raises ProcmanError with the server's own words when it is refused."""

    def __init__(self, place: Place) -> None:
        self.place = place

    def get(self, path: str) -> Any:
        """What is there; of a list, all of it."""
        found, told = self.answer("GET", path)
        while following := told.get("Next-Range"):
            more, told = self.answer("GET", path, None, {"Range": following})
            found += more
        return found

    def newest(self, path: str, by: str, page: int = 200) -> Iterator[Any]:
        """What a list holds, the highest ``by`` first; each page is asked for when one comes to it."""
        following: str | None = f"{by} ..; max={page}, order=desc"
        while following:
            found, told = self.answer("GET", path, None, {"Range": following})
            yield from found
            following = told.get("Next-Range")

    def call(self, method: str, path: str, body: object = None) -> Any:
        """One request, to its answer."""
        return self.answer(method, path, body)[0]

    def answer(
        self, method: str, path: str, body: object = None, headers: Mapping[str, str] = {}
    ) -> tuple[Any, Message]:
        """One request, to its answer and what the answer's head tells."""
        with self.open(method, path, body, headers) as response:
            try:
                data = response.read()
            except (OSError, HTTPException):
                raise self.cut_off() from None
        return json.loads(data) if data else None, response.headers

    def open(self, method: str, path: str, body: object = None, headers: Mapping[str, str] = {}) -> HTTPResponse:
        """One request; the answer is still to be read."""
        data = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        kind = {"Content-Type": "application/json"} if data is not None else {}
        key = {"Authorization": f"Bearer {self.place.key}"}
        connection = self._connect()
        try:
            connection.request(method, path, data, {"Accept": ACCEPT, **kind, **key, **headers})
            response = connection.getresponse()
        except (OSError, HTTPException) as error:
            why = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise ProcmanError(
                f"cannot reach the server at {self.place.words()}: {why}", "procman server", NO_SERVER
            ) from None
        if response.status >= 400:
            raise refused(response)
        return response

    def stream(self, url: str, headers: Mapping[str, str]) -> Iterator[bytes]:
        """What comes from a stream's address, which carries its own secret. Raises ProcmanError when it is cut off."""
        parts = urlsplit(url)
        with self.open("GET", f"{parts.path}?{parts.query}" if parts.query else parts.path, None, headers) as response:
            if response.fp is not None and (sock := getattr(response.fp.raw, "_sock", None)):
                sock.settimeout(None)  # a tail may be silent for long
            while chunk := self._read(response):
                yield chunk

    def _read(self, response: HTTPResponse) -> bytes:
        try:
            return response.read1(CHUNK)
        except (OSError, HTTPException):
            raise self.cut_off() from None

    def cut_off(self) -> ProcmanError:
        """What is said when a stream ends too soon."""
        return ProcmanError(f"cannot read on: the server at {self.place.words()} hung up", None, NO_SERVER)

    def _connect(self) -> HTTPConnection:
        if self.place.socket:
            return UnixConnection(self.place.socket, TIMEOUT_S)
        parts = urlsplit(self.place.url)
        kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
        return kind(parts.hostname or "", parts.port, timeout=TIMEOUT_S)


def refused(response: HTTPResponse) -> ProcmanError:
    """The server's refusal in its own words."""
    try:
        data = response.read()
    except (OSError, HTTPException):
        data = b""  # cut off: its status is left
    response.close()
    try:
        message = in_our_verbs(str(json.loads(data)["message"]))
    except (ValueError, KeyError, TypeError):
        message = f"the server answered {response.status} {response.reason}"
    hint = 'eval "$(procman server env)"' if response.status == 401 else None
    return ProcmanError(message, hint)


def in_our_verbs(text: str) -> str:
    """What the server tells users of Heroku's client to type, as it is typed here."""
    from procman.cli.remote.verbs import REMOTE_VERBS

    def ours(found: re.Match[str]) -> str:
        return f"procman {found[1]}" if found[1] in REMOTE_VERBS else found[0]

    return re.sub(r"\bheroku ([a-z]+(?::[a-z]+)*)", ours, text)


def path(*parts: str) -> str:
    """A path of segments, each encoded."""
    return "/" + "/".join(quote(part, safe="~") for part in parts)
