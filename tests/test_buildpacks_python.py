"""The Python buildpack's scripts, run directly: what decides, what is installed, what comes from the cache."""

import os
import shutil
import subprocess

import pytest

from tests.buildpack_bench import PYTHON, Bench, Compiled, wheel

MINOR = subprocess.run(
    [PYTHON, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"], capture_output=True, text=True, check=True
).stdout.strip()


@pytest.fixture
def bench(tmp_path):
    """A host without network whose packages are two: demo 1.0 and 2.0."""
    bench = Bench(tmp_path)
    shelf = tmp_path / "shelf"
    for version in ("1.0", "2.0"):
        files = {"demo.py": f"VERSION = '{version}'\ndef main():\n    print('demo', VERSION)\n"}
        wheel(shelf, "demo", version, files, "demo = demo:main")
    bench.env |= {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(shelf), "UV_OFFLINE": "1", "UV_FIND_LINKS": str(shelf)}
    return bench


def unplug(bench):
    """From now on nothing can be installed."""
    shutil.rmtree(bench.base / "shelf")
    shutil.rmtree(bench.cache / "pip", ignore_errors=True)
    shutil.rmtree(bench.cache / "uv", ignore_errors=True)


@pytest.mark.parametrize("name", ["requirements.txt", "uv.lock", "Pipfile", "pyproject.toml", "manage.py", "app.py"])
def test_a_python_app_is_known_by_a_file_that_is_named(name, bench):
    assert bench.detect("python", bench.tree({name: ""})) == sorted(["Python", name])


def test_a_script_that_a_procfile_runs_needs_no_python_buildpack(bench):
    assert bench.detect("python", bench.tree({"app.py": "", "Procfile": "web: python3 app.py"})) is None


WRONG = {
    "two managers": (
        {"requirements.txt": "", "uv.lock": ""},
        ["Multiple Python package manager files were found", "requirements.txt (pip)", "git rm uv.lock"],
    ),
    "all of them": (
        {"requirements.txt": "", "uv.lock": "", "poetry.lock": "", "Pipfile.lock": "{}"},
        ["Pipfile.lock (pipenv)", "poetry.lock (poetry)"],
    ),
    "a Pipfile alone": ({"Pipfile": ""}, ["No 'Pipfile.lock' was found", "pipenv lock"]),
    "setup.py alone": ({"setup.py": ""}, ["Only a 'setup.py'", "--editable ."]),
    "pyproject.toml alone": ({"pyproject.toml": ""}, ["Only a 'pyproject.toml'", "uv lock", "poetry lock"]),
    "a file of another name": (
        {"manage.py": "", "requirement.txt": "", "web/x": ""},
        ["Couldn't find any supported Python package manager files", "requirement.txt\n", "web/\n"],
    ),
    "a link": ({"requirements.txt": "-> /etc/hostname"}, ["requirements.txt is a symbolic link"]),
    "a misspelt version file": (
        {"requirements.txt": "", ".python_version": "3.12"},
        ["git mv .python_version .python-version"],
    ),
    "an empty version file": ({"requirements.txt": "", ".python-version": "# none\n"}, ["No Python version was found"]),
    "two versions": (
        {"requirements.txt": "", ".python-version": "3.11\n3.12\n"},
        ["Several Python versions", "3.11 3.12"],
    ),
    "a version that is none": (
        {"requirements.txt": "", ".python-version": "latest"},
        ["Invalid Python version", "'latest'"],
    ),
    "an option as version": ({"requirements.txt": "", ".python-version": "3.12;ls"}, ["Invalid Python version"]),
    "Python 2": ({"requirements.txt": "", "runtime.txt": "python-2.7.18"}, ["Invalid Python version in runtime.txt"]),
    "runtime.txt without a word": (
        {"requirements.txt": "", "runtime.txt": "3.12"},
        ["Invalid Python version in runtime.txt"],
    ),
    "runtime.txt with uv": ({"uv.lock": "", "runtime.txt": "python-3.12.1"}, ["isn't supported when using uv"]),
    "a version that nobody has": (
        {"requirements.txt": "", ".python-version": "3.99"},
        ["Python 3.99, which .python-version asks for, is not on this host", MINOR, "apt-get install python3.99"],
    ),
    "packages that there are not": (
        {"requirements.txt": "demo==9.9"},
        ["Unable to install dependencies using pip", "requirements.txt decided"],
    ),
    "a folder of ours that is a link": (
        {"requirements.txt": "", ".heroku": "-> ../elsewhere"},
        [".heroku in the repository leads through a symbolic link"],
    ),
    "a profile that is a link": (
        {"requirements.txt": "", ".profile.d": "-> ../elsewhere"},
        [".profile.d in the repository leads through"],
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_build_fails_with_the_reason_and_what_to_do_of(name, bench):
    files, sentences = WRONG[name]
    (bench.base / "elsewhere").mkdir()
    done = bench.compile("python", files)
    assert done.status == 1, done.output
    for sentence in sentences:
        assert sentence in done.output
    assert " !     Error: " in done.output
    assert os.listdir(bench.base / "elsewhere") == []
    assert not (bench.cache / "python").exists()


def test_packages_are_installed_where_the_app_will_look_for_them(bench):
    done = bench.good("python", {"requirements.txt": "demo==1.0\n", ".python-version": f"{MINOR}\n"})
    assert f"-----> Using Python {MINOR} specified in .python-version\n" in done.output
    assert "pip install -r requirements.txt'\n" in done.output
    assert (done.tree / ".heroku/python/bin/demo").read_text().startswith(f"#!{done.tree}/.heroku/python/bin/python")
    assert done.dyno("demo; command -v python") == f"demo 1.0\n{done.tree}/.heroku/python/bin/python"
    assert bench.release("python", done.tree) == "--- {}\n"
    assert sorted(os.listdir(done.tree)) == [".heroku", ".profile.d", ".python-version", "requirements.txt"]


def test_nothing_is_installed_when_nothing_has_changed_even_at_another_place(bench):
    first = bench.good("python", {"requirements.txt": "demo==1.0\n"})
    shutil.rmtree(first.tree)
    unplug(bench)
    second = bench.good("python", {"requirements.txt": "demo==1.0\n", "app.py": "changed"})
    assert "-----> Using the packages of the last build: requirements.txt has not changed\n" in second.output
    assert second.tree != first.tree
    assert second.dyno("demo") == "demo 1.0"
    assert second.dyno("pip --version").startswith("pip ")
    assert str(first.tree) not in (second.tree / ".heroku/python/pyvenv.cfg").read_text()


def test_a_changed_file_means_a_new_environment(bench):
    bench.good("python", {"requirements.txt": "demo==1.0\n"})
    done = bench.good("python", {"requirements.txt": "-r more/base.txt\n", "more/base.txt": "demo==1.0\n"})
    assert done.dyno("demo") == "demo 1.0"
    done = bench.good("python", {"requirements.txt": "-r more/base.txt\n", "more/base.txt": "# none\n"})
    assert not (done.tree / ".heroku/python/bin/demo").exists()


def test_a_package_of_the_apps_own_is_never_taken_from_the_cache(bench):
    files = {"requirements.txt": "demo==1.0\n--find-links ./shelf\n./own/own-1.0-py3-none-any.whl\n"}
    tree = bench.tree(files)
    for number in (1, 2):
        wheel(tree / "own", "own", "1.0", {"own.py": f"print({number})"})
        shutil.copytree(tree, bench.base / f"copy{number}")
        done = bench.run("python", "compile", bench.base / f"copy{number}", bench.cache, bench.config)
        assert done.returncode == 0, done.stdout
        python = bench.base / f"copy{number}/.heroku/python/bin/python"
        said = subprocess.run([python, "-m", "own"], capture_output=True, text=True, check=True).stdout
        assert said == f"{number}\n"


def test_a_build_that_fails_late_leaves_no_cache_and_the_old_one_whole(bench):
    files = {"requirements.txt": "demo==1.0\n", "bin/post_compile": "#!/bin/sh\necho hook; exit 3\n"}
    done = bench.compile("python", files)
    assert done.status == 1
    assert "       hook\n" in done.output
    assert "Error: bin/post_compile failed." in done.output
    assert not (bench.cache / "python").exists()
    bench.good("python", {"requirements.txt": "demo==1.0\n"})
    bench.compile("python", {**files, "requirements.txt": "demo==2.0\n"})
    unplug(bench)
    assert bench.good("python", {"requirements.txt": "demo==1.0\n"}).dyno("demo") == "demo 1.0"


def test_a_damaged_cache_is_thrown_away(bench):
    bench.good("python", {"requirements.txt": "demo==1.0\n"})
    (bench.cache / "python/tree/bin/python").unlink()
    (bench.cache / "python/tree/bin/python").write_text("not a program")
    done = bench.good("python", {"requirements.txt": "demo==1.0\n"})
    assert "Installing dependencies" in done.output
    assert done.dyno("demo") == "demo 1.0"


def test_hooks_see_config_vars_and_the_environment_and_installers_see_the_index(bench):
    shelf = bench.env.pop("PIP_FIND_LINKS")
    bench.env.pop("UV_FIND_LINKS")
    for name in ("PIP_FIND_LINKS", "UV_FIND_LINKS"):
        (bench.config / name).write_text(shelf)
    (bench.config / "SECRET").write_text("hush")
    (bench.config / "PATH").write_text("/nowhere")
    (bench.config / "BAD-NAME").write_text("x")
    hook = "#!/bin/sh\necho \"$SECRET\"; demo; python -c 'import sys; print(sys.prefix)'; echo $ENV_DIR\n"
    done = bench.good("python", {"requirements.txt": "demo==1.0\n", "bin/post_compile": hook})
    said = f"       hush\n       demo 1.0\n       {done.tree}/.heroku/python\n       {bench.config}\n"
    assert f"-----> Running bin/post_compile hook\n{said}" in done.output
    assert "hush" not in done.output.replace(said, "")


DJANGO = {"django/__init__.py": ""}
MANAGE = "import os, sys\nprint('run with', sys.argv[1:3], os.environ.get('KEY'))\n"


@pytest.fixture
def django(bench):
    wheel(bench.base / "shelf", "django", "5.0", DJANGO)
    (bench.config / "KEY").write_text("k")
    return bench


def test_static_files_of_django_are_collected_with_config_vars(django):
    done = django.good("python", {"requirements.txt": "django\n", "site/manage.py": MANAGE})
    assert "-----> $ python site/manage.py collectstatic --noinput\n" in done.output
    assert "       run with ['collectstatic', '--noinput'] k\n" in done.output


def test_static_files_are_not_collected_if_a_config_var_says_so_or_there_is_no_django(django):
    (django.config / "DISABLE_COLLECTSTATIC").write_text("1")
    done = django.good("python", {"requirements.txt": "django\n", "manage.py": MANAGE})
    assert "Skipping Django collectstatic since the env var DISABLE_COLLECTSTATIC is set" in done.output
    assert "run with" not in done.output
    assert "collectstatic" not in django.good("python", {"requirements.txt": "", "manage.py": MANAGE}).output


def test_a_failing_collectstatic_fails_the_build_and_says_how_to_do_without(django):
    done = django.compile("python", {"requirements.txt": "django\n", "manage.py": "raise SystemExit('no STATIC_ROOT')"})
    assert done.status == 1
    assert "       no STATIC_ROOT\n" in done.output
    assert "heroku config:set DISABLE_COLLECTSTATIC=1" in done.output


def test_a_django_app_without_static_files_is_left_in_peace(django):
    unknown = "raise SystemExit(\"Unknown command: 'collectstatic'\")"
    assert "nothing to collect" in django.good("python", {"requirements.txt": "django\n", "manage.py": unknown}).output


def test_a_dyno_has_what_herokus_buildpack_sets_and_may_overrule_it(bench):
    done = bench.good("python", {"requirements.txt": ""})
    names = "$PYTHONUNBUFFERED $PYTHONPATH $LANG $FORWARDED_ALLOW_IPS $GUNICORN_CMD_ARGS $WEB_CONCURRENCY_SET_BY"
    assert done.dyno(f'echo "{names}"') == f"1 {done.tree} C.UTF-8 * --access-logfile - heroku/python"
    assert int(done.dyno("echo $WEB_CONCURRENCY")) >= 1
    assert int(done.dyno("echo $DYNO_RAM")) >= 1
    own = {"WEB_CONCURRENCY": "7", "FORWARDED_ALLOW_IPS": "", "GUNICORN_CMD_ARGS": "--workers 3"}
    assert done.dyno('echo "$WEB_CONCURRENCY,$FORWARDED_ALLOW_IPS,$GUNICORN_CMD_ARGS"', **own) == "7,,--workers 3"
    assert done.dyno("set | grep -c ^dyno_ || :") == "0"


@pytest.mark.parametrize(
    ("memory", "cores", "workers"),  # the first five: Heroku's own table
    [(512, 8, 2), (1024, 8, 4), (2560, 2, 5), (14336, 8, 17), (30720, 4, 9), (100, 1, 1), (0, 2, 5)],
)
def test_as_many_workers_are_begun_as_the_memory_and_the_cores_allow(memory, cores, workers, bench):
    """``memory``: the limit in MB, 0 for none."""
    limit = bench.base / "cgroup/memory/memory.limit_in_bytes"
    limit.parent.mkdir(parents=True)
    limit.write_text(f"{memory << 20 if memory else 9223372036854771712}\n")
    (bench.base / "meminfo").write_text("MemTotal:       60000000 kB\n")
    text = (bench.packs / "lib/memory.sh").read_text() + (bench.packs / "python/lib/profile.sh").read_text()
    for path, stand_in in (("/sys/fs/cgroup", "cgroup"), ("/proc/meminfo", "meminfo")):
        text = text.replace(path, f"{bench.base}/{stand_in}")
    text = text.replace("getconf _NPROCESSORS_ONLN", f"echo {cores}")
    app = Compiled(0, "", bench.tree({".profile.d/python.sh": text}))
    assert app.dyno("echo $WEB_CONCURRENCY $DYNO_RAM") == f"{workers} {memory or 58593}"
