"""The ruby and go buildpacks' scripts, run directly; ruby, bundler and go are stand-ins that write down their words."""

import shutil

import pytest

from tests.buildpack_bench import Bench

BUNDLE = """
echo "bundle $*" >>"$LOG"
case "$1 $2 $3" in
  --version*) echo "Bundler version 2.4.1" ;;
  check*) [ -d vendor/bundle/ruby ] ;;
  install*) [ -z "$BROKEN" ] || { echo "no such gem"; exit 5; }
    mkdir -p vendor/bundle/ruby && echo "$BUNDLE_WITHOUT $BUNDLE_DEPLOYMENT $SECRET" >vendor/bundle/ruby/with ;;
  "exec rake -P") printf 'rake %s\\n' $TASKS ;;
  "exec rake assets:precompile") echo "made with $SECRET"; [ -z "$NO_ASSETS" ] ;;
esac
"""
GO = """
echo "go $*" >>"$LOG"
case "$1" in
  env) echo go1.19.8 ;;
  build) [ -z "$BROKEN" ] || { echo "./main.go:3:1: syntax error"; exit 1; }
    for name in $PROGRAMS; do echo "#!/bin/sh" >bin/$name; chmod 755 bin/$name; done ;;
esac
"""
GEMS = {"Gemfile": "source 'https://rubygems.org'\nruby '3.1.2'\n", "Gemfile.lock": "GEM\n"}
MODULE = {"go.mod": "module example.com/demo/v2\n\ngo 1.19\n", "main.go": "package main\n"}


@pytest.fixture
def bench(tmp_path):
    bench = Bench(tmp_path)
    bench.fake("ruby", 'case "$2" in *PLATFORM*) printf x ;; *) printf 3.1.2 ;; esac')
    bench.fake("bundle", BUNDLE)
    bench.fake("go", GO)
    bench.env |= {"LOG": str(tmp_path / "log"), "PROGRAMS": "demo"}
    return bench


def asked(bench, begin: str) -> list[str]:
    """What was asked since the last time."""
    path = bench.base / "log"
    lines = path.read_text().splitlines() if path.exists() else []
    path.unlink(missing_ok=True)
    return [line for line in lines if line.startswith(begin)]


@pytest.mark.parametrize(
    ("files", "name"), [({}, "Ruby"), ({"config.ru": ""}, "Ruby/Rack"), ({"config/application.rb": ""}, "Ruby/Rails")]
)
def test_a_ruby_app_is_known_by_its_gemfile(files, name, bench):
    assert bench.detect("ruby", bench.tree({**GEMS, **files})) == ["Gemfile", name]
    assert bench.detect("ruby", bench.tree(files)) is None


def test_gems_are_installed_as_for_production_and_found_by_dynos(bench):
    (bench.config / "SECRET").write_text("hush")
    done = bench.good("ruby", GEMS)
    assert asked(bench, "bundle install") == ["bundle install --quiet"]
    assert (done.tree / "vendor/bundle/ruby/with").read_text() == "development:test 1 hush\n"
    assert done.dyno("echo $RACK_ENV $RAILS_LOG_TO_STDOUT") == "production enabled"
    assert done.dyno("echo $BUNDLE_PATH") == f"{done.tree}/vendor/bundle"
    assert done.dyno("echo $RACK_ENV", RACK_ENV="staging") == "staging"


def test_gems_of_an_unchanged_lock_file_come_from_the_cache_and_others_begin_there(bench):
    bench.good("ruby", GEMS)
    asked(bench, "")
    done = bench.good("ruby", GEMS)
    assert "Gemfile.lock has not changed" in done.output
    assert asked(bench, "bundle install") == []
    assert (done.tree / "vendor/bundle/ruby/with").exists()
    done = bench.good("ruby", {**GEMS, "Gemfile.lock": "GEM\n  x\n"})
    assert "-----> Restoring cache\n" in done.output
    assert asked(bench, "bundle install") == ["bundle install --quiet"]


def test_assets_are_made_if_rake_knows_how_and_nobody_committed_them(bench):
    (bench.config / "SECRET").write_text("hush")
    bench.env["TASKS"] = "db:migrate assets:precompile"
    app = {**GEMS, "Rakefile": "", "Gemfile.lock": "GEM\n  specs:\n    rake (13.0.6)\n"}
    assert "-----> Preparing app for Rails asset pipeline\n" in bench.good("ruby", app).output
    assert "made with" not in bench.good("ruby", {**app, "public/assets/.sprockets-manifest-1.json": ""}).output
    assert "made with" not in bench.good("ruby", {**GEMS, "Rakefile": ""}).output
    bench.env["TASKS"] = "db:migrate"
    assert "made with" not in bench.good("ruby", app).output
    bench.env |= {"TASKS": "assets:precompile", "NO_ASSETS": "1"}
    done = bench.compile("ruby", app)
    assert done.status == 1
    assert "       made with hush\n" in done.output
    assert "Error: Precompiling assets failed" in done.output


@pytest.mark.parametrize(
    ("files", "types"),
    [
        ({}, ["rake", "console"]),
        ({"config.ru": ""}, ["rake", "console", "web"]),
        ({"config/application.rb": ""}, ["rake", "console", "web"]),
    ],
)
def test_ruby_apps_have_herokus_default_types(files, types, bench):
    said = bench.release("ruby", bench.tree({**GEMS, **files})).splitlines()
    assert said[0] == "default_process_types:"
    assert [line.strip().partition(":")[0] for line in said[1:]] == types


