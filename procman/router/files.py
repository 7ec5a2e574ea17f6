"""The router's directory: everything that HAProxy needs to start, in files that are replaced whole."""

import contextlib
import hashlib
import os
import secrets
import ssl
from collections.abc import Iterable, Iterator

from procman.errors import ProcmanError
from procman.files import write_private
from procman.router.sites import Certificate

SLOTS, COOKIE_KEY, DEFAULT_PEM = "slots.json", "cookie.key", "default.pem"


class Files:
    """``path``: the directory, made if need be: others may pass through it, and read nothing."""

    def __init__(self, path: str) -> None:
        self.path = os.path.abspath(path)
        os.makedirs(self.path, mode=0o711, exist_ok=True)
        self.fd = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._aside: dict[str, bool] | None = None  # what was replaced in ``all_or_none``: whether it was there

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
        known = self.read(name)
        if known == data:
            return
        if self._aside is not None and name not in self._aside:
            self._aside[name] = self._set_aside(name, known)
        write_private(name, data, lasting=False, dir_fd=self.fd)

    @contextlib.contextmanager
    def all_or_none(self) -> Iterator[None]:
        """What is written meanwhile stays only if nothing is raised. Else all is as it was, on a full disk too."""
        aside = self._aside = {}
        try:
            yield
        except BaseException:
            for name, was_there in aside.items():
                with contextlib.suppress(OSError):
                    if was_there:
                        os.replace(old(name), name, src_dir_fd=self.fd, dst_dir_fd=self.fd)
                    else:
                        os.unlink(name, dir_fd=self.fd)
            raise
        finally:
            self._aside = None
            for name in aside:
                self.remove(old(name))

    def _set_aside(self, name: str, known: bytes | None) -> bool:
        """A second name for what is there, if something is: to bring that back takes no room.

        Where a file has but one name (FAT, network shares), it is a copy, which has its room before anything changes.
        """
        self.remove(old(name))  # of a server that was killed
        if known is None:
            return False
        try:
            os.link(name, old(name), src_dir_fd=self.fd, dst_dir_fd=self.fd)
        except OSError:
            write_private(old(name), known, lasting=False, dir_fd=self.fd)
        return True

    def remove(self, name: str) -> None:
        """It need not be there, and may stay where it cannot be removed."""
        with contextlib.suppress(OSError):
            os.unlink(name, dir_fd=self.fd)

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
        return "".join(f"{name}\n" for name in kept).encode()

    def drop_certificates(self, listing: bytes) -> None:
        """All but those of the list."""
        kept = listing.decode().splitlines()
        for name in os.listdir(self.fd):
            if name.startswith("certificate-") and name not in kept:
                self.remove(name)

    def take_default(self, path: str) -> bytes:
        """The certificate for names that have none."""
        data = read_pem(Certificate("the router's own", path))
        self.write(DEFAULT_PEM, data)
        return data

    def close(self) -> None:
        """Give the descriptor back."""
        os.close(self.fd)


def old(name: str) -> str:
    """Where a file is kept that may have to come back."""
    return f"{name}.old"


def read_pem(certificate: Certificate) -> bytes:
    """Content of a certificate's file, which must hold a certificate and its key."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate.pem)
        with open(certificate.pem, "rb") as file:
            return file.read()
    except (OSError, ssl.SSLError) as error:
        reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or "unreadable"
        raise ProcmanError(f"cannot use certificate {certificate.name!r}: {reason}") from None
