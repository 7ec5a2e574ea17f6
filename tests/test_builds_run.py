"""A build from its request to its result, by real processes: what buildpacks are given, and what is left of a build."""

import json
import os
import stat
import tarfile

import pytest

from procman.builds import Limits
from tests.build_site import ROOT, USER, Site


@pytest.fixture(scope="module")
def site():
    place = Site()
    yield place
    place.remove()


APP = {"Procfile": "web: python app.py\nworker: python work.py\n", "app.py": "print('hello')\n"}


def test_a_build_prints_what_heroku_prints(site):
    built = site.finished(APP, site.pack("plain"))
    size = built.output.rpartition("Done: ")[2].strip()
    assert built.output == (
        "-----> Building on the Heroku-24 stack\n"
        f"-----> Using buildpack: {site.base}/packs/plain\n"
        "-----> Fake app detected\n"
        "compiled\n"
        "-----> Discovering process types\n"
        "       Procfile declares types -> web, worker\n"
        "\n"
        "-----> Compressing...\n"
        f"       Done: {size}\n"
    )
    assert (built.status, built.errors) == (0, "")


def test_a_result_says_what_was_built(site):
    built = site.finished(APP, site.pack("told", release="echo 'default_process_types:'; echo '  console: irb'"))
    result = built.result
    assert result.ok and not result.failure and not result.reason
    assert result.process_types == {"web": "python app.py", "worker": "python work.py", "console": "irb"}
    assert result.default_process_types == {"console": "irb"}
    assert (result.language, result.buildpacks) == ("Fake", (f"{site.base}/packs/told",))
    assert (result.slug, result.packed) == (built.request.slug, built.request.packed)
    assert result.size == os.path.getsize(built.request.packed)
    assert result.unpacked_size == sum(len(text) for text in APP.values())
    assert result.checksum.startswith("SHA256:")
    assert {"source", "pack"} <= set(result.phases)
    assert all(seconds >= 0 for seconds in result.phases.values())
    assert "Default types for Fake  -> console" in built.output


def test_the_packed_slug_holds_what_the_unpacked_one_does(site):
    built = site.finished(APP, site.pack("packing", compile="mkdir $1/bin; touch $1/bin/run; chmod 755 $1/bin/run"))
    with tarfile.open(built.request.packed) as archive:
        names = archive.getnames()
        owners = {(member.uid, member.gid) for member in archive}
    assert names == ["./app", "./app/Procfile", "./app/app.py", "./app/bin", "./app/bin/run"]
    assert owners == {(0, 0)}
    assert sorted(path.name for path in built.slug.iterdir()) == ["Procfile", "app.py", "bin"]


def test_the_same_tree_is_packed_into_the_same_bytes(site):
    still = "find $1 -exec touch -h -d @1000000000 {} +"
    pack = site.pack("still", compile=still)
    first, second = (site.finished(APP, pack) for _ in range(2))
    assert first.result.checksum == second.result.checksum


def test_the_source_is_moved_and_nothing_else_stays_in_the_work_folder(site):
    built = site.finished(APP, site.pack("tidy"), env={"SECRET": "one-two-three"})
    assert not os.path.exists(built.request.source)
    assert os.listdir(built.request.work) == ["result.json"]
    assert stat.S_IMODE(os.stat(f"{built.request.work}/result.json").st_mode) == 0o600
    assert "one-two-three" not in json.dumps(built.result._asdict())


def test_config_vars_come_as_files_and_never_in_the_environment(site):
    lines = 'env > $1/seen; stat -c %a $3/* > $1/modes; cd $3; for f in *; do echo "$f=$(cat $f)" >> $1/files; done'
    built = site.finished(APP, site.pack("env", compile=lines), env={"API_TOKEN": "tok-12345678", "MULTI": "a\nb"})
    assert "tok-12345678" not in (built.slug / "seen").read_text()
    assert (built.slug / "files").read_text() == "API_TOKEN=tok-12345678\nMULTI=a\nb\n"
    assert set((built.slug / "modes").read_text().split()) == {"600"}


def test_a_file_of_env_dir_has_no_newline_at_its_end(site):
    built = site.finished(APP, site.pack("newline", compile="wc -c < $3/ONE > $1/size"), env={"ONE": "12345"})
    assert (built.slug / "size").read_text().strip() == "5"


