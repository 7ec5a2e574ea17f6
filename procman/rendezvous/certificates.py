"""An authority of this host's own and a server certificate by it, made by ``openssl`` at the first start.

git and the Heroku client insist on TLS, also on loopback. Their users trust the authority by the variables that
``procman server env`` prints, and by nothing else: it is in no system's store.
"""

import os
import secrets
import socket
import ssl
import subprocess
import tempfile
from collections.abc import Sequence
from typing import NamedTuple

from procman.errors import ProcmanError

CA_DAYS, SERVER_DAYS = 3650, 397  # clients refuse certificates of servers that last longer
RENEW_S = 30 * 86_400
CURVE = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")


class Paths(NamedTuple):
    """The four files under ``tls/``."""

    directory: str

    def of(self, name: str) -> str:
        """One of ``ca.pem``, ``ca.key``, ``server.pem``, ``server.key``."""
        return os.path.join(self.directory, name)


def names_of_host(extra: Sequence[str] = ()) -> list[str]:
    """What the certificate stands for, as openssl writes it: loopback, its names, this host's name."""
    host = socket.gethostname().lower()
    found = ["DNS:localhost", "DNS:*.localhost", "IP:127.0.0.1", "IP:::1"]
    found += [f"DNS:{name}" for name in (host, *extra) if name and name.replace("-", "").replace(".", "").isalnum()]
    return list(dict.fromkeys(found))


def ensure(directory: str, names: Sequence[str]) -> bool:
    """Make what is missing, renew what is about to expire or lacks a name; whether anything is new.

    Raises ProcmanError, also when there is no openssl.
    """
    paths = Paths(directory)
    made = False
    if not is_good(paths.of("ca.pem"), paths.of("ca.key"), 2 * RENEW_S, ()):
        make_authority(paths)
        made = True
    if made or not is_good(paths.of("server.pem"), paths.of("server.key"), RENEW_S, names):
        make_certificate(paths, names)
        made = True
    return made


def context_of(directory: str) -> ssl.SSLContext:
    """For TLS servers."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    load(context, directory)
    return context


def load(context: ssl.SSLContext, directory: str) -> None:
    """Serve with what is there now, from the next connection on. Raises ProcmanError."""
    paths = Paths(directory)
    try:
        context.load_cert_chain(paths.of("server.pem"), paths.of("server.key"))
    except (OSError, ssl.SSLError) as error:
        raise ProcmanError(f"cannot use {paths.of('server.pem')}: {error}", f"rm -r {directory}") from None


def is_good(certificate: str, key: str, seconds: int, names: Sequence[str]) -> bool:
    """Whether it is there, lasts for so long and has all the names."""
    if not (os.path.exists(certificate) and os.path.exists(key)):
        return False
    done = run("x509", "-in", certificate, "-noout", "-checkend", str(seconds), "-ext", "subjectAltName", check=False)
    said = done.stdout.decode("utf-8", "replace").replace("IP Address:", "IP:").replace("0:0:0:0:0:0:0:1", "::1")
    listed = {part.strip() for line in said.splitlines() for part in line.split(",")}
    return done.returncode == 0 and set(names) <= listed


def make_authority(paths: Paths) -> None:
    """A self-signed certificate that may sign others, and no authorities."""
    with Workbench(paths.directory) as bench:
        run(
            "req", "-x509", *CURVE, "-keyout", bench.of("ca.key"), "-out", bench.of("ca.pem"), "-days", str(CA_DAYS),
            "-subj", f"/CN=procman on {plain_host()}", "-addext", "basicConstraints=critical,CA:TRUE,pathlen:0",
            "-addext", "keyUsage=critical,keyCertSign,cRLSign",
        )
        bench.keep("ca.key", "ca.pem")


def make_certificate(paths: Paths, names: Sequence[str]) -> None:
    """A certificate for the names, signed by the authority; the file holds the authority's too."""
    with Workbench(paths.directory) as bench:
        with open(bench.of("extensions"), "w", encoding="ascii") as file:
            file.write(
                f"subjectAltName={','.join(names)}\nbasicConstraints=critical,CA:FALSE\nextendedKeyUsage=serverAuth\n"
                "keyUsage=critical,digitalSignature\n"
            )
        run("req", *CURVE, "-keyout", bench.of("server.key"), "-out", bench.of("request"), "-subj", "/CN=localhost")
        run(
            "x509", "-req", "-in", bench.of("request"), "-out", bench.of("server.pem"), "-days", str(SERVER_DAYS),
            "-CA", paths.of("ca.pem"), "-CAkey", paths.of("ca.key"), "-set_serial", f"0x{secrets.token_hex(16)}",
            "-extfile", bench.of("extensions"),
        )
        with open(bench.of("server.pem"), "ab") as file, open(paths.of("ca.pem"), "rb") as authority:
            file.write(authority.read())
        bench.keep("server.key", "server.pem")


class Workbench:
    """A folder beside the files, in which nobody else sees what is being made."""

    def __init__(self, directory: str) -> None:
        self._directory = directory
        os.makedirs(directory, mode=0o700, exist_ok=True)

    def __enter__(self) -> "Workbench":
        self._folder = tempfile.TemporaryDirectory(dir=self._directory, prefix=".new-")
        return self

    def __exit__(self, *_: object) -> None:
        self._folder.cleanup()

    def of(self, name: str) -> str:
        """The path of a file in it."""
        return os.path.join(self._folder.name, name)

    def keep(self, *names: str) -> None:
        """Put files in their place, key first: a certificate without its key would look complete."""
        for name in names:
            os.chmod(self.of(name), 0o600 if name.endswith(".key") else 0o644)
            os.replace(self.of(name), os.path.join(self._directory, name))


def plain_host() -> str:
    """The host's name, fit for a subject."""
    return "".join(letter for letter in socket.gethostname() if letter.isalnum() or letter in "-.")[:40] or "this host"


def run(*words: str, check: bool = True) -> "subprocess.CompletedProcess[bytes]":
    """Run openssl. Raises ProcmanError with its last words."""
    env = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "RANDFILE": os.devnull}
    try:
        done = subprocess.run(["openssl", *words], env=env, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    except FileNotFoundError:
        raise ProcmanError(
            "cannot make a TLS certificate: there is no openssl program, and git and heroku run need TLS",
            "apt-get install openssl",
        ) from None
    if check and done.returncode:
        last = (done.stderr.decode("utf-8", "replace").strip().splitlines() or ["no words"])[-1]
        raise ProcmanError(f"cannot make a TLS certificate: openssl {words[0]}: {last}")
    return done
