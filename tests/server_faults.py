"""Faults of the host, brought upon a whole server: its disk is full, its files may not grow, it gets no descriptors."""

import contextlib
import os
import resource
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.deploy_site import DeploySite
from tests.platform_server import PlatformServer
from tests.test_deploy_disk import Ballast


@contextlib.contextmanager
def small_disk(megabytes: int) -> Iterator[Path]:
    """A folder with a file system of that size; where none may be mounted, one without."""
    directory = Path(tempfile.mkdtemp(prefix="procman-disk-"))
    options = f"size={megabytes}m,mode=711"
    mount = ["mount", "-t", "tmpfs", "-o", options, "procman-test", directory]
    mounted = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    directory.chmod(0o711)
    try:
        yield directory
    finally:
        if mounted:
            subprocess.run(["umount", "--lazy", directory], check=True)
        shutil.rmtree(directory)


class Filled:
    """Something else has taken all the room where the server's data lies. Without a disk of its own: ``Stunted``."""

    def __init__(self, site: DeploySite) -> None:
        self.words = "the disk is full: 0M are free where "
        fault = Ballast(site)
        self.begin, self.end = fault.fill, fault.remove
        if not os.path.ismount(site.server.data.parent):
            self.begin, self.end, self.words = (other := Stunted(site)).begin, other.end, other.words


class Stunted:
    """No file that the server writes may grow beyond a page: as with a quota, or a disk in trouble."""

    words = "the database cannot be used: disk I/O error"

    def __init__(self, site: DeploySite) -> None:
        self._server = site.server

    def begin(self) -> None:
        limit(self._server, resource.RLIMIT_FSIZE, 4096)

    def end(self) -> None:
        limit(self._server, resource.RLIMIT_FSIZE, resource.RLIM_INFINITY)


def limit(server: PlatformServer, what: int, soft: int) -> int:
    """What the server may use from now on; before."""
    assert server.running
    before, hard = resource.prlimit(server.running.pid, what)
    resource.prlimit(server.running.pid, what, (soft, hard))
    return before


class Words:
    """What the server says in its own log, so far."""

    def __init__(self, server: PlatformServer) -> None:
        self._server = server
        self._text = b""

    def read(self) -> str:
        assert self._server.running
        fd = self._server.running.process.stderr.fileno()
        os.set_blocking(fd, False)
        with contextlib.suppress(BlockingIOError):
            while chunk := os.read(fd, 1 << 16):
                self._text += chunk
        return self._text.decode()