def test_values_that_a_build_prints_are_masked(site):
    lines = "printf tok-; sleep 0; printf '12345678 and more\\n'; cat $3/API_TOKEN >&2"
    built = site.finished(APP, site.pack("leak", compile=lines), env={"API_TOKEN": "tok-12345678"})
    assert "[MASKED] and more\n[MASKED]\n" in built.output
    assert "tok-12345678" not in built.output


def test_scripts_find_the_documented_environment(site):
    built = site.finished(APP, site.pack("documented", compile="env > $1/seen; touch $HOME/mine; umask > $1/mask"))
    seen = dict(line.split("=", 1) for line in (built.slug / "seen").read_text().splitlines() if "=" in line)
    assert seen["STACK"] == "heroku-24"
    assert seen["SOURCE_VERSION"] == "1a2b3c4"
    assert seen["REQUEST_ID"] == built.request.build_id
    assert seen["HOME"] == built.request.slug
    assert (built.slug / "mine").exists()
    for name in ("TMPDIR", "XDG_CACHE_HOME", "RUSTUP_HOME"):  # what lies there is no part of the slug
        assert os.path.relpath(seen[name], built.request.slug).startswith("..")
    assert (built.slug / "mask").read_text() == "0022\n"


def test_the_servers_own_environment_does_not_reach_the_build(site):
    server = {"SERVER_SECRET": "hidden", "PIP_INDEX_URL": "http://127.0.0.1:9/simple"}
    built = site.finished(APP, site.pack("closed", compile="env > $1/seen"), server=server)
    seen = (built.slug / "seen").read_text()
    assert "hidden" not in seen
    assert "PIP_INDEX_URL=http://127.0.0.1:9/simple\n" in seen


def test_buildpacks_run_in_order_and_export_to_those_after_them(site):
    first = site.pack(
        "first",
        compile='echo 1 >> $1/order; echo \'export TOOL="from first" PATH="$PATH:/first"\' > $(dirname $0)/../export',
        release="echo 'default_process_types: {}'",
    )
    second = site.pack("second", compile='echo "2 $TOOL" >> $1/order; echo $PATH > $1/path', detect="echo Second")
    built = site.finished(APP, first, second)
    assert (built.slug / "order").read_text() == "1\n2 from first\n"
    assert (built.slug / "path").read_text().endswith(":/first\n")
    assert built.result.language == "Second"
    assert built.result.buildpacks == (first, second)


def test_the_last_buildpack_alone_gives_the_default_types(site):
    first = site.pack("early", release="echo 'default_process_types:'; echo '  early: x'")
    last = site.pack(
        "late", release="printf '%s\\n' --- 'addons: []' 'default_process_types:' '  web: late' '  rake: r'"
    )
    built = site.finished(APP, first, last)
    assert built.result.default_process_types == {"web": "late", "rake": "r"}
    assert built.result.process_types["web"] == "python app.py"  # a Procfile's wins
    assert "early" not in built.result.process_types


def test_the_cache_stays_from_build_to_build_and_belongs_to_the_build(site):
    pack = site.pack("caching", compile="cat $2/count 2>/dev/null; echo again >> $2/count")
    request = {"cache": str(site.base / "kept")}
    assert "again" not in site.finished(APP, pack, **request).output
    assert "again\n" in site.finished(APP, pack, **request).output
    assert os.stat(request["cache"]).st_uid == (USER or os.geteuid())


def test_a_build_runs_as_its_own_user_without_groups_or_hope(site):
    lines = "id -u > $1/who; id -G >> $1/who; grep NoNewPrivs /proc/self/status >> $1/who; touch /root/x 2>/dev/null"
    built = site.finished(APP, site.pack("user", compile=f"{lines}; true"))
    user = USER or os.geteuid()
    groups = {USER} if ROOT else {os.getegid(), *os.getgroups()}
    who = (built.slug / "who").read_text().split("\n")
    assert who[0] == str(user)
    assert set(map(int, who[1].split())) == groups
    assert who[2].split() == ["NoNewPrivs:", "1"]
    assert os.stat(built.slug / "who").st_uid == user
    if ROOT:
        assert not os.path.exists("/root/x")


