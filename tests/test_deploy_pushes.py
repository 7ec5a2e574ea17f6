"""``git push`` through a real server: what is shown, what is released, what is refused, and what goes on running."""

import json
import re

import httpx
import pytest

from tests.deploy_site import SAMPLE, SERVE, DeploySite, Gate, page, write
from tests.git_server import Clone
from tests.harness import DEADLINE_S
from tests.server_faults import Words

BINDS = """
import os, socket, time
server = socket.create_server(("127.0.0.1", int(os.environ["PORT"])))
print("bound, and silent", flush=True)
time.sleep(1000)
"""
DIES = "echo opening the shop; echo no config found >&2; exit 3"


@pytest.fixture(scope="module")
def site():
    site = DeploySite("--push-creates-apps")
    site.start()
    yield site
    site.close()


def test_the_sample_app_is_built_released_and_served_as_on_heroku(site):
    clone = site.clone("sample", SAMPLE)
    text = site.push(clone)
    order = (
        "Compressing source files... done.\nBuilding source:\n\n-----> Building on the Heroku-24 stack",
        "-----> Determining which buildpack to use for this app\n       requirements.txt found: heroku/python",
        "-----> Python app detected\n",
        "-----> Discovering process types\n       Procfile declares types -> clock, release, web, worker\n\n",
        "-----> Compressing...\n       Done: ",
        "-----> Launching...\n !     Release command declared: this new release will not be available until",
        f"       Released v3\n       http://sample.localhost:{site.server.router_port}/ deployed to procman\n\n",
        "Running release command...\n\n",
        "applied 3 migration(s)\nWaiting for release.... done.\n\nVerifying deploy... done.\n",
        "* [new branch]      main -> main",
    )
    places = [text.find(words) for words in order]
    assert -1 not in places and places == sorted(places), text
    assert "Hello" in site.visit("sample").text
    config = site.server.call("GET", "/apps/sample/config-vars")
    assert (config["GREETING"], config["CLOCK_INTERVAL"]) == ("Hello", "10")
    formation = {row["type"]: row["quantity"] for row in site.server.call("GET", "/apps/sample/formation")}
    assert formation == {"clock": 0, "release": 0, "web": 1, "worker": 0}
    write(clone, {"templates/page.html": (SAMPLE / "templates/page.html").read_text() + "<!-- changed -->\n"})
    text = site.push(clone)
    assert re.search(r"^Updated 1 paths from [0-9a-f]{7}$", text, re.M)
    assert "Using the packages of the last build: requirements.txt has not changed" in text
    assert "<!-- changed -->" in site.visit("sample").text
    builds = site.server.call("GET", "/apps/sample/builds")
    [old, new] = sorted(builds, key=lambda build: build["created_at"])
    assert (old["status"], new["status"], new["release"]["id"]) == (
        "succeeded", "succeeded", site.server.call("GET", "/apps/sample/releases/4")["id"],
    )
    stored = httpx.get(new["output_stream_url"], trust_env=False, timeout=DEADLINE_S).text
    assert "-----> Python app detected" in stored and "Verifying deploy... done." in stored


def test_another_branch_is_stored_and_master_deploys_as_main_does(site):
    clone = site.clone("branches", page())
    text = site.push(clone, refs="main:topic")
    assert "Pushed to branch other than [main, master], skipping build." in text
    assert site.server.call("GET", "/apps/branches/builds") == []
    assert "Released v3" in site.push(clone, refs="main:master")
    assert site.visit("branches").text == "one -\n"
    assert site.push(clone, refs="main:master").strip() == "Everything up-to-date"


def test_what_was_pushed_comes_back_by_a_clone(site):
    clone = site.clone("cloned", page())
    site.push(clone, refs="main:master")
    copy = site.clone()
    copy.git("clone", "--quiet", site.url("cloned"), "copy")
    assert (copy.directory / "copy" / "word").read_text() == "one"


