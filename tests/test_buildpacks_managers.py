"""Python's package managers: stand-ins write down how they are called; one that is missing is fetched or named."""

import json

import pytest

from tests.buildpack_bench import Bench, wheel

MANAGER = """
case "$1 $2" in "sync --help") exit $NO_SYNC ;; esac
for name in UV_PROJECT_ENVIRONMENT UV_LINK_MODE UV_PYTHON_DOWNLOADS UV_DEFAULT_INDEX UV_INDEX VIRTUAL_ENV SECRET; do
  eval "echo $name=\\$$name" >>"$LOG"
done
echo "NAME $*" >>"$LOG"
[ -z "$BROKEN" ] || { echo "cannot resolve"; exit 2; }
"""
UV = {"uv.lock": "version = 1\n", "pyproject.toml": '[project]\nname = "app"\nversion = "1"\n'}
POETRY = {"poetry.lock": "", "pyproject.toml": "[tool.poetry]\npackage-mode = false\n"}
PIPENV = {"Pipfile": "", "Pipfile.lock": json.dumps({"_meta": {}, "default": {}})}


@pytest.fixture
def bench(tmp_path):
    bench = Bench(tmp_path)
    bench.env |= {"LOG": f"{tmp_path}/log", "NO_SYNC": "0", "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": f"{tmp_path}/shelf"}
    (bench.config / "SECRET").write_text("hush")
    (tmp_path / "shelf").mkdir()
    return bench


@pytest.fixture
def managers(bench):
    for name in ("uv", "poetry", "pipenv"):
        bench.fake(name, MANAGER.replace("NAME", name))
    return bench


def called(bench) -> tuple[str, dict[str, str]]:
    """The last call since the last time, and its environment; nothing if there was none."""
    path = bench.base / "log"
    if not path.exists():
        return "", {}
    *rows, call = path.read_text().splitlines()
    path.unlink()
    return call, dict(row.split("=", 1) for row in rows if "=" in row)


def test_uv_syncs_the_lock_file_into_the_apps_environment(managers):
    done = managers.good("python", UV)
    call, env = called(managers)
    venv = f"{done.tree}/.heroku/python"
    words = "uv sync --locked --no-default-groups"
    assert call == f"{words} --python {venv}/bin/python --compile-bytecode"
    assert f"-----> Installing dependencies using '{words}'\n" in done.output
    expected = {"UV_PROJECT_ENVIRONMENT": venv, "UV_LINK_MODE": "copy", "UV_PYTHON_DOWNLOADS": "never"}
    assert (expected | {"SECRET": "hush"}).items() <= env.items()
    assert "hush" not in done.output


def test_uv_takes_the_place_of_pip_and_knows_pips_indexes(managers):
    (managers.config / "PIP_EXTRA_INDEX_URL").write_text("https://me:pw@packages/simple")
    managers.env["PIP_INDEX_URL"] = "https://mirror/simple"
    done = managers.good("python", {"requirements.txt": "demo\n"})
    call, env = called(managers)
    python = f"{done.tree}/.heroku/python/bin/python"
    assert call == f"uv pip install --python {python} --compile-bytecode -r requirements.txt"
    assert (env["UV_DEFAULT_INDEX"], env["UV_INDEX"]) == ("https://mirror/simple", "https://me:pw@packages/simple")


@pytest.mark.parametrize(("old", "words"), [("0", "sync --only main"), ("1", "install --sync --only main")])
def test_poetry_installs_what_production_needs_also_an_old_one(old, words, managers):
    managers.env["NO_SYNC"] = old
    done = managers.good("python", POETRY)
    call, env = called(managers)
    assert call == f"poetry {words} --compile --no-interaction --no-ansi"
    assert env["VIRTUAL_ENV"] == f"{done.tree}/.heroku/python"


def test_pipenv_deploys_its_lock_file(managers):
    done = managers.good("python", PIPENV)
    call, env = called(managers)
    assert call == "pipenv install --deploy --extra-pip-args=--progress-bar=off"
    assert env["VIRTUAL_ENV"] == f"{done.tree}/.heroku/python"


@pytest.mark.parametrize(
    ("files", "changed"),
    [(UV, {"uv.lock": "version = 2\n"}), (POETRY, {"poetry.lock": "# x"}), (PIPENV, {"Pipfile": "# x"})],
    ids=["uv", "poetry", "pipenv"],
)
def test_a_manager_is_called_again_only_for_other_files(files, changed, managers):
    managers.good("python", files)
    assert called(managers)[0]
    assert "has not changed" in managers.good("python", {**files, "app.py": ""}).output
    assert called(managers)[0] == ""
    managers.good("python", {**files, **changed})
    assert called(managers)[0]


@pytest.mark.parametrize(
    "pyproject",
    [
        '[build-system]\nrequires = ["hatchling"]\n',
        '[tool.uv.sources]\nown = { path = "own" }\n',
        "[tool.uv.workspace]\nmembers = []\n[tool.uv.sources]\na = { workspace = true }\n",
        "not toml",
    ],
)
def test_a_project_that_is_itself_installed_is_so_each_time(pyproject, managers):
    for _ in range(2):
        managers.good("python", {**UV, "pyproject.toml": pyproject})
        assert called(managers)[0].startswith("uv sync")


@pytest.mark.parametrize(("files", "name"), [(UV, "uv"), (POETRY, "poetry"), (PIPENV, "pipenv")])
def test_a_manager_that_fails_ends_the_build_with_its_own_words(files, name, managers):
    managers.env["BROKEN"] = "1"
    done = managers.compile("python", files)
    assert done.status == 1
    assert "       cannot resolve\n" in done.output
    assert f"Error: Unable to install dependencies using {name}." in done.output
    assert not (managers.cache / "python").exists()


def test_a_manager_that_the_host_lacks_comes_from_the_package_index_into_the_cache(bench):
    program = "import sys\ndef main():\n    print('called', *sys.argv[1:3])\n"
    wheel(bench.base / "shelf", "uv", "1.0", {"fake_uv.py": program}, "uv = fake_uv:main")
    done = bench.good("python", UV)
    assert "       uv is not on this host: installing it with pip\n" in done.output
    assert "       called sync --locked\n" in done.output
    done = bench.good("python", {**UV, "uv.lock": "version = 2\n"})
    assert "installing it" not in done.output
    assert "       called sync --locked\n" in done.output
    assert not (done.tree / ".heroku/python/bin/uv").exists()


def test_a_manager_that_cannot_be_had_is_named_with_what_to_do(bench):
    done = bench.compile("python", POETRY)
    assert done.status == 1
    assert "Error: poetry is missing on this host, and cannot be installed." in done.output
    assert "pipx install poetry" in done.output
    assert done.output.count("Error: ") == 1