def test_a_server_that_keeps_its_folders_closed_can_build_as_another_user(site):
    pack = site.pack("behind", compile="cat $3/ONE > $1/one")
    before = os.umask(0o077)
    try:
        request, path = site.request(APP, buildpacks=(pack,), env={"ONE": "1"}, mount=None)
        path.parent.chmod(0o700)
        os.chmod(request.work, 0o700)
        built = site.set_off(request, path).finish()
    finally:
        os.umask(before)
    assert built.result.ok, built.output
    assert (built.slug / "one").read_text() == "1"
    assert stat.S_IMODE(os.stat(built.slug).st_mode) == 0o755


def test_a_slug_appears_at_its_mount_for_the_build_alone(site):
    lines = "echo $1 > $1/where; echo $HOME >> $1/where; ls $1 > /dev/null"
    built = site.finished(APP, site.pack("mounted", compile=lines), mount=str(site.mount))
    if built.result.built_at == str(site.mount):
        assert (built.slug / "where").read_text() == f"{site.mount}\n{site.mount}\n"
        assert "not built at" not in built.output
    else:  # where the kernel does not let us, it is said
        assert f" ~     The app is not built at {site.mount}: " in built.output
        assert built.result.built_at == built.request.slug
    assert "where" not in os.listdir(site.mount)


def test_a_mount_that_is_not_there_is_told_and_built_without(site):
    built = site.finished(APP, site.pack("nowhere"), mount="/no/such/mount")
    assert built.result.ok
    assert " ~     The app is not built at /no/such/mount: " in built.output
    assert built.result.built_at == built.request.slug


def test_app_json_chooses_buildpacks_and_its_facts_are_handed_on(site):
    pack = site.pack("wanted")
    files = APP | {"app.json": json.dumps({"buildpacks": [{"url": pack}], "scripts": {"postdeploy": "setup"}})}
    built = site.finished(files)
    assert built.result.ok
    assert "       (set by app.json)\n" in built.output
    assert built.result.facts["postdeploy"] == "setup"


def test_what_app_json_asks_for_and_the_app_has_not_is_told(site):
    wish = {"formation": {"worker": {"quantity": 1}}, "env": {"KEY": {"required": True}, "SET": {}}}
    files = {"Procfile": "web: run\n", "app.json": json.dumps(wish)}
    built = site.finished(files, site.pack("asked"), env={"SET": "1"})
    assert [line for line in built.output.splitlines() if line.startswith(" !")] == [
        " !     app.json: warning: formation.worker is ignored: there is no process type 'worker' [no-such-type]",
        " !     app.json: warning: env.KEY is required and has no value: heroku config:set KEY=… [no-value]",
    ]


def test_an_app_without_process_types_is_told_that_nothing_will_run(site):
    built = site.finished({"Procfile": "\n"}, site.pack("idle"))
    assert built.result.ok
    assert built.result.process_types == {}
    assert " !     There are no process types: nothing will run, and dynos that run now end.\n" in built.output


def test_what_slugignore_names_is_gone_before_the_buildpack_looks(site):
    files = APP | {".slugignore": "*.psd\n/docs/\n", "art.psd": "x", "docs/a.md": "y", "lib/docs/b.md": "z"}
    built = site.finished(files, site.pack("ignoring", compile="cd $1; find . -type f | sort > /dev/stdout"))
    assert "./art.psd" not in built.output and "./docs/a.md" not in built.output
    assert "./lib/docs/b.md\n" in built.output
    assert ".slugignore leaves out 2 files" in built.output


def test_a_miscased_procfile_is_told_and_ignored(site):
    built = site.finished({"procfile": "web: x\n"}, site.pack("cased"))
    assert " ~     Mis-cased procfile detected; ignoring.\n" in built.output
    assert " ~     Rename it to Procfile to have it honored.\n" in built.output
    assert "       Procfile declares types -> (none)\n" in built.output
    assert built.result.process_types == {}


def test_a_procfile_that_a_buildpack_writes_counts(site):
    built = site.finished({"a": ""}, site.pack("writing", compile="echo 'web: made' > $1/Procfile"))
    assert built.result.process_types == {"web": "made"}


def test_a_large_slug_is_a_warning_before_it_is_an_error(site):
    limits = Limits(seconds=60, slug=1 << 20, warn=64 << 10)
    fat = site.pack("fat", compile="head -c 200000 /dev/urandom > $1/fat")
    built = site.finished(APP, fat, limits=limits)
    assert built.result.ok
    assert " !     Warning: Your slug size (" in built.output
    assert ") exceeds our soft limit (64K) which may affect boot time.\n" in built.output