def test_a_shallow_clone_and_an_empty_commit_deploy(site, tmp_path):
    clone = site.clone("shallow", page())
    write(clone, page("two"))
    shallow = site.clone()
    shallow.git("fetch", "--quiet", "--depth=1", f"file://{clone.directory}", "main")
    shallow.git("reset", "--quiet", "--hard", "FETCH_HEAD")
    shallow.git("remote", "add", "heroku", site.url("shallow"))
    assert "Released v3" in site.push(shallow)
    assert site.visit("shallow").text == "two -\n"
    shallow.git("commit", "--quiet", "--allow-empty", "-m", "again")
    assert "Released v4" in site.push(shallow)


def test_the_first_push_to_a_free_name_makes_the_app_where_that_is_allowed(site):
    clone = site.clone(tree=page())
    clone.git("remote", "add", "heroku", site.url("fresh"))
    assert "Released v3" in site.push(clone)
    assert site.visit("fresh").text == "one -\n"
    clone.git("remote", "set-url", "heroku", site.url("no_name"))
    assert "not found" in site.push(clone, status=128)


def test_a_build_that_fails_is_explained_uses_no_version_and_can_be_pushed_again(site):
    clone = site.clone("failing", page("one", **{"requirements.txt": "# none\n"}))
    site.push(clone)
    files = {"word": "two", "requirements.txt": "# a comment\nflask=3.1\n"}
    write(clone, files)
    for _ in range(2):
        text = site.push(clone, status=1)
        assert "requirements.txt:2: 'flask=3.1' is not a requirement." in text
        assert " !     Push rejected, failed to compile Python app.\n\n !     Push failed\n" in text
        assert "Verifying deploy...\n\n!\tPush rejected to failing.\n" in text
        assert "! [remote rejected] main -> main (pre-receive hook declined)" in text
    assert site.releases("failing")[-1][:2] == (3, "succeeded")
    assert site.visit("failing").text == "one -\n"
    statuses = [build["status"] for build in site.server.call("GET", "/apps/failing/builds")]  # in the order of ids
    assert sorted(statuses) == ["failed", "failed", "succeeded"]
    assert len(slugs(site, "failing")) == 1
    write(clone, {"requirements.txt": "# none\n"})
    assert "Released v4" in site.push(clone)
    assert site.visit("failing").text == "two -\n"


def slugs(site, app: str) -> list[str]:
    """Builds of the app of which there is anything among the slugs."""
    builds = {build["id"] for build in site.server.call("GET", f"/apps/{app}/builds")}
    return sorted({path.name.partition(".")[0] for path in (site.server.data / "slugs").iterdir()} & builds)


def test_a_tree_that_no_buildpack_fits_is_told_what_was_looked_for(site):
    clone = site.clone("unknown", {"notes.txt": "nothing to run\n"})
    text = site.push(clone, status=1)
    assert " !     No default language could be detected for this app.\n\t\t\tHINT: This occurs when" in text
    assert "!\tPush rejected to unknown." in text


def test_a_release_command_that_fails_lets_the_push_succeed_and_the_old_release_go_on(site):
    clone = site.clone("phases", page(procfile=f"web: {SERVE}\nrelease: echo migrating; exit $STATUS\n"))
    site.server.call("PATCH", "/apps/phases/config-vars", {"STATUS": "0"})
    assert "Waiting for release.... done." in site.push(clone)
    config = site.server.call("PATCH", "/apps/phases/config-vars", {"STATUS": "1"})
    assert config["STATUS"] == "1"
    assert site.server.wait_for_release("phases", 5) == "failed"
    commit = write(clone, page("two", procfile=(clone.directory / "Procfile").read_text()))
    text = site.push(clone)
    assert "Running release command...\n\nmigrating\nWaiting for release.... failed.\n" in text
    assert " !     Release v6 failed: its release command exited with status 1\n" in text
    assert f"{commit}\trefs/heads/main" in clone.git("ls-remote", "heroku")
    assert [row[:2] for row in site.releases("phases")[-2:]] == [(5, "failed"), (6, "failed")]
    assert site.current("phases") == 4
    assert site.visit("phases").text == "one -\n"


