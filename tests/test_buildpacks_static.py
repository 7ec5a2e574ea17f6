"""The static and procfile buildpacks, and what all have in common."""

import http.client
import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

from procman.builds import buildpack
from tests.buildpack_bench import SYSTEM, Bench

PACKS = Path(buildpack.HERE)


@pytest.fixture
def bench(tmp_path):
    return Bench(tmp_path)


class Site:
    """The server of an app that was built, as a dyno runs it."""

    def __init__(self, tree):
        env = {"PATH": SYSTEM, "HOME": str(tree), "PORT": "0"}
        argv = ["python3", ".heroku/static/serve.py"]
        to = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
        self.process = subprocess.Popen(argv, cwd=tree, env=env, **to)
        self.said = self.process.stdout.readline()
        self.port = int(self.said.rpartition(" ")[2])

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(60) == 0
        self.process.stdout.close()

    def get(self, path, method="GET"):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.request(method, path)
        answer = connection.getresponse()
        body = answer.read().decode()
        connection.close()
        return answer.status, body


@pytest.mark.parametrize("name", ["index.html", "public/index.html", "dist/index.html", "static.json"])
def test_a_site_is_known_by_a_file_that_is_named(name, bench):
    assert bench.detect("static", bench.tree({name: "{}"})) == sorted(["Static", name])


def test_a_procfile_that_declares_web_is_no_static_site(bench):
    assert bench.detect("static", bench.tree({"index.html": "", "Procfile": "web: x\n"})) is None
    assert bench.detect("static", bench.tree({"index.html": "", "Procfile": "worker: x\n"})) is not None


def test_files_are_served_and_nothing_else(bench):
    files = {
        "index.html": "home", "about.html": "about", "404.html": "lost", "Procfile": "worker: x\n", ".env": "SECRET=1",
        ".well-known/x": "known", "sub/x.txt": "x", ".git/config": "c", "out": "-> /etc",
    }  # fmt: skip
    done = bench.good("static", files)
    assert bench.release("static", done.tree) == "default_process_types:\n  web: python3 .heroku/static/serve.py\n"
    with Site(done.tree) as site:
        assert site.get("/") == (200, "home")
        assert site.get("/about") == (200, "about")
        assert site.get("/sub/x.txt") == (200, "x")
        assert site.get("/.well-known/x") == (200, "known")
        hidden = ("/.env", "/%2eenv", "/.git/config", "/Procfile", "/.heroku/static/root")
        for path in (*hidden, "/sub/", "/none", "/../../etc/passwd"):
            assert site.get(path) == (404, "lost"), path
        assert site.get("/none", "HEAD") == (404, "")


def test_static_json_names_the_folder_that_is_served(bench):
    files = {"static.json": json.dumps({"root": "build/"}), "build/index.html": "built", "index.html": "source"}
    with Site(bench.good("static", files).tree) as site:
        assert site.get("/") == (200, "built")
        assert "Serving build on port" in site.said


@pytest.mark.parametrize("root", ["/etc", "..", "missing", "link", 3, ["a"]])
def test_a_root_that_is_not_in_the_app_is_refused(root, bench):
    done = bench.compile("static", {"static.json": json.dumps({"root": root}), "link": "-> /etc"})
    assert done.status == 1
    assert "Error: The folder that static.json calls root is not there" in done.output


def test_a_static_json_that_is_none_is_refused(bench):
    done = bench.compile("static", {"static.json": "root: x"})
    assert done.status == 1
    assert 'Error: static.json is not JSON with a "root"' in done.output


def test_what_a_procfile_alone_describes_is_left_as_it_is(bench):
    tree = bench.tree({"Procfile": "web: ./run\n", "run": "#!/bin/sh\n"})
    assert bench.detect("procfile", tree) == ["Procfile", "Procfile"]
    assert bench.detect("procfile", bench.tree({"run": ""})) is None
    done = bench.good("procfile", {"Procfile": "web: ./run\n", "run": "#!/bin/sh\n"})
    assert sorted(os.listdir(done.tree)) == ["Procfile", "run"]
    assert bench.release("procfile", done.tree) == "--- {}\n"


def test_every_buildpack_has_its_three_scripts_that_say_who_runs_them_and_none_is_long():
    for name in buildpack.BUILTIN:
        for script in buildpack.SCRIPTS:
            assert (PACKS / name / "bin" / script).read_text().startswith("#!/usr/bin/env bash\n")
    for path in PACKS.rglob("*"):
        compiled = "__pycache__" in path.parts
        assert path.is_dir() or compiled or len(path.read_text().splitlines()) < 250, path


@pytest.mark.parametrize("path", sorted(str(path.relative_to(PACKS)) for path in PACKS.glob("*/bin/*")))
def test_a_script_is_one_that_bash_can_read(path):
    subprocess.run(["bash", "-n", PACKS / path], check=True)
