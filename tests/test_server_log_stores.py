"""One app's log lies on a disk that stalls, or is full: the server and other apps go on, and it is said."""

import errno
import os
import re
import socket
import subprocess
from pathlib import Path

import pytest

from tests.deploy_site import DeploySite
from tests.hanging_disk import HangingDisk
from tests.harness import DEADLINE_S, poll
from tests.server_faults import Words
from tests.test_server_survival import LISTEN

FLOOD = 50_000  # lines: more than a pipe holds, and a small disk
SHOUT = f"""
import os
for start in range(0, {FLOOD}, 1000):
    os.write(1, b"".join(b"flood %d %s\\n" % (number, b"." * 60) for number in range(start, start + 1000)))
print("over", flush=True)
import socket
socket.create_connection(("127.0.0.1", int(os.environ["GATE"]))).recv(1)
"""
SMALL = 256 << 10


class SmallDisk:
    """A small file system for a log; where none may be mounted, no directory for it, which refuses lines as well."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        options = ["mount", "-t", "tmpfs", "-o", f"size={SMALL},mode=700", "procman-test", directory]
        self.words = os.strerror(errno.ENOSPC)
        self._mounted = subprocess.run(options, capture_output=True, check=False).returncode == 0
        if not self._mounted:
            self.words = os.strerror(errno.ENOTDIR)
            directory.rename(directory.with_name("log.away"))
            directory.touch()

    def grow(self) -> None:
        if self._mounted:
            subprocess.run(["mount", "-o", "remount,size=64m", self._directory], check=True)
        else:
            self._directory.unlink()

    def close(self) -> None:
        if self._mounted:
            subprocess.run(["umount", "--lazy", self._directory], check=True)


@pytest.fixture
def gate():
    """Who has said it all comes here, and stays."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(DEADLINE_S)
        yield listener


@pytest.fixture(scope="module")
def site():
    site = DeploySite()
    try:
        site.start()
        for app in ("other", "slow", "full"):
            site.server.create(app)
        site.server.deploy("other", {"web": LISTEN, "worker": "echo hello from $DYNO; exec sleep 1000"})
        poll(lambda: site.visit("other").status_code == 204)
        yield site
    finally:
        site.close()


def deploy(site, app: str, gate: socket.socket) -> None:
    """A web dyno that says nothing, and a worker that says much, of which there is none yet."""
    site.server.call("PATCH", f"/apps/{app}/config-vars", {"GATE": str(gate.getsockname()[1])})
    site.server.deploy(app, {"web": LISTEN, "worker": f"exec \"$PY\" -S -c '{SHOUT}'"})


def home(site, app: str) -> Path:
    return site.server.data / "apps" / site.server.call("GET", f"/apps/{app}")["id"]


def text_of(directory: Path) -> str:
    return "".join(path.read_text() for path in sorted(directory.glob("log.*")) if path.is_file())


def log(site, app: str) -> str:
    """As somebody who asks for it gets it."""
    session = site.server.call("POST", f"/apps/{app}/log-sessions", {"lines": 1500})
    with site.server.client(headers={}) as client:
        return client.get(session["logplex_url"]).text


def others_flow(site, number: int) -> None:
    """Another app's dynos start, and what they say is in its log."""
    site.server.scale("other", worker=number)
    poll(lambda: f"app[worker.{number}]: hello from worker.{number}" in log(site, "other"))


def flooded(text: str) -> list[int]:
    """The numbers of the lines that are there."""
    return [int(number) for number in re.findall(r"app\[worker\.1\]: flood (\d+) ", text)]


def test_a_log_that_stalls_holds_up_nobody_else_and_lacks_nothing_when_it_goes_on(site, gate):
    """What its dynos say waits in their pipes: as long as it fits there, they do not wait themselves."""
    place, own = home(site, "slow"), site.server.data / "logs" / home(site, "slow").name
    site.server.stop()
    disks = HangingDisk(place / "log"), HangingDisk(own)
    try:
        site.start()
        said = Words(site.server)
        deploy(site, "slow", gate)
        site.server.scale("slow", worker=1)
        poll(lambda: "the log of its dynos waits or lacks lines: the disk was too slow" in said.read())
        for _ in range(50):
            assert site.visit("slow").status_code == 204, "each is a line of a log that takes none"
        poll(lambda: "the logs of apps under " in said.read())
        others_flow(site, 1)
    finally:
        for disk in disks:
            disk.let_go()
    with gate.accept()[0]:
        poll(lambda: "app[worker.1]: over\n" in text_of(place / "log"))
        assert flooded(text_of(place / "log")) == list(range(FLOOD)), "each once, in order"
        poll(lambda: text_of(own).count("heroku[router]: at=info") >= 50)
        assert "app[api]: Scaled to web@1:Basic worker@1:Basic" in log(site, "other"), "that waited for the same hand"
        assert "Traceback" not in said.read()
    for disk in disks:
        os.close(disk.fd)


def test_a_log_on_a_full_disk_lacks_lines_that_are_counted_and_nothing_else_is_lost(site, gate):
    server, said = site.server, Words(site.server)
    deploy(site, "full", gate)
    place = home(site, "full")
    disk = SmallDisk(place / "log")
    try:
        before = server.pids("full")["web.1"]
        server.scale("full", worker=1)
        shouter = gate.accept()[0]  # it has said it all, and lives on until this is closed
        poll(lambda: f"the log of its dynos waits or lacks lines: {disk.words}" in said.read())
        poll(lambda: site.visit("full").status_code == 204)
        others_flow(site, 2)
        assert server.pids("full")["web.1"] == before
        disk.grow()
        shouter.close()  # then its dyno ends, and is started again
        again = gate.accept()[0]
        poll(lambda: "app[worker.1]: over\n" in text_of(place / "log"))
        again.close()
        text = text_of(place / "log")
        (lost,) = re.findall(rf"(\d+) lines \(\d+ bytes\) of log were lost: {disk.words}", text)
        first = flooded(text.partition(" of log were lost")[0])
        assert len(first) + int(lost) >= FLOOD
        assert first == list(range(len(first)))
    finally:
        disk.close()
