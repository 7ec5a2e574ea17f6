"""What is built by a push or by the API through a real server: buildpacks, app.json, limits, the cache, secrets."""

import io
import json
import tarfile

import httpx
import pytest

from tests.deploy_site import PYTHON, SERVE, DeploySite, Gate, Hook, page, write
from tests.harness import DEADLINE_S, free_port, poll
from tests.test_buildpacks_python import MANAGE, wheel

SECRET = "swordfish-and-chips"
APP_JSON = {
    "env": {
        "SETTING": "from-app-json",
        "TAKEN": "never",
        "TOKEN": {"generator": "secret"},
        "ABSENT": {"required": False, "description": "none"},
    },
    "formation": {"web": {"quantity": 2}, "worker": {"quantity": 0}},
    "scripts": {"postdeploy": "echo seeding with $SETTING"},
}


@pytest.fixture(scope="module")
def site():
    site = DeploySite("--slug-limit", "3")
    site.start()
    yield site
    site.close()


@pytest.fixture
def buildpack(site):
    """Writes a buildpack of a few lines into a folder of the server; its address."""

    def make(name: str, compile: str, release: str = "") -> str:
        folder = site.base / "buildpacks" / name
        scripts = {"detect": f"echo {name}", "compile": compile, "release": release or "echo '--- {}'"}
        for script, text in scripts.items():
            path = folder / "bin" / script
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"#!/bin/bash\n{text}\n")
        for path in (folder.parent, folder, *folder.rglob("*")):
            path.chmod(0o755)
        return str(folder)

    return make


def choose(site, app: str, *buildpacks: str) -> None:
    updates = [{"buildpack": buildpack} for buildpack in buildpacks]
    site.server.call("PUT", f"/apps/{app}/buildpack-installations", {"updates": updates})


def test_two_buildpacks_of_the_apps_own_list_run_in_order_and_hand_on_what_they_export(site, buildpack):
    first = buildpack("tools", 'echo "-----> Tools"; echo "export TOOL=hammer" > "$(dirname "$0")/../export"')
    last = buildpack(
        "works",
        'echo "-----> Works with $TOOL"; cp "$1/word" "$2/kept"; mkdir -p "$1/.profile.d"; '
        'echo "export SETTING=$TOOL" > "$1/.profile.d/tool.sh"',
        f"printf -- '---\\ndefault_process_types:\\n  web: {SERVE}\\n  console: bash\\n'",
    )
    clone = site.clone("twice", page(procfile="worker: sleep 1000\n"))
    choose(site, "twice", first, last)
    text = site.push(clone)
    assert text.index("-----> Tools") < text.index("-----> Works with hammer")
    assert "Procfile declares types -> worker\n       Default types for works -> console, web\n" in text
    assert site.visit("twice").text == "one hammer\n"
    choose(site, "twice", last, first)
    write(clone, {"word": "two"})
    assert "Default types" not in site.push(clone)  # the last one's count alone


def test_app_json_sets_config_vars_formation_and_postdeploy_once(site):
    clone = site.clone("declared", page(**{"app.json": json.dumps(APP_JSON)}))
    procfile = f"web: {SERVE}\nworker: exec sleep 1000\n"
    write(clone, {"Procfile": procfile})
    site.server.call("PATCH", "/apps/declared/config-vars", {"TAKEN": "mine"})
    text = site.push(clone)
    assert "Running postdeploy script...\n\nseeding with from-app-json\n" in text
    config = site.server.call("GET", "/apps/declared/config-vars")
    assert (config["SETTING"], config["TAKEN"], len(config["TOKEN"]), set(config)) == (
        "from-app-json", "mine", 64, {"SETTING", "TAKEN", "TOKEN"},
    )
    assert config["TOKEN"] not in text
    poll(lambda: set(site.server.dynos("declared")) == {"web.1", "web.2"})  # that of postdeploy goes soon
    assert site.visit("declared").text == "one from-app-json\n"
    site.server.call("PATCH", "/apps/declared/config-vars", {"SETTING": None})
    assert site.server.wait_for_release("declared", 5) == "succeeded"
    write(clone, {"word": "two"})
    text = site.push(clone)
    assert "postdeploy" not in text
    assert site.visit("declared").text == "two -\n"


