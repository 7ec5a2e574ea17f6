"""The router's directory: everything that HAProxy needs to start, in files that are replaced whole."""

import hashlib
import os
import secrets
import ssl
from collections.abc import Iterable

from procman.errors import ProcmanError
from procman.files import write_private
from procman.router.configuration import CERTIFICATES
from procman.router.sites import Certificate

SLOTS, COOKIE_KEY, DEFAULT_PEM = "slots.json", "cookie.key", "default.pem"


class Files:
    """``path``: the directory, made if need be: others may pass through it, and read nothing."""

    def __init__(self, path: str) -> None:
        self.path = os.path.abspath(path)
        os.makedirs(self.path, mode=0o711, exist_ok=True)
        self.fd = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def read(self, name: str) -> bytes | None:
        """A file's content, None if there is none."""
        try:
            fd = os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=self.fd)
        except FileNotFoundError:
            return None
        with open(fd, "rb") as file:
            return file.read()

    def write(self, name: str, data: bytes) -> None:
        """Replace a file, unless it is so already.

        No fsync: after a power cut, the server writes all of them anew before there is an HAProxy to read them.
        """
        if self.read(name) == data:
            return
        write_private(name, data, lasting=False, dir_fd=self.fd)

    def cookie_key(self) -> str:
        """What session affinity's cookies are made from: the same for ever, or clients lose their dynos."""
        known = self.read(COOKIE_KEY)
        if known is None:
            known = secrets.token_hex(16).encode()
            self.write(COOKIE_KEY, known)
        return known.decode()

    def take_certificates(self, certificates: Iterable[Certificate]) -> bytes:
        """Copy them here, under names made of their content; the list for HAProxy. Raises ProcmanError for bad ones."""
        kept: dict[str, None] = {}
        for certificate in certificates:
            data = read_pem(certificate)
            name = f"certificate-{hashlib.sha256(data).hexdigest()[:32]}.pem"
            self.write(name, data)
            kept[name] = None
        listing = "".join(f"{name}\n" for name in kept).encode()
        self.write(CERTIFICATES, listing)
        for name in os.listdir(self.fd):
            if name.startswith("certificate-") and name not in kept:
                os.unlink(name, dir_fd=self.fd)
        return listing

    def take_default(self, path: str) -> bytes:
        """The certificate for names that have none."""
        data = read_pem(Certificate("the router's own", path))
        self.write(DEFAULT_PEM, data)
        return data

    def close(self) -> None:
        """Give the descriptor back."""
        os.close(self.fd)


def read_pem(certificate: Certificate) -> bytes:
    """Content of a certificate's file, which must hold a certificate and its key."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate.pem)
        with open(certificate.pem, "rb") as file:
            return file.read()
    except (OSError, ssl.SSLError) as error:
        reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or "unreadable"
        raise ProcmanError(f"cannot use certificate {certificate.name!r}: {reason}") from None
