"""`procman server env`: what a shell has to be told so that `heroku`, `git` and `procman` mean this server."""

import json
import os
import shlex
from collections.abc import Mapping, Sequence
from zlib import crc32

from procman.cli.listing import emit
from procman.errors import ProcmanError
from procman.files import write_private
from procman.server.addresses import ADDRESSES, Addresses

NO_SERVER = 3
HELPER = '!f() { test "$1" = get && echo username=heroku && echo "password=$HEROKU_API_KEY"; }; f'


def show(data: str) -> int:
    """Print `export NAME=value` lines for `eval`."""
    addresses, key = read(data)
    emit("\n".join(lines(variables(addresses, key, os.path.join(data, "tls", "ca.pem"), os.environ))))
    return 0


def show_authority(data: str) -> int:
    """Print the certificate of the server's authority, which whoever speaks TLS to it has to trust."""
    path = os.path.join(data, "tls", "ca.pem")
    try:
        with open(path, encoding="ascii") as file:
            certificate = file.read().rstrip("\n")
    except OSError as error:
        raise ProcmanError(f"cannot read {path}: {error.strerror}", "procman server", NO_SERVER) from None
    emit(certificate)
    return 0


def read(data: str) -> tuple[Addresses, str]:
    """How the server of this data directory is reached, and its owner's key. Raises ProcmanError."""
    try:
        with open(os.path.join(data, ADDRESSES), encoding="ascii") as file:
            addresses = Addresses(**json.load(file))
        with open(os.path.join(data, "owner.key"), encoding="ascii") as file:
            return addresses, file.read().strip()
    except FileNotFoundError:
        raise ProcmanError(f"cannot find a server in {data}: none has run there", "procman server", NO_SERVER) from None
    except (OSError, ValueError, TypeError) as error:
        raise ProcmanError(f"cannot read how the server in {data} is reached: {error}") from None


def variables(addresses: Addresses, key: str, authority: str, environ: Mapping[str, str]) -> list[tuple[str, str]]:
    """Everything that the client and git need. ``environ``: what is set already, of which git's own is kept."""
    git = f"https://{addresses.git}"
    return [
        ("HEROKU_HOST", addresses.api),
        ("HEROKU_API_KEY", key),
        ("HEROKU_GIT_HOST", addresses.git),
        ("HEROKU_PARTICLEBOARD_URL", addresses.api),
        ("HEROKU_LOGIN_HOST", addresses.api),
        ("HEROKU_BUILDPACK_REGISTRY_URL", addresses.api),
        ("HEROKU_DISABLE_AUTOUPDATE", "1"),
        ("HEROKU_SKIP_NEW_VERSION_CHECK", "true"),
        ("DISABLE_TELEMETRY", "true"),
        ("NODE_EXTRA_CA_CERTS", trusted(authority, environ.get("NODE_EXTRA_CA_CERTS", ""))),
        *([("GIT_SSL_CAINFO", trusted(authority, environ["GIT_SSL_CAINFO"]))] if "GIT_SSL_CAINFO" in environ else []),
        *git_variables(
            (
                (f"http.{git}/.sslCAInfo", authority),
                (f"credential.{git}.helper", ""),  # whatever else would answer, or ask, for this host
                (f"credential.{git}.helper", HELPER),
            ),
            environ,
        ),
    ]


def trusted(authority: str, before: str) -> str:
    """A file with our authority, and with those that were trusted before: a variable names one file only.

    git heeds GIT_SSL_CAINFO before any setting, so where that is set a setting of ours would not be heard.
    """
    if before in ("", authority) or before.startswith(f"{authority}+"):
        return before or authority
    together = f"{authority}+{crc32(before.encode('utf-8', 'surrogateescape')):08x}"
    try:
        texts = []
        for name in (authority, before):
            with open(name, "rb") as file:
                texts.append(file.read().rstrip(b"\n") + b"\n")
        write_private(together, b"".join(texts), 0o644)
    except OSError as error:
        raise ProcmanError(f"cannot join {before} and {authority}: {error.strerror}") from None
    return together


def git_variables(settings: Sequence[tuple[str, str]], environ: Mapping[str, str]) -> list[tuple[str, str]]:
    """Settings for git alone, after those that are set this way already; ours of before are replaced."""
    count = environ.get("GIT_CONFIG_COUNT", "")
    pairs = [
        (environ.get(f"GIT_CONFIG_KEY_{at}", ""), environ.get(f"GIT_CONFIG_VALUE_{at}", ""))
        for at in range(int(count) if count.isascii() and count.isdigit() and len(count) < 4 else 0)
    ]
    ours = {key for key, _ in settings}
    kept = [pair for pair in pairs if pair[0] and pair[0] not in ours and pair[1] != HELPER]
    found = [("GIT_CONFIG_COUNT", str(len(kept) + len(settings)))]
    for at, (key, value) in enumerate([*kept, *settings]):
        found += [(f"GIT_CONFIG_KEY_{at}", key), (f"GIT_CONFIG_VALUE_{at}", value)]
    return found


def lines(pairs: Sequence[tuple[str, str]]) -> list[str]:
    """In the shell's words."""
    return [f"export {name}={shlex.quote(value)}" for name, value in pairs]
