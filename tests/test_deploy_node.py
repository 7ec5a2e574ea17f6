"""Node apps: the one this project began with, whose own process manager procman replaces; and one run by npm."""

import json
import os
import signal
import sys
from pathlib import Path

import pytest

from tests.deploy_site import DeploySite, write
from tests.harness import poll

APP_JS = """
const http = require("http");
console.log("listening, pid " + process.pid);
http.createServer((request, response) => {
  if (request.url === "/crash") process.exit(7);
  response.end(`node ${process.pid} ${process.env.NODE_ENV}\\n`);
}).listen(process.env.PORT, "127.0.0.1");
"""
LOCK = json.dumps({"name": "demo", "version": "1.0.0", "lockfileVersion": 3, "packages": {"": {"name": "demo"}}})
# procman is no Node package: the app brings it onto its dynos' PATH as any program, by a script in .profile.d.
PROFILE = f"export PATH={Path(sys.executable).parent}:$PATH\n"


def package(**scripts: str) -> dict[str, str]:
    return {"package.json": json.dumps({"name": "demo", "version": "1.0.0", "scripts": scripts}), "app.js": APP_JS,
            "package-lock.json": LOCK, ".profile.d/procman.sh": PROFILE}


@pytest.fixture(scope="module")
def site():
    site = DeploySite()
    site.start()
    yield site
    site.close()


def node_pid(site, app: str) -> int:
    return int(site.visit(app).text.split()[1])


def test_procman_forever_takes_forevers_place_in_a_dyno_and_keeps_the_script_up(site):
    clone = site.clone("origin", package(production="procman forever app.js"))
    write(clone, {"Procfile": "web: procman forever app.js\n"})
    text = site.push(clone)
    assert "-----> Node.js app detected" in text
    assert site.visit("origin").text.endswith(" production\n")
    before, web = node_pid(site, "origin"), site.server.dynos("origin")["web.1"]
    assert site.visit("origin", "/crash").status_code == 503
    after = poll(lambda: site.visit("origin").status_code == 200 and node_pid(site, "origin"))
    assert after != before
    assert site.server.dynos("origin")["web.1"]["id"] == web["id"]  # the dyno has seen nothing of it
    write(clone, {"app.js": APP_JS.replace("`node", "`second node")})
    site.push(clone)
    assert site.visit("origin").text.startswith("second node")
    poll(lambda: not os.path.exists(f"/proc/{after}"))


def test_npm_run_production_runs_the_script_of_package_json(site):
    clone = site.clone("by-npm", package(production="procman forever app.js", start="node app.js"))
    write(clone, {"Procfile": "web: npm run production\n"})
    text = site.push(clone)
    assert "Procfile declares types -> web" in text
    pid = node_pid(site, "by-npm")
    os.kill(pid, signal.SIGKILL)
    assert poll(lambda: site.visit("by-npm").status_code == 200 and node_pid(site, "by-npm")) != pid


def test_without_a_procfile_npm_start_is_the_web_process(site):
    clone = site.clone("started", package(start="node app.js"))
    text = site.push(clone)
    assert "Default types for Node.js -> web" in text
    assert site.visit("started").text.startswith("node ")
