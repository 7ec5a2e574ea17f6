"""`procman run -a APP CMD`: a one-off dyno on the server, with this terminal for its own."""

import os
import select
import signal
import socket
import ssl
import sys
import termios
import tty
from urllib.parse import urlsplit

from procman.cli.options import Given
from procman.cli.remote.apps import Own, said
from procman.cli.remote.connection import data_directory, path
from procman.cli.remote.target import target
from procman.errors import ProcmanError, UsageError

CHUNK = 1 << 16
END_OF_INPUT = b"\x04"
INTERRUPT = b"\x03"  # Ctrl-C, which a raw terminal hands on
INTERRUPTED = 128 + signal.SIGINT
MARK = "￿ heroku-command-exit-status: ".encode()


def run(told: Given, own: Own) -> int:
    """Run the command attached to this terminal; with --exit-code, end with its status."""
    meant = target(told)
    command = joined(told)
    wants_status = bool(told.fields.get("exit_code"))
    text = f'{command} ; echo "￿ heroku-command-exit-status: $?"' if wants_status else command
    body = {"command": text, "attach": True, "env": terminal(), **options(told)}
    if told.fields.get("no_tty"):
        body["force_no_tty"] = True
    dyno = meant.server.call("POST", path("apps", meant.app, "dynos"), body)
    sys.stderr.write(f"Running {command} on {meant.app}... up, {dyno['name']}\n")
    status = join(dyno["attach_url"], wants_status)
    if wants_status and status is None:
        raise ProcmanError(f"cannot tell how {command} ended: no exit status came back")
    return status or 0


def detached(told: Given, own: Own) -> int:
    """Run the command in the background; its output is in the log."""
    meant = target(told)
    command = joined(told)
    body = {"command": command, "attach": False, "env": terminal(), **options(told)}
    dyno = meant.server.call("POST", path("apps", meant.app, "dynos"), body)
    return said(own, dyno, f"Running {command} on {meant.app}... done, {dyno['name']}\n"
                f"Run procman logs -a {meant.app} --dyno {dyno['name']} to view the output.")


def joined(told: Given) -> str:
    """The words as one command; those with blanks are quoted, and what the shell shall read stays as it is."""
    if not told.arguments:
        raise UsageError("cannot run nothing: a command is wanted", "procman run -a demo bash")
    if len(told.arguments) == 1:
        return told.arguments[0]
    quoted = ['"' + word.replace('"', '\\"') + '"' if " " in word or '"' in word else word for word in told.arguments]
    return " ".join(quoted)


def options(told: Given) -> dict[str, object]:
    """Size and variables that the flags ask for."""
    body: dict[str, object] = {"size": told.fields["size"]} if told.fields.get("size") else {}
    extra = told.fields.get("variables")
    if isinstance(extra, str):
        pairs = dict(part.partition("=")[::2] for part in extra.split(";") if part)
        body["env"] = {**terminal(), **pairs}
    return body


def terminal() -> dict[str, object]:
    """What the dyno's terminal shall be like."""
    env: dict[str, object] = {"TERM": os.environ.get("TERM", "dumb")}
    if os.isatty(1):
        size = os.get_terminal_size(1)
        env |= {"COLUMNS": size.columns, "LINES": size.lines}
    return env


def join(url: str, wants_status: bool) -> int | None:
    """Copy both ways until the dyno ends; the exit status if its mark came, or if Ctrl-C ended shell and all."""
    parts = urlsplit(url)
    secret = f"{parts.path.lstrip('/')}{'?' + parts.query if parts.query else ''}"
    try:
        plain = socket.create_connection((parts.hostname or "", parts.port or 5000), 30)
        peer = trust().wrap_socket(plain, server_hostname=parts.hostname)
        peer.settimeout(None)
        peer.sendall(f"{secret}\r\n".encode())
        if not peer.recv(CHUNK).startswith(b"rendezvous"):
            raise ProcmanError("cannot join the dyno: the server did not answer as it should")
    except (OSError, ssl.SSLError) as error:
        raise ProcmanError(f"cannot join the dyno at {parts.hostname}:{parts.port}: {error}") from None
    before = termios.tcgetattr(0) if os.isatty(0) else None
    try:
        if before:
            tty.setraw(0)
        return copy(peer, wants_status)
    finally:
        if before:
            termios.tcsetattr(0, termios.TCSADRAIN, before)
        peer.close()


def copy(peer: ssl.SSLSocket, wants_status: bool) -> int | None:
    """Both ways; what follows the mark is the exit status and not shown."""
    sources: list[int | ssl.SSLSocket] = [0, peer]
    shown, status, typed = b"", None, b""
    plain = not os.isatty(1)
    while True:
        ready = [peer] if peer.pending() else select.select(sources, [], [])[0]
        if 0 in ready:
            data = os.read(0, CHUNK)
            typed = data
            peer.sendall(data or END_OF_INPUT)
            if not data:
                sources = [peer]
        if peer in ready:
            data = peer.recv(CHUNK)
            shown += data.replace(b"\r\n", b"\n") if plain else data
            if wants_status and MARK in shown:
                text, _, rest = shown.partition(MARK)
                if b"\n" in rest or not data:
                    status, shown = int(rest.split()[0]), text
            keep = len(MARK) + 16 if wants_status and data and MARK[:3] in shown[-len(MARK) - 16 :] else 0
            out, shown = shown[: len(shown) - keep], shown[len(shown) - keep :]
            os.write(1, out)
            if not data:
                interrupted = wants_status and status is None and INTERRUPT in typed and os.isatty(0)
                return INTERRUPTED if interrupted else status


def trust() -> ssl.SSLContext:
    """Trusts the server's own authority, and those of the system."""
    context = ssl.create_default_context()
    for name in (os.environ.get("NODE_EXTRA_CA_CERTS", ""), os.path.join(data_directory(os.environ), "tls", "ca.pem")):
        if name and os.path.exists(name):
            context.load_verify_locations(name)
    return context
