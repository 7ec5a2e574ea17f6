"""The nodejs buildpack's scripts, run directly: real node and npm without a network, and stand-ins that count."""

import json
import os

import pytest

from tests.buildpack_bench import Bench, Compiled

LOCK = json.dumps({"name": "demo", "lockfileVersion": 3, "packages": {"": {"name": "demo"}}})
NPM = """
echo "npm $*" >>"$LOG"
case $1 in
  --version) echo 10.0.0 ;;
  ci | install) mkdir -p node_modules/dep node_modules/tool && echo installed ;;
  prune) rm -rf node_modules/tool ;;
  run) echo "ran $2 $SECRET, dev: $(ls -d node_modules/tool 2>&1)" ;;
esac
"""


def app(**package) -> str:
    return json.dumps({"name": "demo", "version": "1.0.0", **package})


@pytest.fixture
def bench(tmp_path):
    return Bench(tmp_path)


@pytest.fixture
def counted(bench):
    """npm, yarn and pnpm are stand-ins that write down what they are asked."""
    for name in ("npm", "yarn", "pnpm"):
        bench.fake(name, NPM.replace("npm $*", f"{name} $*").replace("10.0.0", "1.22.0" if name == "yarn" else "9.1.0"))
    bench.env["LOG"] = str(bench.base / "log")
    return bench


def asked(bench, begin: str = "") -> list[str]:
    """What the package managers were asked since the last time, versions aside."""
    path = bench.base / "log"
    lines = path.read_text().splitlines() if path.exists() else []
    path.unlink(missing_ok=True)
    return [line for line in lines if line.startswith(begin) and "--version" not in line]


def test_a_node_app_is_known_by_its_package_json(bench):
    assert bench.detect("nodejs", bench.tree({"package.json": "{}"})) == ["Node.js", "package.json"]
    assert bench.detect("nodejs", bench.tree({"index.js": ""})) is None


def test_a_real_app_with_a_package_of_its_own_is_built_and_runs(bench):
    files = {
        "package.json": app(
            dependencies={"own": "file:./own"},
            scripts={"start": "node app.js", "build": "node -e \"console.log('built with', require('own'))\""},
        ),
        "own/package.json": json.dumps({"name": "own", "version": "2.0.0"}),
        "own/index.js": "module.exports = 'its own'",
        "app.js": "console.log(require('own'), process.env.NODE_ENV)",
    }
    done = bench.good("nodejs", files)
    assert " !     No lockfile" in done.output
    assert "       built with its own\n" in done.output
    assert done.dyno("node app.js") == "its own production"
    assert bench.release("nodejs", done.tree) == "default_process_types:\n  web: npm start\n"
    assert not (done.tree / ".npm").exists()


