"""`procman server`: the platform of this host, and what goes with it: `server env`, `ca`, `install`."""

import os
import re
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING

from procman.cli.listing import emit
from procman.cli.options import Given
from procman.cli.remote.connection import data_directory
from procman.errors import ProcmanError, UsageError

if TYPE_CHECKING:
    from procman.router.settings import Timeouts

PORT, ROUTER_PORT = 5000, 5080
LAST_PORT = 65_535
LAST_BLOCK = 59_800  # where the last app's ports may begin
DOMAIN = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")
WORDS = "env, ca, install or nothing"


def server(told: Given, _own: Mapping[str, bool]) -> int:
    """Serve in the foreground, or do what the word says."""
    word = told.arguments[0] if told.arguments else ""
    if len(told.arguments) > 1 or word not in ("", "env", "ca", "install"):
        raise UsageError(f"cannot use '{' '.join(told.arguments)}': {WORDS} is wanted", "procman server")
    if word == "env":
        from procman.cli.server_env import show

        return show(directory(told))
    if word == "ca":
        from procman.cli.server_env import show_authority

        return show_authority(directory(told))
    if word == "install":
        from procman.cli.server_install import install

        return install(told)
    return serve(told)


def serve(told: Given) -> int:
    """Until it is told to end."""
    try:
        from procman.server.composition import serve as run
        from procman.server.options import Options
    except ModuleNotFoundError as error:
        if error.name not in ("starlette", "uvicorn", "h11"):
            raise
        raise ProcmanError(
            f"cannot serve: the package {error.name} is missing", "pip install 'procman[server]'"
        ) from None
    port = number(told, "port", PORT)
    router = number(told, "router_port", ROUTER_PORT) if told.fields.get("router", True) else None
    if port + 2 > LAST_PORT:
        raise UsageError(f"cannot use --port {port}: the two ports after it are wanted too")
    if router in range(port, port + 3):
        raise UsageError(f"cannot use --router-port {router}: it is one of the server's own", "--router-port 5080")
    https = number(told, "router_https_port", 0) or None
    if https and (router is None or https in (router, *range(port, port + 3))):
        why = "it is taken by another of the server's own" if router else "there is no router"
        raise UsageError(f"cannot use --router-https-port {https}: {why}", "--router-https-port 5443")
    options = Options(
        directory(told),
        (port, port + 1, port + 2),
        router,
        owner(told),
        router_host(told) or "127.0.0.1",
        domain(text(told, "domain") or "localhost"),
        bool(told.fields.get("push_creates")),
        whole(told, "build_timeout"),
        (whole(told, "slug_limit") or 0) << 20 or None,
        https,
        timeouts(told),
        first_port(told),
        bool(told.fields.get("allow_local")),
    )
    complain()
    return run(options, emit)


def complain() -> None:
    """What goes wrong is a line on stderr, which systemd keeps."""
    import logging

    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(levelname)s %(name)s %(message)s")


def directory(told: Given) -> str:
    """Where the server keeps its data: as told, or as this user's own."""
    data = told.fields.get("data")
    return os.path.abspath(os.path.expanduser(data if isinstance(data, str) else data_directory(os.environ)))


def text(told: Given, field: str) -> str | None:
    """What was said, if anything was."""
    value = told.fields.get(field)
    return value if isinstance(value, str) else None


def owner(told: Given) -> str | None:
    """Whose account the first start makes. Raises UsageError for what is no address."""
    from procman.core.records import is_email

    email = text(told, "owner")
    if email is not None and not is_email(email):
        raise UsageError(f"cannot use --owner {email}: it is no e-mail address", "--owner me@example.com")
    return email


def router_host(told: Given) -> str | None:
    """Where the router listens. Raises UsageError."""
    from procman.router.settings import split_address

    host = text(told, "router_host")
    try:
        split_address(f"{host or '*'}:{ROUTER_PORT}")
    except ProcmanError:
        why = "an address of this host is wanted, or * for all"
        raise UsageError(f"cannot use --router-host {host}: {why}", "--router-host 127.0.0.1") from None
    return host


def domain(name: str) -> str:
    """Raises UsageError for what can be none."""
    name = name.lower().rstrip(".")
    if not DOMAIN.fullmatch(name) or len(name) > 200:
        raise UsageError(f"cannot use --domain {name}: it is no domain name", "procman server --domain example.com")
    return name


def timeouts(told: Given) -> "Timeouts":
    """The router's. Raises UsageError."""
    from procman.router.settings import Timeouts, read_timeouts

    said = text(told, "router_timeouts")
    try:
        return read_timeouts(said) if said is not None else Timeouts()
    except ValueError as error:
        raise UsageError(f"cannot use --router-timeouts {said}: {error}", "--router-timeouts first-byte=60") from None


def first_port(told: Given) -> int | None:
    """Of apps. Raises UsageError for one above which there is no room for an app's block."""
    first = number(told, "first_port", 0) or None
    if first and not 1024 <= first <= LAST_BLOCK:
        why = f"a port from 1024 to {LAST_BLOCK} is wanted"
        raise UsageError(f"cannot use --first-port {first}: {why}", "--first-port 20000")
    return first


def whole(told: Given, field: str) -> int | None:
    """A whole number above 0, if one was said. Raises UsageError."""
    said = text(told, field)
    if said is None:
        return None
    if not said.isascii() or not said.isdigit() or not 0 < int(said) < 1_000_000:
        raise UsageError(f"cannot use --{field.replace('_', '-')} {said}: a whole number above 0 is wanted")
    return int(said)


def number(told: Given, field: str, default: int) -> int:
    """A port. Raises UsageError."""
    text = told.fields.get(field)
    if text is None:
        return default
    if not isinstance(text, str) or not text.isascii() or not text.isdigit() or not 0 < int(text) <= LAST_PORT:
        raise UsageError(f"cannot use --{field.replace('_', '-')} {text}: it is no port")
    return int(text)
