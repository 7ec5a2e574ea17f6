"""The buildpacks that come with procman in whole builds: chosen by what an app holds, run as the build's own user."""

import json
import os

import pytest

from tests.build_site import Site
from tests.buildpack_bench import wheel
from tests.builds_harness import login_shell

SERVE = "python3 .heroku/static/serve.py"
PYTHON = {"requirements.txt": "demo==1.0\n", "Procfile": "web: demo\n"}
NODE = {
    "package.json": json.dumps({"dependencies": {"own": "file:./own"}, "scripts": {"start": "node app.js"}}),
    "own/package.json": json.dumps({"name": "own", "version": "1.0.0"}),
    "own/index.js": "module.exports = 'own'",
    "app.js": "console.log(require('own'), process.env.NODE_ENV)",
}


@pytest.fixture(scope="module")
def site():
    place = Site()
    yield place
    place.remove()


@pytest.fixture(scope="module")
def offline(site):
    """The server's environment: a shelf with one package in place of an index, and the system's programs alone."""
    shelf = site.base / "shelf"
    shelf.mkdir(mode=0o755)
    wheel(shelf, "demo", "1.0", {"demo.py": "def main():\n    print('demo')\n"}, "demo = demo:main")
    places = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(shelf), "UV_OFFLINE": "1", "UV_FIND_LINKS": str(shelf)}
    return {**places, "NPM_CONFIG_OFFLINE": "true"}


def test_a_python_app_is_built_and_its_second_build_installs_nothing(site, offline):
    first = site.finished(PYTHON, server=offline)
    assert first.result.ok, first.output
    assert "       requirements.txt found: heroku/python" in first.output
    assert "-----> Python app detected\n" in first.output
    assert "pip install -r requirements.txt'\n" in first.output
    assert login_shell(first.slug, "demo; python -m demo") == "demo\n"
    second = site.finished(PYTHON, server={**offline, "PIP_FIND_LINKS": "/nowhere", "UV_FIND_LINKS": "/nowhere"})
    assert "-----> Using the packages of the last build: requirements.txt has not changed\n" in second.output
    assert login_shell(second.slug, "demo") == "demo\n"
    left = {name for name in os.listdir(second.slug) if name not in PYTHON}
    assert left == {".heroku", ".profile.d"}


def test_a_node_app_is_built_and_says_what_is_begun(site, offline):
    built = site.finished(NODE, server=offline)
    assert built.result.ok, built.output
    assert built.result.process_types == {"web": "npm start"}
    assert built.result.language == "Node.js"
    assert "Default types for Node.js" in built.output
    assert login_shell(built.slug, "node app.js") == "own production\n"
    assert not {".npm", ".cache", ".config"} & set(os.listdir(built.slug))


def test_two_languages_are_told_and_two_buildpacks_work_together(site, offline):
    built = site.finished({**PYTHON, **NODE}, server=offline)
    assert "Several languages were found: Node.js (package.json) and Python (requirements.txt)." in built.output
    assert built.result.language == "Node.js"
    hook = {"bin/post_compile": "#!/bin/sh\necho node_env is $NODE_ENV\n"}
    both = site.finished({**PYTHON, **NODE, **hook}, "heroku/nodejs", "heroku/python", server=offline)
    assert both.result.ok, both.output
    assert "       node_env is production\n" in both.output  # nodejs exports it
    assert login_shell(both.slug, "demo; node app.js") == "demo\nown production\n"
    assert both.result.default_process_types == {}


@pytest.mark.parametrize(
    ("files", "language", "types"),
    [
        ({"index.html": "hi"}, "Static", {"web": SERVE}),
        ({"Procfile": "web: ./run\n", "run": "#!/bin/sh\n"}, "Procfile", {"web": "./run"}),
        ({"Procfile": "worker: x\n", "index.html": ""}, "Static", {"worker": "x", "web": SERVE}),
        ({"Procfile": "web: x\n", "app.py": ""}, "Procfile", {"web": "x"}),
    ],
    ids=["a page", "a Procfile", "a page and a worker", "a script with a Procfile"],
)
def test_other_apps_are_taken_for_what_they_are(files, language, types, site):
    built = site.finished(files)
    assert built.result.ok, built.output
    assert built.result.language == language
    assert dict(built.result.process_types) == types


def test_a_failing_build_says_the_reason_once_and_ends_with_herokus_words(site, offline):
    built = site.finished({"requirements.txt": "demo==9.9\n"}, server=offline)
    assert not built.result.ok
    assert built.output.endswith(" !     Push rejected, failed to compile Python app.\n\n !     Push failed\n")
    assert "requirements.txt:1: no version of 'demo==9.9' can be found" in built.output
    assert "Traceback" not in built.output