def test_a_type_that_must_not_overlap_is_never_there_twice(site):
    """Each clock listens at the same port while it lives, so a second one beside it fails."""
    clock = f"exec {PYTHON} -m http.server --bind 127.0.0.1 {free_port()}"
    formation = {"formation": {"clock": {"quantity": 0, "overlap": False}}}
    files = page(procfile=f"web: {SERVE}\nclock: {clock}\n", **{"app.json": json.dumps(formation)})
    site.server.call("POST", "/apps", {"name": "alone"})
    clone = site.clone(tree=files)
    clone.git("remote", "add", "heroku", site.url("alone"))
    for word in ("one", "two"):
        write(clone, {"word": word})
        site.push(clone)
        site.server.scale("alone", clock=1)
    assert site.visit("alone").text == "two -\n"
    assert site.server.dynos("alone")["clock.1"]["state"] == "up"


def test_what_slugignore_names_is_not_in_the_slug(site):
    more = {".slugignore": "*.psd\n/docs\n", "art.psd": "x", "docs/a": "x", "b/docs": "x"}
    clone = site.clone("ignoring", page(**more))
    site.push(clone)
    [build] = site.server.call("GET", "/apps/ignoring/builds")
    found = {str(path.relative_to(site.server.data / "slugs" / build["id"]))
             for path in (site.server.data / "slugs" / build["id"]).rglob("*")}
    assert {"Procfile", "word", "b/docs"} <= found
    assert not {"art.psd", "docs", "docs/a"} & found


def test_django_collects_its_static_files_and_migrates_in_the_release_phase(site, tmp_path):
    wheel(tmp_path, "django", "5.0", {"django/__init__.py": ""})
    [built] = tmp_path.glob("*.whl")
    clone = site.clone("django", page(procfile=f"web: {SERVE}\nrelease: python manage.py migrate\n"))
    (clone.directory / "vendor").mkdir()
    (clone.directory / "vendor" / built.name).write_bytes(built.read_bytes())
    files = {"requirements.txt": f"./vendor/{built.name}\n", "manage.py": MANAGE}
    write(clone, files)
    text = site.push(clone)
    assert "-----> $ python manage.py collectstatic --noinput\n" in text
    assert "Running release command...\n\n" in text and "Waiting for release.... done." in text


def test_a_tarball_at_an_address_is_built_as_a_push_is(site):
    site.server.call("POST", "/apps", {"name": "posted"})
    source = site.server.call("POST", "/apps/posted/sources")["source_blob"]
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, text in page("posted").items():
            info = tarfile.TarInfo(f"demo-main/{name}")
            info.size = len(text)
            archive.addfile(info, io.BytesIO(text.encode()))
    assert httpx.put(source["put_url"], content=packed.getvalue(), trust_env=False, timeout=DEADLINE_S).is_success
    blob = {"url": source["get_url"], "version": "v1.2"}
    build = site.server.call("POST", "/apps/posted/builds", {"source_blob": blob})
    output = httpx.get(build["output_stream_url"], timeout=60, trust_env=False).text
    assert "-----> Procfile app detected" in output and "Released v3" in output
    assert site.server.call("GET", f"/apps/posted/builds/{build['id']}")["status"] == "succeeded"
    assert site.visit("posted").text == "posted -\n"
    build = site.server.call("POST", "/apps/posted/builds", {"source_blob": {"url": "http://127.0.0.1:1/x"}})
    output = httpx.get(build["output_stream_url"], timeout=60, trust_env=False).text
    assert " !     cannot fetch the source: 127.0.0.1:1: Connection refused\n" in output
    assert site.current("posted") == 3


def test_a_build_is_cancelled_while_it_runs_and_while_it_waits(site, buildpack):
    gate = Gate()
    slow = buildpack("slow", f"echo waiting; {gate.command}")
    clone = site.clone("cancelled", page())
    choose(site, "cancelled", slow)
    push = clone.popen("push", "heroku", "main")
    gate.wait()
    other = site.server.call("POST", "/apps/cancelled/builds", {"source_blob": {"url": "http://127.0.0.1:1/x"}})
    [build] = [each for each in site.server.call("GET", "/apps/cancelled/builds") if each["id"] != other["id"]]
    assert site.server.call("DELETE", f"/apps/cancelled/builds/{other['id']}")["status"] == "failed"
    output = httpx.get(other["output_stream_url"], timeout=60, trust_env=False).text
    assert output.startswith("-----> Waiting for another deploy to end...\n !     the build was cancelled\n")
    assert site.server.call("DELETE", f"/apps/cancelled/builds/{build['id']}")["status"] == "failed"
    text, _ = push.communicate(timeout=60)
    assert push.returncode == 1 and "cancelled" in text
    site.server.call("DELETE", f"/apps/cancelled/builds/{build['id']}", status=409)
    gate.open()
    choose(site, "cancelled")
    assert "Released v3" in site.push(clone)