WRONG = {
    "no JSON": ({"package.json": "{'name': 1}"}, ["Unable to parse package.json"]),
    "two lock files": (
        {"package.json": app(), "package-lock.json": LOCK, "yarn.lock": ""},
        ["Two different lockfiles found: package-lock.json yarn.lock", "git rm yarn.lock"],
    ),
    "another node": ({"package.json": app(engines={"node": "4.x"})}, ["asks for Node.js 4.x", "this host has v"]),
    "a failing script": (
        {"package.json": app(scripts={"build": "echo oh; exit 7"}), "package-lock.json": LOCK},
        ["       oh\n", "The script 'build' of package.json failed", "echo oh; exit 7"],
    ),
    "a lock file that does not fit": (
        {"package.json": app(dependencies={"x": "file:./x"}), "package-lock.json": LOCK, "x/package.json": "{}"},
        ["Unable to install dependencies using npm", "package-lock.json decided"],
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_build_fails_with_the_reason_and_what_to_do_of(name, bench):
    files, sentences = WRONG[name]
    done = bench.compile("nodejs", files)
    assert done.status == 1, done.output
    for sentence in sentences:
        assert sentence in done.output
    assert not (bench.cache / "nodejs").exists()


RANGES = [
    ("20.x", True), (">=18", True), ("^20.1.0", True), ("~20.5", True), ("18 || 20", True), ("18.x||>=20.2 <21", True),
    ("18 - 20", True), ("*", True), ("20.5.1", True), ("20.5.9", True), ("v20", True), (">= 18", True), ("<20", False),
    ("18.x", False), ("^21", False), (">20", False), ("18 - 19", False), ("22.1.0", False), ("lts/*", True),
]  # fmt: skip


@pytest.mark.parametrize(("wanted", "fits"), RANGES)
def test_the_hosts_node_is_held_against_engines(wanted, fits, bench):
    """The host has 20.5.1. Another patch release, and what is not understood, is told and let pass."""
    tree = bench.tree({"package.json": app(engines={"node": wanted})})
    script = bench.base / "engines.js"
    text = (bench.packs / "nodejs/lib/engines.js").read_text()
    script.write_text("Object.defineProperty(process, 'version', {value: 'v20.5.1'});\n" + text)
    (bench.packs / "procfile/bin/compile").write_text(f"#!/bin/sh\nexec node {script} package.json\n")
    done = bench.run("procfile", "compile", tree, bench.cache, bench.config)
    assert (done.returncode == 0) == fits, done.stdout
    assert wanted in done.stdout
    assert (" !     " in done.stdout) == (wanted in ("20.5.9", "lts/*") or not fits)


def test_scripts_run_in_herokus_order_with_config_vars_and_development_packages(counted):
    (counted.config / "SECRET").write_text("hush")
    scripts = {"heroku-prebuild": "x", "heroku-postbuild": "x", "build": "x", "heroku-cleanup": "x", "start": "x"}
    files = {"package.json": app(scripts=scripts, devDependencies={"tool": "1"}), "package-lock.json": LOCK}
    done = counted.good("nodejs", files)
    assert asked(counted) == [
        "npm run heroku-prebuild", "npm ci --include=dev", "npm run heroku-postbuild",
        "npm prune --omit=dev --ignore-scripts", "npm run heroku-cleanup",
    ]  # fmt: skip
    assert "       ran heroku-postbuild hush, dev: node_modules/tool\n" in done.output
    assert sorted(os.listdir(done.tree / "node_modules")) == ["dep"]


def test_nothing_is_installed_when_nothing_has_changed(counted):
    package = {"devDependencies": {"tool": "1"}, "scripts": {"start": "x"}}
    counted.good("nodejs", {"package.json": app(**package), "package-lock.json": LOCK})
    assert "npm ci --include=dev" in asked(counted)
    other = {**package, "scripts": {"start": "y", "build": "x"}, "version": "1.0.1"}
    done = counted.good("nodejs", {"package.json": app(**other), "package-lock.json": LOCK})
    assert asked(counted) == ["npm run build", "npm prune --omit=dev --ignore-scripts"]
    assert "dev: node_modules/tool" in done.output
    assert "package-lock.json has not changed" in done.output
    changes = ({"package-lock.json": LOCK + " "}, {".npmrc": "x=y"}, {"package.json": app(dependencies={"a": "1"})})
    for changed in changes:
        counted.good("nodejs", {"package.json": app(**package), "package-lock.json": LOCK, **changed})
        assert "npm ci --include=dev" in asked(counted)


@pytest.mark.parametrize(
    "files",
    [
        {"package.json": app()},
        {"package.json": app(scripts={"postinstall": "x"}), "package-lock.json": LOCK},
        {"package.json": app(dependencies={"a": "file:./a"}), "package-lock.json": LOCK},
        {"package.json": app(workspaces=["a"]), "package-lock.json": LOCK},
    ],
    ids=["no lock file", "a script on install", "a folder of its own", "workspaces"],
)
def test_what_does_not_follow_from_the_lock_file_is_installed_each_time(files, counted):
    for _ in range(2):
        counted.good("nodejs", files)
        assert [line for line in asked(counted) if line.startswith(("npm ci", "npm install"))]


def test_the_lock_file_chooses_the_package_manager(counted):
    done = counted.good("nodejs", {"package.json": app(), "yarn.lock": ""})
    assert asked(counted) == ["yarn install --frozen-lockfile --ignore-engines --production=false"]
    assert "and yarn 1.22.0 of this host; yarn.lock says what to install" in done.output
    counted.good("nodejs", {"package.json": app(), "pnpm-lock.yaml": ""})
    assert asked(counted) == [f"pnpm install --frozen-lockfile --prod=false --store-dir {counted.cache}/pnpm"]


def test_a_package_manager_that_package_json_names_comes_into_the_cache(counted):
    counted.compile("nodejs", {"package.json": app(packageManager="pnpm@8.1.0+sha.1"), "pnpm-lock.yaml": ""})
    [line] = asked(counted, "npm install")
    assert line.startswith(f"npm install --no-save --prefix {counted.cache}/tools/pnpm@8.1.0 pnpm@8.1.0")


def test_committed_node_modules_are_rebuilt_and_told(counted):
    files = {"package.json": app(), "package-lock.json": LOCK, "node_modules/dep/index.js": ""}
    assert "checked into source control" in counted.good("nodejs", files).output
    assert asked(counted) == ["npm rebuild"]


def test_development_packages_stay_if_a_config_var_says_so(counted):
    (counted.config / "NPM_CONFIG_PRODUCTION").write_text("false")
    counted.good("nodejs", {"package.json": app(devDependencies={"tool": "1"}), "package-lock.json": LOCK})
    assert asked(counted, "npm prune") == []


def test_an_app_that_nothing_starts_is_told_so(counted):
    words = "This app may not specify any way to start a node process"
    files = {"package.json": app(), "package-lock.json": LOCK}
    done = counted.good("nodejs", files)
    assert words in done.output
    assert counted.release("nodejs", done.tree) == "--- {}\n"
    assert words not in counted.good("nodejs", {**files, "Procfile": "web: node x.js"}).output
    done = counted.good("nodejs", {**files, "server.js": ""})
    assert words not in done.output
    assert "web: npm start" in counted.release("nodejs", done.tree)


FITTING = [(512, 512, 1), (1024, 512, 2), (14336, 512, 28), (30720, 2048, 15)]


@pytest.mark.parametrize(("memory", "each", "count"), FITTING)
def test_a_dyno_is_told_how_many_processes_fit_as_on_heroku(memory, each, count, bench):
    text = (bench.packs / "nodejs/lib/profile.sh").read_text()
    tree = bench.tree({".profile.d/nodejs.sh": f"dyno_memory={memory}\n{text}"})
    dyno = Compiled(0, "", tree).dyno
    assert dyno("echo $MEMORY_AVAILABLE $WEB_MEMORY $WEB_CONCURRENCY") == f"{memory} {each} {count}"
    assert dyno("echo $NODE_ENV") == "production"
    assert dyno("echo $WEB_CONCURRENCY $NODE_ENV", WEB_CONCURRENCY="9", NODE_ENV="test") == "9 test"
