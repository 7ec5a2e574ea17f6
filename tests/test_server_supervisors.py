"""Supervisors under a server, killed while their dynos work, or of another version: nothing is lost, nothing twice."""

import os
import re
import shutil
import signal
from pathlib import Path

import pytest

import procman
from procman.control.client import Client
from tests.deploy_site import SERVE, DeploySite, Visitor, page
from tests.harness import DEADLINE_S, poll
from tests.server_faults import Words

LINES = 30_000
COUNT = f"""
import os, time
for number in range(1, {LINES} + 1):
    os.write(1, b"line %d %d\\n" % (os.getpid(), number))
    number % 500 or time.sleep(0.02)
print("counted", os.getpid(), flush=True)
time.sleep(1000)
"""
KILLS = 3


class City(DeploySite):
    """A server with a copy of procman of its own, that can be replaced; an app that serves, and one that counts."""

    def __init__(self) -> None:
        super().__init__()
        self.installed = self.install("installed", procman.__version__)

    def install(self, name: str, version: str) -> Path:
        """A copy of procman that says it is of that version; the next server is it."""
        place = self.base / name
        if not place.exists():
            shutil.copytree(Path(procman.__file__).parent, place / "procman")
        (place / "procman" / "__init__.py").write_text(f'__version__ = "{version}"\n')
        self.shop.env["PYTHONPATH"] = str(place)
        return place

    def settle(self) -> None:
        """Start, and have both apps run."""
        self.start()
        files = {name: text.encode() for name, text in page().items()}
        for name, types in (("page", {"web": SERVE}), ("lines", {"worker": f"exec \"$PY\" -S -c '{COUNT}'"})):
            self.server.create(name)
            self.server.deploy(name, types, files)
        self.server.scale("page", web=2)
        self.server.wait_for_dynos("page", web_1="up", web_2="up")
        self.shows("page", "one")

    def home(self, app: str) -> Path:
        return self.server.data / "apps" / self.server.call("GET", f"/apps/{app}")["id"]

    def supervisor(self, app: str) -> int:
        return self.server.supervisor(self.home(app).name)

    def log(self, app: str) -> str:
        return "".join(path.read_text() for path in sorted((self.home(app) / "log").glob("log.*")))

    def pids(self) -> dict[str, int]:
        return {**self.server.pids("page"), **self.server.pids("lines")}

    def version(self, app: str) -> str:
        """What its supervisor says it is."""
        with Client(str(self.home(app) / "control.sock"), DEADLINE_S) as client:
            return next(iter(client.ask("states")))["version"]


@pytest.fixture(scope="module")
def city():
    city = City()
    try:
        city.settle()
        yield city
    finally:
        city.close()


@pytest.fixture
def worker(city):
    """A dyno that counts aloud; its pid."""
    city.server.scale("lines", worker=1)
    pid = poll(lambda: city.server.pids("lines").get("worker.1"))
    poll(lambda: f"line {pid} 1\n" in city.log("lines"))  # while it becomes what it runs, it shows no environment
    yield pid
    city.server.scale("lines", worker=0)
    poll(lambda: not city.server.pids("lines"))


def counted(city, pid: int) -> list[int]:
    """The numbers of its lines in the log, when it has come to the end."""
    poll(lambda: f"counted {pid}\n" in city.log("lines"))
    found = re.findall(rf"app\[worker\.1\]: line {pid} (\d+)$", city.log("lines"), re.MULTILINE)
    return list(map(int, found))


def test_killed_supervisors_are_replaced_at_once_and_no_request_no_line_and_no_dyno_is_lost(city, worker):
    before = city.pids()
    with Visitor(city, "page") as visitor:
        for _ in range(KILLS):
            for app in ("lines", "page"):
                killed = city.supervisor(app)
                os.kill(killed, signal.SIGKILL)
                poll(lambda app=app, killed=killed: city.supervisor(app) not in (0, killed))
        numbers = counted(city, worker)
    assert numbers == list(range(1, LINES + 1))
    assert visitor.lost == []
    assert city.pids() == before
    poll(lambda: "Took over web.1" in city.log("page"))


def test_a_server_that_was_upgraded_upgrades_the_supervisors_that_it_finds(city, worker):
    before, supervisors = city.pids(), [city.supervisor(app) for app in ("page", "lines")]
    assert city.version("lines") == procman.__version__
    with Visitor(city, "page") as visitor:
        city.server.stop()
        city.install("installed", "99.1")
        city.start()
        poll(lambda: {city.version(app) for app in ("page", "lines")} == {"99.1"})
        assert counted(city, worker) == list(range(1, LINES + 1))
    assert visitor.lost == []
    assert city.pids() == before
    assert [city.supervisor(app) for app in ("page", "lines")] == supervisors, "the same processes"
    assert "Replacing the program of this supervisor" in city.log("lines")


def test_a_supervisor_whose_program_lies_elsewhere_goes_on_and_that_is_said(city):
    before, version = city.pids(), city.version("page")
    city.server.stop()
    city.install("elsewhere", "99.2")
    city.start()
    words = Words(city.server)
    reason = f"goes on with procman {version}: its program was started from another place than ours"
    poll(lambda: reason in words.read())
    city.server.scale("page", web=1)
    city.server.wait_for_dynos("page", web_1="up")
    assert city.pids()["web.1"] == before["web.1"]