def test_a_build_that_takes_too_long_ends_and_says_how_long_it_may(site, buildpack):
    """By a server of its own, whose builds have to be quick."""
    hasty = DeploySite("--build-timeout", "2")
    try:
        hasty.start()
        clone = hasty.clone("endless", page())
        choose(hasty, "endless", buildpack("endless", "echo begun; sleep 1000"))
        text = hasty.push(clone, status=1)
    finally:
        hasty.close()
    assert " !     Build timed out: it took longer than 2 seconds.\n" in text
    assert "!\tPush rejected to endless." in text


def test_a_slug_that_is_too_large_is_refused_with_both_numbers(site, buildpack):
    clone = site.clone("heavy", page())
    choose(site, "heavy", buildpack("heavy", 'head -c 4000000 /dev/urandom > "$1/noise"'))
    text = site.push(clone, status=1)
    assert " !     Compiled slug size: 3.8M is too large (max is 3M)." in text
    assert site.releases("heavy")[-1][0] == 2


def test_the_cache_is_kept_until_it_is_purged(site, buildpack):
    clone = site.clone("caching", page())
    pack = buildpack("caching", 'echo "before: $(cat "$2/count" 2>/dev/null)"; echo x >> "$2/count"')
    choose(site, "caching", pack)
    assert "before:\n" in site.push(clone)
    write(clone, {"word": "two"})
    assert "before: x\n" in site.push(clone)
    site.server.call("DELETE", "/apps/caching/build-cache")
    write(clone, {"word": "three"})
    assert "before:\n" in site.push(clone)


def test_config_vars_reach_a_build_as_files_only_and_are_masked_where_it_prints_them(site, buildpack):
    clone = site.clone("secretive", page())
    site.server.call("PATCH", "/apps/secretive/config-vars", {"PASSWORD": SECRET})
    pack = buildpack("secretive", 'echo "file $(cat "$3/PASSWORD") variable ${PASSWORD:-none}"')
    choose(site, "secretive", pack)
    text = site.push(clone)
    assert "file [MASKED] variable none" in text
    [build] = site.server.call("GET", "/apps/secretive/builds")
    stored = httpx.get(build["output_stream_url"], trust_env=False, timeout=DEADLINE_S).text
    assert "file [MASKED] variable none" in stored
    for output in (text, stored):
        assert SECRET not in output


def test_a_program_that_is_missing_is_named_with_its_package(site, buildpack):
    clone = site.clone("toolless", page())
    choose(site, "toolless", buildpack("toolless", "echo linking; PATH=/nowhere; pg_config --libs"))
    text = site.push(clone, status=1)
    assert "linking" in text
    assert "pg_config is missing on this host: apt-get install libpq-dev" in text


def test_a_releases_end_and_the_end_of_the_app_are_told_to_webhooks(site):
    heard = Hook()
    clone = site.clone("hooked", page(procfile=f"web: {SERVE}\nrelease: exit ${{STATUS:-0}}\n"))
    wish = {"url": heard.url, "level": "notify", "include": ["api:release", "api:app", "api:build"]}
    site.server.call("POST", "/apps/hooked/webhooks", wish)
    site.push(clone)
    site.server.call("PATCH", "/apps/hooked/config-vars", {"STATUS": "1"})
    assert site.server.wait_for_release("hooked", 4) == "failed"
    poll(lambda: len(heard.events("release")) == 4)
    site.server.call("DELETE", "/apps/hooked")
    poll(lambda: heard.events("app"))
    heard.close()
    facts = [(event["action"], event["data"]["version"], event["data"]["status"]) for event in heard.events("release")]
    assert facts == [
        ("create", 3, "pending"), ("update", 3, "succeeded"), ("create", 4, "pending"), ("update", 4, "failed"),
    ]
    assert [event["data"]["status"] for event in heard.events("build")] == ["pending", "succeeded"]
    assert [(event["action"], event["data"]["name"]) for event in heard.events("app")] == [("destroy", "hooked")]
