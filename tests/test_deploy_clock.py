"""A clock that must not tick twice, and whose new release ends soon after its start: the old one ticks again."""

import json
import threading

import pytest

from tests.deploy_site import SERVE, DeploySite, page, write
from tests.harness import free_port, poll

ALONE = {"app.json": json.dumps({"formation": {"clock": {"quantity": 0, "overlap": False}}})}
STOPS = "echo winding up; echo spring broken; sleep 0.3; exit 6"


@pytest.fixture(scope="module")
def site():
    site = DeploySite()
    site.start()
    yield site
    site.close()


def tick() -> str:
    """A clock that listens at the same port while it lives: a second one beside it would end at once, with status 1."""
    listen = f"s = socket.create_server(('127.0.0.1', {free_port()}))"
    return f'"$PY" -c "import socket, time; {listen}; print(\'ticks\', flush=True); time.sleep(1000)"'


def procfile(clock: str) -> str:
    return f"web: {SERVE}\nclock: {clock}\n"


def ticking(site, app: str, clock: str, **config: str):
    """An app with one clock that ticks."""
    site.server.create(app)
    if config:
        site.server.call("PATCH", f"/apps/{app}/config-vars", config)
    clone = site.clone(tree=page(procfile=procfile(clock), **ALONE))
    clone.git("remote", "add", "heroku", site.url(app))
    site.push(clone)
    site.server.scale(app, clock=1)
    site.server.wait_for_dynos(app, web_1="up", clock_1="up")
    poll(lambda: ticks(site, app) == 1)
    return clone


def log_of(site, app: str) -> str:
    app_id = site.server.call("GET", f"/apps/{app}")["id"]
    return (site.server.data / "apps" / app_id / "log" / "log.000001").read_text()


def ticks(site, app: str) -> int:
    return log_of(site, app).count("app[clock.1]: ticks")


class Visits:
    """Requests one after another for as long as the block takes."""

    def __init__(self, site, app: str):
        self.site, self.app, self.stop, self.seen = site, app, threading.Event(), []
        self.thread = threading.Thread(target=self.visit)

    def visit(self) -> None:
        while not self.stop.is_set():
            answer = self.site.visit(self.app)
            self.seen.append((answer.status_code, answer.text))

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.thread.join()


def came_back(site, app: str) -> None:
    """The old clock ticks again, alone."""
    poll(lambda: ticks(site, app) == 2)
    site.server.wait_for_dynos(app, web_1="up", clock_1="up")
    text = log_of(site, app)
    assert "exited with status 6" in text
    assert "exited with status 1\n" not in text, "two clocks at a time"
    assert "Address already in use" not in text


def test_a_push_whose_clock_ends_within_ten_seconds_is_rejected_with_its_last_lines(site):
    clone = ticking(site, "pushed", tick())
    version, web = site.current("pushed"), site.server.pids("pushed")["web.1"]
    with Visits(site, "pushed") as visits:
        write(clone, page("two", procfile=procfile(STOPS), **ALONE))
        text = site.push(clone, status=1)
    assert f" !     Release v{version + 1} failed: clock.1 did not come up: exited with status 6" in text
    assert " !     The last lines of clock.1:\n       winding up\n       spring broken\n" in text
    assert " !     What ran before goes on running.\n\nVerifying deploy... failed.\n" in text
    came_back(site, "pushed")
    assert set(visits.seen) == {(200, "one -\n")}
    assert site.current("pushed") == version
    assert site.server.pids("pushed")["web.1"] == web
    assert [row[:2] for row in site.releases("pushed")[-1:]] == [(version + 1, "failed")]


def test_a_config_change_that_breaks_a_clock_brings_the_old_one_back(site):
    ticking(site, "changed", f'if [ -n "$BROKEN" ]; then {STOPS}; fi; exec {tick()}')
    version = site.current("changed")
    with Visits(site, "changed") as visits:
        site.server.call("PATCH", "/apps/changed/config-vars", {"BROKEN": "yes"})
        assert site.server.wait_for_release("changed", version + 1) == "failed"
    came_back(site, "changed")
    assert site.current("changed") == version
    assert set(visits.seen) == {(200, "one -\n")}
