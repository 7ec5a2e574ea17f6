"""Serves a folder of files at $PORT: HTTP/1.1, conditional requests, 404.html, nothing whose name begins with a dot."""

from __future__ import annotations

import functools
import http.server
import os
import signal
import sys
import urllib.parse
from typing import Any

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
PRIVATE = {"procfile", "app.json", "requirements.txt", "package.json", "node_modules"}


class Handler(http.server.SimpleHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server_version = "procman-static"
    timeout = 90

    def send_head(self) -> Any:
        path = urllib.parse.unquote(urllib.parse.urlsplit(self.path).path)
        parts = [part for part in path.split("/") if part]
        hidden = any(part.startswith(".") and part != ".well-known" for part in parts)
        if hidden or (parts and parts[0].lower() in PRIVATE):
            self.send_error(404)
            return None
        full = self.translate_path(self.path)
        if not os.path.exists(full) and os.path.isfile(full + ".html"):
            self.path = urllib.parse.quote(path.rstrip("/") + ".html")
        return super().send_head()

    def list_directory(self, path: Any) -> None:
        self.send_error(404)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        page = os.path.join(self.directory, "404.html")
        if code != 404 or not os.path.isfile(page):
            super().send_error(code, message, explain)
            return
        with open(page, "rb") as file:
            body = file.read()
        self.send_response(404)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


class Server(http.server.ThreadingHTTPServer):
    """A thread a connection."""

    request_queue_size = 128


def main() -> None:
    """Serve until SIGTERM."""
    with open(os.path.join(HERE, "root"), encoding="utf-8") as file:
        folder = os.path.join(TOP, file.read().strip())
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))
    port = int(os.environ.get("PORT", "5000"))
    with Server(("", port), functools.partial(Handler, directory=folder)) as server:
        print("Serving", os.path.relpath(folder, TOP), "on port", server.server_address[1], flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