RUBY_WRONG = {
    "no lock file": ({"Gemfile": ""}, {}, ["no Gemfile.lock", "git add Gemfile.lock"]),
    "another ruby": ({**GEMS, "Gemfile": 'ruby "2.7.1"\n'}, {}, ["Ruby 2.7.1, which", "There is 3.1.2"]),
    "another ruby in its file": ({**GEMS, "Gemfile": "", ".ruby-version": "ruby-3.9.0"}, {}, ["Ruby 3.9.0"]),
    "a gem that there is not": (GEMS, {"BROKEN": "1"}, ["       no such gem\n", "Failed to install gems via Bundler"]),
    "a vendor folder that leads away": ({**GEMS, "vendor": "-> ../elsewhere"}, {}, ["leads through a symbolic link"]),
}


@pytest.mark.parametrize("name", RUBY_WRONG)
def test_a_ruby_build_fails_with_the_reason_of(name, bench):
    files, env, sentences = RUBY_WRONG[name]
    (bench.base / "elsewhere").mkdir()
    bench.env |= env
    done = bench.compile("ruby", files)
    assert done.status == 1, done.output
    for sentence in sentences:
        assert sentence in done.output
    assert not (bench.cache / "ruby").exists()
    assert list((bench.base / "elsewhere").iterdir()) == []


def test_a_go_app_is_built_into_bin_and_its_module_is_the_web_process(bench):
    bench.env["PROGRAMS"] = "demo worker"
    assert bench.detect("go", bench.tree(MODULE)) == ["Go", "go.mod"]
    done = bench.good("go", MODULE)
    assert asked(bench, "go build") == ["go build -tags heroku -o bin/ ./..."]
    assert "-----> Using Go 1.19.8 of this host; go.mod asks for 1.19\n" in done.output
    assert "       ./bin/demo\n" in done.output
    assert done.dyno("command -v worker") == f"{done.tree}/bin/worker"
    assert bench.release("go", done.tree) == "default_process_types:\n  web: bin/demo\n"


@pytest.mark.parametrize(("programs", "web"), [("other", "  web: bin/other\n"), ("one two", ""), ("a$b", "")])
def test_go_has_a_default_type_only_if_there_is_no_doubt(programs, web, bench):
    bench.env["PROGRAMS"] = programs
    done = bench.good("go", MODULE)
    assert bench.release("go", done.tree) == (f"default_process_types:\n{web}" if web else "--- {}\n")


def test_the_packages_that_a_config_var_names_are_built(bench):
    (bench.config / "GO_INSTALL_PACKAGE_SPEC").write_text("./cmd/a ./cmd/b")
    bench.good("go", {**MODULE, "vendor/modules.txt": ""})
    assert asked(bench, "go build") == ["go build -mod=vendor -tags heroku -o bin/ ./cmd/a ./cmd/b"]


GO_WRONG = {
    "a newer go": ({"go.mod": "module x\ngo 1.99\n"}, {}, ["Go 1.99, which go.mod asks for", "There is 1.19.8"]),
    "a mistake": (MODULE, {"BROKEN": "1"}, ["       ./main.go:3:1: syntax error\n", "could not be built"]),
    "no program": (MODULE, {"PROGRAMS": ""}, ["No package of this module is a program"]),
    "a bin that leads away": ({**MODULE, "bin": "-> ../elsewhere"}, {}, ["leads through a symbolic link"]),
}


@pytest.mark.parametrize("name", GO_WRONG)
def test_a_go_build_fails_with_the_reason_of(name, bench):
    files, env, sentences = GO_WRONG[name]
    (bench.base / "elsewhere").mkdir()
    bench.env |= env
    done = bench.compile("go", files)
    assert done.status == 1, done.output
    for sentence in sentences:
        assert sentence in done.output
    assert list((bench.base / "elsewhere").iterdir()) == []


MISSING = [
    ("ruby", "ruby", GEMS, "apt-get install ruby-full"),
    ("ruby", "bundle", GEMS, "apt-get install ruby-bundler"),
    ("go", "go", MODULE, "apt-get install golang-go"),
    ("nodejs", "node", {"package.json": "{}"}, "apt-get install nodejs npm"),
    ("nodejs", "npm", {"package.json": "{}"}, "apt-get install npm"),
    ("python", "python3", {"requirements.txt": ""}, "apt-get install python3"),
    ("static", "python3", {"index.html": ""}, "apt-get install python3"),
]


@pytest.mark.parametrize(("pack", "tool", "files", "words"), MISSING)
def test_a_tool_that_the_host_lacks_is_named_with_its_package(pack, tool, files, words, bench):
    """The host has bash and a few programs of its own, none of which is the one that is wanted."""
    only = bench.base / "only"
    only.mkdir()
    for name in ("bash", "env", "dirname", "mkdir", "cat", "sed", "grep", "tr", "head", "cut", "ls", "realpath", "rm"):
        (only / name).symlink_to(shutil.which(name))
    for name in {"ruby", "bundle", "go", "node", "npm"} - {tool}:
        bench.fake(name, "echo 1")
    (bench.bin / tool).unlink(missing_ok=True)
    bench.env["PATH"] = f"{bench.bin}:{only}"
    done = bench.compile(pack, files)
    assert done.status == 1, done.output
    assert words in done.output
