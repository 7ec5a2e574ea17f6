"""Texts of a build: app.json, .slugignore, bin/release, the Procfile as Heroku reads it, masking, explanations."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from procman.builds import process_types, release_text
from procman.builds.buildpack import name_of
from procman.builds.explain import Circumstances, reasons
from procman.builds.masker import MASK, hidden, mask
from procman.builds.report import size, without_password
from procman.formats import app_json, slugignore

ALL_KEYS = {
    "name": "demo",
    "env": {
        "PLAIN": "x",
        "SECRET_KEY": {"generator": "secret", "description": "signs cookies"},
        "MAYBE": {"required": False},
        "FLAG": {"value": True},
    },
    "formation": {"web": {"quantity": 2, "size": "standard-1x"}, "worker": {"quantity": 0, "overlap": False}},
    "buildpacks": [{"url": "heroku/nodejs"}, {"url": "heroku/python"}],
    "scripts": {"postdeploy": "python seed.py", "test": {"command": "pytest"}},
    "healthchecks": {"web": [{"type": "startup", "path": "/up", "timeout": 3}, {"type": "liveness", "path": "/no"}]},
    "cron": [{"command": "python nightly.py", "schedule": "@daily"}, {"command": "x", "schedule": "*/5 * * * *"}],
}


def test_every_key_of_app_json_is_read():
    found = app_json.parse(json.dumps(ALL_KEYS).encode())
    assert found.diagnostics == ()
    facts = found.facts()
    assert facts["formation"]["web"] == {"quantity": 2, "size": "standard-1x"}
    assert facts["overlap"] == {"worker": False}
    assert facts["health"] == {"web": {"path": "/up", "timeout": 3.0, "within": 60.0}}
    assert facts["env"]["SECRET_KEY"]["generator"] == "secret"
    assert facts["env"]["FLAG"]["value"] == "true"
    assert not facts["env"]["MAYBE"]["required"]
    assert facts["postdeploy"] == "python seed.py"
    assert facts["scripts"]["test"] == "pytest"
    assert facts["buildpacks"] == ["heroku/nodejs", "heroku/python"]
    assert [job["schedule"] for job in facts["cron"]] == ["@daily", "*/5 * * * *"]


def test_an_environment_of_app_json_overrides():
    text = b'{"env": {"A": "1"}, "environments": {"review": {"env": {"A": "2"}}}}'
    assert app_json.parse(text, environment="review").env["A"].value == "2"
    assert app_json.parse(text).env["A"].value == "1"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b'{"a": 1,\n}', "app.json:2: error: not JSON"),
        (b"[]", "not an object"),
        (b"\xff", "not UTF-8"),
        (b"[" * 100_000, "nested too deep"),
        (b'{"env": {"1A": "x"}}', "env.1A is ignored"),
        (b'{"env": {"A": {"generator": "uuid"}}}', "no generator 'uuid'"),
        (b'{"env": {"A": ["x"]}}', "its value is not a text"),
        (b'{"env": []}', "'env' is ignored: not an object"),
        (b'{"formation": {"web": {"quantity": -1}}}', "not between 0 and 100"),
        (b'{"formation": {"web": {"quantity": "2"}}}', "not a whole number"),
        (b'{"buildpacks": [{}]}', "buildpacks[0] is ignored"),
        (b'{"healthchecks": {"web": [{"path": "up"}]}}', "begins with '/'"),
        (b'{"healthchecks": {"web": [{"path": "/up", "timeout": -1}]}}', "number of seconds"),
        (b'{"cron": [{"command": "x", "schedule": "often"}]}', "cron[0] is ignored: 'often' is not a cron schedule"),
        (b'{"cron": [{"command": "x", "schedule": "99 * * * *"}]}', "'99' is not a minute between 0 and 59"),
        (b'{"cron": [{"command": "x", "schedule": "@dayly"}]}', "'@dayly' is not a cron schedule"),
    ],
)
def test_what_is_wrong_in_app_json_is_told_with_its_place(text, said):
    assert any(said in str(finding) for finding in app_json.parse(text).diagnostics)


def test_what_app_json_asks_for_and_the_app_has_not_is_told():
    env = ALL_KEYS["env"] | {"KEY": {"description": "of mail"}}
    found = app_json.parse(json.dumps(ALL_KEYS | {"env": env}).encode())
    assert [str(each) for each in found.unmet(("web",), ())] == [
        "app.json: warning: formation.worker is ignored: there is no process type 'worker' [no-such-type]",
        "app.json: warning: env.KEY is required and has no value: heroku config:set KEY=… [no-value]",
    ]
    assert list(found.unmet(("web", "worker"), ("KEY",))) == []


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(
                st.sampled_from(
                    ["env", "formation", "cron", "buildpacks", "healthchecks", "scripts", "web", "path", "url", "value"]
                ),
                inner,
            )
        ),
    )
)
def test_no_json_breaks_the_reader_of_app_json(value):
    json.dumps(app_json.parse(json.dumps(value).encode()).facts())


@pytest.mark.parametrize(
    ("pattern", "path", "directory", "gone"),
    [
        ("*.psd", "art/logo.psd", False, True),
        ("*.psd", "logo.psd.txt", False, False),
        ("/test", "test", True, True),
        ("/test", "a/test", True, False),
        ("test/", "test", False, False),
        ("test/", "a/test", True, True),
        ("docs/*.md", "docs/a.md", False, True),
        ("docs/*.md", "docs/x/a.md", False, False),
        ("docs/**/*.md", "docs/x/y/a.md", False, True),
        ("docs/**/*.md", "docs/a.md", False, True),
        ("**/tmp", "a/b/tmp", True, True),
        ("data/**", "data/x", False, True),
        ("[ab].txt", "a.txt", False, True),
        ("[!ab].txt", "a.txt", False, False),
        ("wh?t", "what", False, True),
        (r"\#x", "#x", False, True),
    ],
)
def test_slugignore_patterns_are_gitignores(pattern, path, directory, gone):
    assert slugignore.parse(pattern.encode()).matches(path, directory) is gone


def test_slugignore_has_no_negation():
    found = slugignore.parse(b"# note\n\n*.md\n!README.md\n")
    assert found.matches("README.md", False)
    assert [str(finding) for finding in found.diagnostics] == [
        ".slugignore:4: warning: '!' is not supported in .slugignore, the line is ignored (as on Heroku) [negation]"
    ]


@given(st.binary())
def test_no_slugignore_breaks_the_reader(data):
    slugignore.parse(data).matches("a/b.txt", False)


@pytest.mark.parametrize(
    ("text", "types"),
    [
        ("--- {}\n", {}),
        ("", {}),
        ("---\ndefault_process_types:\n  web: npm start\n", {"web": "npm start"}),
        ("addons:\n- heroku-postgresql\n  \ndefault_process_types:\n  web: x\n", {"web": "x"}),
        (
            "default_process_types:\n  web: \"bin/x -p \\\"1\\\"\"\n  b: 'it''s' # c\n",
            {"web": 'bin/x -p "1"', "b": "it's"},
        ),
        (
            "config_vars:\n  A: b\ndefault_process_types:\n    rake: bundle exec rake # note\n",
            {"rake": "bundle exec rake"},
        ),
        ("default_process_types: {}\n", {}),
        ("default_process_types:\n  web: java -cp a:b Main\n", {"web": "java -cp a:b Main"}),
        (
            "default_process_types:\n  web: bin/rails server -p ${PORT:-5000}\n",
            {"web": "bin/rails server -p ${PORT:-5000}"},
        ),
    ],
)
def test_the_output_of_bin_release_is_read(text, types):
    assert release_text.process_types(text) == types


@pytest.mark.parametrize(
    "text",
    ["default_process_types:\n  web: |\n    x\n", "a b c\n", "x:\n  y: 1\n    z: 2\n", "default_process_types: x\n"],
)
def test_other_yaml_is_refused(text):
    with pytest.raises(release_text.BadRelease):
        release_text.process_types(text)


def test_a_procfile_is_read_as_heroku_does_and_more():
    found = process_types.declared(b"web: a\nworker b\nclock:c\nweb: d\nrelease : e\n???\n")
    assert found.types == {"web": "d", "worker": "b", "clock": "c", "release": "e"}
    assert any(text.startswith("Procfile:6: ") for text in found.warnings)
    assert any("Procfile:4: declared twice" in text for text in found.warnings)


@pytest.mark.parametrize(
    ("types", "defaults", "lines"),
    [
        ({"web": "a", "clock": "b"}, {}, ["Procfile declares types -> clock, web"]),
        ({}, {}, ["Procfile declares types -> (none)"]),
        (None, {}, ["Procfile declares types -> (none)"]),
        ({"web": "a"}, {"web": "b"}, ["Procfile declares types -> web"]),
        (
            {"web": "a"},
            {"rake": "b", "console": "c"},
            ["Procfile declares types     -> web", "Default types for buildpack -> console, rake"],
        ),
    ],
)
def test_process_types_are_listed_in_herokus_words(types, defaults, lines):
    assert process_types.words(types, defaults, "") == lines


SECRET = st.text("abcdefgh123", min_size=6, max_size=20)


@given(st.lists(SECRET, min_size=1, max_size=4), st.binary(max_size=80), st.lists(st.integers(0, 300), max_size=9))
def test_no_cut_of_the_stream_lets_a_value_through(values, noise, cuts):
    data = noise.join(value.encode() for value in [*values, *values]) + noise
    masker = mask(values)
    ends = sorted({min(cut, len(data)) for cut in cuts} | {len(data)})
    starts = [0, *ends[:-1]]
    out = b"".join(masker.feed(data[start:end]) for start, end in zip(starts, ends, strict=True)) + masker.end()
    assert MASK in out
    assert not any(value.encode() in out for value in values)


def test_values_are_masked_across_chunks_and_in_addresses():
    masker = mask(["hunter2hunter2", "postgres://u:pa%24sword@host/db", "line one!\nline two!", "true", "production"])
    out = (
        masker.feed(b"a hunter2hun") + masker.feed(b"ter2 b pa$sword line two! true production hunter2") + masker.end()
    )
    assert out == b"a [MASKED] b [MASKED] [MASKED] true production hunter2"


def test_where_a_buildpack_comes_from_is_shown_and_who_fetches_it_is_not():
    address = "https://token-1:pass%24word@git.example/pack.tgz?private_token=glpat%2Dsecret&x=1#main"
    config = {"BUILDPACK_URL": address, "GREETING": "python", "KEY": "abcdef"}
    masker = mask(hidden(config))
    said = masker.whole(b"heroku/python, https://git.example/pack.tgz, token-1, pass%24word, pass$word, abcdef")
    assert said == b"heroku/python, https://git.example/pack.tgz, [MASKED], [MASKED], [MASKED], [MASKED]"
    assert masker.whole(b"?private_token=glpat%2Dsecret, glpat-secret") == b"?private_token=[MASKED], [MASKED]"


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["gcc: command not found"], "gcc is missing on this host: apt-get install build-essential"),
        (["x.c:1:10: fatal error: libpq-fe.h: No such file"], "libpq-fe.h is missing on this host: apt-get install"),
        (["error: command 'x86_64-linux-gnu-gcc' failed: No such file or directory"], "build-essential"),
        (["/usr/bin/env: 'ruby': No such file or directory"], "apt-get install ruby-full"),
        (["OSError: [Errno 28] No space left on device"], "The disk is full: 1.0M are free of 4.0G"),
        (["FATAL ERROR: JavaScript heap out of memory"], "2.0G are free of 8.0G"),
        (["ERROR: No matching distribution found for flsk==1.0"], "requirements.txt:2: no version of 'flsk==1.0'"),
        (["ERROR: Invalid requirement: 'a b': x (from line 3 of requirements.txt)"], "requirements.txt:3: 'a b'"),
        (["npm error 404  'lodahs@1' is not in this registry."], "there is no package lodahs@1"),
        (["npm ci can only install packages when your package.json and package-lock.json"], "commit package-lock.json"),
        (["main.go:7:2: undefined: x"], "main.go:7: undefined: x"),
        (['  File "/app/settings.py", line 3, in <module>', "KeyError: 'DATABASE_URL'"], "settings.py:3: KeyError"),
        (["getaddrinfo ENOTFOUND registry.npmjs.org"], "registry could not be reached"),
    ],
)  # fmt: skip
def test_a_failure_is_explained(lines, said):
    host = Circumstances(1, 1 << 20, 4 << 30, 2 << 30, 8 << 30, "/data")
    assert said in "\n".join(reasons(lines, host, {"requirements.txt": "flask\nflsk==1.0\n"}))


def test_a_killed_build_is_explained():
    assert "2.0G are free of 8.0G" in reasons([], Circumstances(137, 1, 1, 2 << 30, 8 << 30, "/"), {})[0]


@pytest.mark.parametrize(
    ("count", "text"), [(0, "1K"), (4_000, "4K"), (25_690_112, "24.5M"), (500 << 20, "500.0M"), (3 << 30, "3.0G")]
)
def test_sizes_are_written_as_the_slug_compiler_does(count, text):
    assert size(count) == text


@pytest.mark.parametrize(
    ("word", "name"),
    [
        ("heroku/python", "python"),
        ("urn:buildpack:heroku/nodejs", "nodejs"),
        ("https://github.com/heroku/heroku-buildpack-go.git", "go"),
        ("https://github.com/heroku/heroku-buildpack-go.git#v1", None),
        ("https://example.com/heroku/python", None),
        ("/heroku/python", None),
    ],
)
def test_our_buildpacks_are_known_by_their_usual_names(word, name):
    assert name_of(word) == name


def test_passwords_in_addresses_are_not_shown():
    assert without_password("https://me:tok@example.com/x.git#main") == "https://example.com/x.git#main"
