"""A disk that is full, or takes nothing: the server refuses what it is asked for whole, says why, and does it later."""

import os
import re
import signal
from pathlib import Path

import httpx
import pytest

from procman.control.client import Client
from procman.errors import ProcmanError
from tests.api_cases import tarball
from tests.deploy_site import DeploySite
from tests.harness import DEADLINE_S, poll
from tests.server_faults import Filled, Stunted, Words, small_disk
from tests.test_server_survival import LISTEN

SIZE_MB = 64
NAMED = LISTEN.replace("204 No Content\\r\\n", "204 No Content\\r\\nX-Dyno: '\"$DYNO\"'\\r\\n")
LONG = "x" * 9000  # more than the room in the pages that the database has already
WRITES = (
    ("PATCH", "/apps/demo/config-vars", {"WORD": LONG}),
    ("PATCH", "/apps/demo/formation", {"updates": [{"type": "web", "quantity": 2}]}),
    ("POST", "/apps", {"name": "second"}),
    ("POST", "/apps/demo/domains", {"hostname": "shop.example.com"}),
    ("POST", "/apps/demo/log-drains", {"url": "syslog://192.0.2.1:514"}),
    ("POST", "/oauth/authorizations", {"description": "another"}),
    ("PATCH", "/apps/demo", {"maintenance": True}),
    ("DELETE", "/apps/demo/dynos/web.1", None),
    ("DELETE", "/apps/demo", None),
)
READS = ("/apps", "/apps/demo/config-vars", "/apps/demo/formation", "/apps/demo/domains", "/apps/demo/log-drains",
         "/apps/demo/releases", "/oauth/authorizations")  # fmt: skip


@pytest.fixture(scope="module")
def site():
    with small_disk(SIZE_MB) as disk:
        site = DeploySite(data=disk / "data")
        try:
            site.start()
            site.server.create("demo")
            site.server.deploy("demo", {"web": NAMED})
            poll(lambda: is_served(site))
            yield site
        finally:
            site.close()


@pytest.fixture(params=[Filled, Stunted])
def fault(site, request):
    found = request.param(site)
    yield found
    found.end()


def ask(site, method: str, path: str, body=None) -> tuple[int, dict]:
    with site.server.client() as client:
        answer = client.request(method, path, json=body)
    return answer.status_code, answer.json()


def facts(site) -> list:
    """All that the API tells, but for when somebody last asked."""
    return [ask(site, "GET", path) for path in READS]


def test_what_cannot_be_kept_is_refused_whole_and_what_runs_goes_on(site, fault):
    pid = settled(site)
    said, before = Words(site.server), facts(site)
    fault.begin()
    for write in WRITES:
        status, answer = ask(site, *write)
        assert (status, answer["id"]) == (503, "service_unavailable"), f"{write}: {answer}"
        assert answer["message"].startswith(f"Cannot do this now: {fault.words}"), answer
    assert facts(site) == before
    assert ask(site, "POST", "/apps/demo/log-sessions", {"lines": 1})[0] == 201
    assert site.visit("demo").status_code == 204
    assert site.server.pids("demo") == {"web.1": pid}
    renew(site, pid)
    text = said.read()
    assert text.count(fault.words) >= len(WRITES)
    assert "Traceback" not in text
    fault.end()
    site.server.call("PATCH", "/apps/demo/config-vars", {"WORD": LONG})
    poll(lambda: [env for env in site.server.roots() if env.get("WORD") == LONG])
    site.server.call("PATCH", "/apps/demo/config-vars", {"WORD": None})
    assert [row[0] for row in site.releases("demo")] == list(range(1, len(before[5][1]) + 3)), "each change once"


def test_an_upload_that_cannot_be_kept_leaves_nothing_and_can_be_repeated(site):
    fault, server = Stunted(site), site.server
    slug = server.call("POST", "/apps/demo/slugs", {"process_types": {"web": NAMED}})
    packed = tarball({"./app/README": b"words\n"})
    before = sorted(os.listdir(server.data / "slugs"))
    fault.begin()
    with server.client() as client:
        refused = client.put(slug["blob"]["url"], content=packed)
        left = sorted(os.listdir(server.data / "slugs"))
        fault.end()
        taken = client.put(slug["blob"]["url"], content=packed)
    assert (refused.status_code, left, taken.status_code) == (503, before, 200), refused.text
    release = server.call("POST", "/apps/demo/releases", {"slug": slug["id"]})
    assert server.wait_for_release("demo", release["version"]) == "succeeded"


def test_a_server_that_is_killed_starts_on_a_full_disk_and_finds_what_runs(site):
    fault, server = Filled(site), site.server
    pid = settled(site)
    fault.begin()
    try:
        server.kill()
        site.start()
        assert set(server.dynos("demo")) == {"web.1"}
        assert ask(site, *WRITES[3])[0] in (201, 503)
        assert site.visit("demo").status_code == 204
        assert server.pids("demo") == {"web.1": pid}
        server.end_router()
        poll(lambda: is_served(site))
        renew(site, pid)
        pid, said = server.pids("demo")["web.1"], Words(server)
        fault.begin()  # what has ended may have left a page
        app_id = server.call("GET", "/apps/demo")["id"]
        os.kill(server.supervisor(app_id), signal.SIGKILL)
        complaint = re.compile("no supervisor looks after this app, whose dynos go on: .*No space left on device")
        poll(lambda: complaint.search(said.read()) or is_looked_after(server.data / "apps" / app_id), said.read)
        assert is_served(site)
    finally:
        fault.end()
    assert server.pids("demo") == {"web.1": pid}
    server.scale("demo", web=2)
    server.wait_for_dynos("demo", web_1="up", web_2="up")
    poll(lambda: site.visit("demo").headers["x-dyno"] == "web.2")  # the router was told
    server.scale("demo", web=1)
    server.wait_for_dynos("demo", web_1="up")


def settled(site) -> int:
    """The pid of the only dyno, once no release is on its way and those of the ones before have gone."""
    poll(lambda: all(status != "pending" for _, status, _ in site.releases("demo")))
    poll(lambda: len(site.server.roots()) == 1)
    return site.server.pids("demo")["web.1"]


def renew(site, pid: int) -> None:
    """Kill the web dyno, and see the next one serve: who looks after it needs no room."""
    os.kill(pid, signal.SIGKILL)
    poll(lambda: site.server.pids("demo").get("web.1", pid) != pid)
    poll(lambda: is_served(site))


def is_looked_after(home: Path) -> bool:
    """Whether the app has a supervisor that answers; a page that something left may be all it takes."""
    try:
        with Client(str(home / "control.sock"), DEADLINE_S) as client:
            return bool(client.call("ps")["ok"])
    except (OSError, ProcmanError):
        return False


def is_served(site) -> bool:
    try:
        return site.visit("demo").status_code == 204
    except httpx.HTTPError:
        return False