def test_a_web_dyno_that_crashes_at_boot_rejects_the_push_and_shows_its_last_lines(site):
    clone = site.clone("crashing", page())
    site.push(clone)
    write(clone, page("two", procfile=f"web: {DIES}\n"))
    for version in (4, 5):
        text = site.push(clone, status=1)
        assert f" !     Release v{version} failed: web.1 did not come up: exited with status 3" in text
        assert " !     The last lines of web.1:\n       opening the shop\n       no config found\n" in text
        assert " !     What ran before goes on running.\n\nVerifying deploy... failed.\n" in text
    assert site.visit("crashing").text == "one -\n"
    assert site.current("crashing") == 3
    assert set(site.server.dynos("crashing")) == {"web.1"}


def test_a_first_release_that_crashes_leaves_nothing_running_and_the_next_push_is_a_first_one(site):
    files = page(procfile=f"web: {DIES}\n", **{"app.json": json.dumps({"scripts": {"postdeploy": "echo seeded"}})})
    clone = site.clone("stillborn", files)
    assert "Release v3 failed" in site.push(clone, status=1)
    assert site.server.dynos("stillborn") == {}
    write(clone, page())
    text = site.push(clone)
    assert "Running postdeploy script...\n\nseeded\n" in text
    assert site.visit("stillborn").text == "one -\n"


def test_a_dyno_that_binds_its_port_and_never_answers_fails_the_health_check(site):
    clone = site.clone("silent", page())
    site.push(clone)
    check = {"healthchecks": {"web": [{"type": "startup", "path": "/up", "timeout": 0.2, "within": 0.5}]}}
    write(clone, page("two", **{"serve.py": BINDS, "app.json": json.dumps(check)}))
    text = site.push(clone, status=1)
    assert re.search(r"Release v4 failed: web\.1 did not come up: .*GET /up was not answered", text), text
    assert site.visit("silent").text == "one -\n"


def test_an_app_that_gunicorn_cannot_import_rejects_the_push_with_its_traceback(site):
    broken = {
        "Procfile": "web: gunicorn --bind 0.0.0.0:$PORT app:app\n",
        "requirements.txt": (SAMPLE / "requirements.txt").read_text(),
        "app.py": "import flask\napp = flask.Flask(__name__)\nraise RuntimeError('no database')\n",
    }
    clone = site.clone("gunicorn", broken)
    text = site.push(clone, status=1)
    assert "Release v3 failed: web.1 did not come up: " in text
    assert "RuntimeError: no database" in text
    assert '"/app/app.py", line 3' in text


def test_a_second_push_waits_for_the_first_and_says_so(site):
    gate = Gate()
    clone = site.clone("busy", page(procfile=f"web: {SERVE}\nrelease: {gate.command}\n"))
    first = clone.popen("push", "heroku", "main")
    gate.wait()
    other = Clone(site.base / "other")
    other.env |= site.env
    other.git("remote", "add", "heroku", site.url("busy"))
    write(other, page("two"))
    second = other.popen("push", "--force", "--progress", "heroku", "main")
    while "Another deploy of busy is running" not in (line := second.stdout.readline()):
        assert line, "the second push ended"
    gate.open()
    text, _ = first.communicate(timeout=60)
    assert first.returncode == 0, text
    text, _ = second.communicate(timeout=60)
    assert second.returncode == 1 and "main was pushed to meanwhile" in text
    assert site.visit("busy").text == "one -\n"


def test_an_app_that_is_destroyed_while_it_is_pushed_ends_the_push(site):
    gate = Gate()
    clone = site.clone("doomed", page(procfile=f"web: {SERVE}\nrelease: {gate.command}\n"))
    said, push = Words(site.server), clone.popen("push", "heroku", "main")
    gate.wait()
    site.server.call("DELETE", "/apps/doomed")
    text, _ = push.communicate(timeout=60)
    assert push.returncode == 1
    assert " !     The app was destroyed." in text
    assert "Traceback" not in said.read()
    site.server.call("GET", "/apps/doomed", status=404)
    gate.open()
