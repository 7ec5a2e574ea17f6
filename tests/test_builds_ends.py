"""Builds that come to nothing: what they say, and that nothing of them is left, neither a process nor half a slug."""

import os
import select
import signal
import subprocess
import sys
import time

import pytest

from procman.builds import Limits
from procman.builds.request import result_path
from tests.build_site import ALONE, DEADLINE_S, ROOT, USER, Site

APP = {"Procfile": "web: python app.py\n"}
# A daemon that has left its session and its parent and holds on to a pipe, whose end tells the test of its own.
DAEMON = "(setsid bash -c 'trap \"\" TERM HUP; echo alive > $0; exec 9>$0; : > $1; exec sleep 1000' $2/pipe $2/begun "
DAEMON += "&) >/dev/null 2>&1; while [ ! -e $2/begun ]; do :; done; "


@pytest.fixture(scope="module")
def site():
    place = Site()
    yield place
    place.remove()


class Pulse:
    """A cache folder with a pipe in it; the pipe ends when the last process has that holds it."""

    def __init__(self, folder) -> None:
        os.mkdir(folder)
        os.mkfifo(f"{folder}/pipe")
        self.cache = str(folder)
        self.fd = os.open(f"{folder}/pipe", os.O_RDONLY | os.O_NONBLOCK)

    def has_stopped(self) -> bool:
        """Whether what had once lived is dead; waits for a while."""
        seen = b""
        while select.select([self.fd], [], [], DEADLINE_S)[0]:
            chunk = os.read(self.fd, 4096)
            if not chunk:
                return seen == b"alive\n"
            seen += chunk
        return False


@pytest.fixture
def pulse(site, tmp_path):
    """A cache folder of the test's own, that tells of the life of a daemon."""
    made = Pulse(site.base / f"cache-{tmp_path.name}")
    yield made
    os.close(made.fd)


def line_of(process, wanted: bytes) -> None:
    """Read on until a line with these bytes has come."""
    deadline = time.monotonic() + DEADLINE_S
    seen = b""
    while wanted not in seen:
        left = deadline - time.monotonic()
        assert left > 0 and select.select([process.stdout], [], [], left)[0], f"never came: {wanted!r} in {seen!r}"
        chunk = os.read(process.stdout.fileno(), 4096)
        assert chunk, f"ended without {wanted!r}: {seen!r}"
        seen += chunk


def test_a_failing_compile_says_so_in_herokus_words_and_leaves_nothing(site):
    built = site.finished(APP, site.pack("failing", compile="echo 'no such thing' >&2; exit 3"))
    assert built.output.endswith(
        "no such thing\n !     Push rejected, failed to compile Fake app.\n\n !     Push failed\n"
    )
    assert (built.status, built.errors) == (1, "")
    result = built.result
    assert (result.ok, result.reason) == (False, "compile")
    assert result.failure.startswith("failed to compile Fake app")
    assert "no such thing" in result.lines
    assert built.nothing_left


def test_an_error_that_a_buildpack_tells_stands_in_the_record(site):
    built = site.finished(APP, site.pack("telling", compile="echo ' !     Error: no such version.'; exit 1"))
    assert built.result.failure == "failed to compile Fake app: no such version."
    assert built.result.phases.keys() == {"source", "buildpacks", f"compile {site.base}/packs/telling"}


def test_the_last_fifty_lines_of_the_buildpack_are_kept(site):
    built = site.finished(APP, site.pack("chatty", compile="seq 1 500; exit 1"))
    assert len(built.result.lines) <= 50
    assert "500" in built.result.lines and "400" not in built.result.lines


def test_a_missing_tool_is_named_with_the_package_that_has_it(site):
    built = site.finished(APP, site.pack("toolless", compile="set -e; PATH=/nowhere; pg_config --version"))
    assert " !     pg_config is missing on this host: apt-get install libpq-dev\n" in built.output
    assert "pg_config is missing" in built.result.failure


def test_a_full_disk_is_explained_with_numbers(site):
    built = site.finished(APP, site.pack("full", compile="echo 'write: No space left on device' >&2; exit 1"))
    line = next(line for line in built.output.splitlines() if "The disk is full" in line)
    assert " are free of " in line and built.request.work in line


def test_a_killed_compile_is_explained_by_memory(site):
    built = site.finished(APP, site.pack("killed", compile="kill -9 $$"))
    assert " !     The build ran out of memory or was killed: " in built.output


def test_a_chosen_buildpack_that_says_no_ends_the_build(site):
    built = site.finished(APP, site.pack("refusing", detect="echo 'wants a Fakefile'; exit 1"))
    assert f"-----> App not compatible with buildpack: {site.base}/packs/refusing\n" in built.output
    assert "       wants a Fakefile\n" in built.output
    assert built.output.endswith("\n !     Push failed\n")
    assert built.result.reason == "detect"
    assert built.nothing_left


def test_a_buildpack_that_is_none_is_refused_before_anything_runs(site):
    good = site.pack("unrun", compile="echo RAN")
    built = site.finished(APP, good, f"{site.base}/no-such-pack")
    assert built.result.reason == "detect" and "RAN" not in built.output
    said = f" !     Cannot use the buildpack {site.base}/no-such-pack: No such file or directory.\n"
    assert said in built.output
    built = site.finished(APP, "heroku/cobol")
    assert "procman comes with heroku/ruby, heroku/nodejs, heroku/python" in built.output


def test_a_buildpack_of_a_config_var_is_named_in_what_is_said_of_it(site):
    built = site.finished(APP, env={"BUILDPACK_URL": "file:///etc"})
    assert "-----> Using buildpack: file:///etc\n" in built.output
    assert " !     Cannot use the buildpack file:///etc: it is no address of a buildpack.\n" in built.output


@pytest.mark.parametrize("word", ["ext::sh -c id", "file:///etc", "--upload-pack=id", "-x", "/etc/passwd", "nonsense"])
def test_an_address_that_is_none_of_a_buildpack_is_refused(site, word):
    built = site.finished(APP, word)
    assert built.result.reason == "detect"
    assert built.output.endswith(" !     Push failed\n")
    assert "uid=" not in built.output and "root:x" not in built.output


def test_a_daemon_of_a_detect_that_holds_its_pipes_does_not_hold_the_build(site):
    built = site.finished(APP, site.pack("holding", detect="sleep 1000 & echo Fake"))
    assert built.result.ok and built.result.language == "Fake"


def test_what_a_detect_prints_is_read_to_its_end_and_mostly_dropped(site):
    lines = "echo Fake; yes | head -c 5000000; yes | head -c 5000000 >&2"
    built = site.finished(APP, site.pack("endless", detect=lines))
    assert built.result.language == "Fake"
    assert len(built.output) < 5000


def test_an_app_that_no_buildpack_takes_is_told_what_would_do(site):
    built = site.finished({"notes.txt": "x"})
    assert " !     No default language could be detected for this app.\n" in built.output
    assert "HINT: This occurs when Heroku cannot detect the buildpack to use" in built.output
    assert "notes.txt" in built.output
    assert built.output.endswith(" !     Push failed\n")
    assert (built.status, built.result.reason) == (1, "detect")


def test_a_slug_over_the_limit_is_refused_with_its_size(site):
    limits = Limits(seconds=60, slug=64 << 10)
    built = site.finished(APP, site.pack("huge", compile="head -c 150000 /dev/urandom > $1/huge"), limits=limits)
    assert " !     Compiled slug size: 147K is too large (max is 64K).\n" in built.output
    assert built.output.endswith("\n !     Push failed\n")
    assert built.result.reason == "slug-size"
    assert built.nothing_left


def test_a_build_that_takes_too_long_is_ended_with_all_that_it_began(site, pulse):
    pack = site.pack("slow", compile=DAEMON + "trap '' TERM; echo begun; sleep 1000")
    built = site.finished(APP, pack, limits=Limits(seconds=3), cache=pulse.cache)
    assert "begun\n" in built.output
    assert built.output.endswith(" !     Build timed out: it took longer than 3 seconds.\n\n !     Push failed\n")
    assert (built.status, built.result.reason) == (1, "timeout")
    assert pulse.has_stopped()
    assert built.nothing_left


def test_a_build_may_be_cancelled_and_then_everything_of_it_is_gone(site, pulse):
    built = site.begin(APP, site.pack("cancelled", compile=DAEMON + "echo begun; sleep 1000"), cache=pulse.cache)
    line_of(built.process, b"begun\n")
    built.process.send_signal(signal.SIGTERM)
    built.finish()
    assert built.output.endswith(" !     Build cancelled.\n\n !     Push failed\n")
    assert (built.status, built.result.reason) == (1, "cancelled")
    assert pulse.has_stopped()
    assert built.nothing_left


def test_a_daemon_that_a_good_build_leaves_behind_is_ended_too(site, pulse):
    built = site.finished(APP, site.pack("daemon", compile=DAEMON + "echo done"), cache=pulse.cache)
    assert built.result.ok
    assert pulse.has_stopped()


def test_a_build_ends_with_the_server_that_began_it(site, pulse):
    pack = site.pack("orphaned", compile=DAEMON + "echo begun; sleep 1000")
    reader, writer = os.pipe()
    server = os.fork()
    if server == 0:  # begins the build, tells its pid, and is killed
        built = site.begin(APP, pack, cache=pulse.cache)
        line_of(built.process, b"begun\n")
        os.write(writer, f"{built.process.pid} {built.request.slug}".encode())
        signal.pause()
    site.count += 1  # the other half has used that number
    os.close(writer)
    pid, slug = os.read(reader, 4096).decode().split()
    os.close(reader)
    keeper = os.pidfd_open(int(pid))
    os.kill(server, signal.SIGKILL)
    os.waitpid(server, 0)
    assert select.select([keeper], [], [], DEADLINE_S)[0], "the build went on without its server"
    os.close(keeper)
    assert pulse.has_stopped()
    assert not os.path.exists(slug) and not os.path.exists(f"{slug}.tgz")


def test_a_killed_keeper_takes_the_build_with_it_and_leaves_no_result(site, pulse):
    built = site.begin(APP, site.pack("headless", compile=DAEMON + "echo begun; sleep 1000"), cache=pulse.cache)
    line_of(built.process, b"begun\n")
    built.process.send_signal(signal.SIGKILL)
    built.finish()
    assert pulse.has_stopped()
    assert not os.path.exists(result_path(built.request.work)) and not os.path.exists(built.request.packed)
    assert (built.result.failure, built.result.reason) == ("the build's process was killed", "internal")
    assert "Build cancelled" not in built.output


def test_a_build_that_stops_its_compiler_is_ended_all_the_same(site, pulse):
    lines = DAEMON + "kill -STOP $PPID; echo begun; sleep 1000"
    built = site.finished(APP, site.pack("stopping", compile=lines), limits=Limits(seconds=3), cache=pulse.cache)
    assert built.result.reason == "timeout"
    assert " !     Build timed out: it took longer than 3 seconds.\n" in built.output
    assert pulse.has_stopped()
    assert built.nothing_left


def test_a_build_reaches_no_process_but_its_own(site):
    """An app's dynos run as the same user as its builds. There is such a border where root may make it."""
    who = {"user": USER, "group": USER} if ROOT else {}
    other = subprocess.Popen(["sleep", "1000"], **who)
    try:
        lines = f"kill -0 {other.pid} && echo reached; ls /proc | grep -qx {other.pid} && echo seen\n"
        lines += "kill -9 -1\n" * ALONE + "true"
        built = site.finished(APP, site.pack("reaching", compile=lines))
        assert ("reached\n" in built.output, "seen\n" in built.output) == (not ALONE, not ALONE)
        assert built.result.ok
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


def test_a_watcher_that_goes_away_does_not_stop_the_build(site):
    built = site.begin(APP, site.pack("unwatched", compile="echo begun; yes | head -c 300000; touch $1/built"))
    line_of(built.process, b"begun\n")
    built.process.stdout.close()
    built.process.stdout = None
    built.finish()
    assert built.result.ok and (built.slug / "built").exists()


@pytest.mark.parametrize("name", ["Procfile", "app.json", ".slugignore"])
def test_a_file_that_is_a_link_is_never_followed(site, name, tmp_path):
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / name).symlink_to("/etc/passwd")
    built = site.finished(tree, site.pack(f"linked{name}"))
    assert "root:" not in built.output
    assert f" !     {name} is a symbolic link, which is not followed: commit the file itself.\n" in built.output
    assert built.result.reason == "compile"


def test_a_slug_that_is_there_is_never_touched(site):
    first = site.finished(APP, site.pack("first"))
    again = site.finished(APP, site.pack("again"), slug=first.request.slug, packed=first.request.packed)
    assert (again.status, again.output) == (1, "")
    assert again.result.failure == f"cannot build: {first.request.slug} is there"
    assert sorted(os.listdir(first.slug)) == ["Procfile"] and os.path.exists(first.request.packed)


def test_a_result_that_cannot_be_written_leaves_no_slug(site):
    request, path = site.request(APP, buildpacks=(site.pack("unwritable"),), mount=None)
    os.mkdir(f"{request.work}/result.json")
    built = site.set_off(request, path).finish()
    assert (built.status, built.errors) == (1, "error: cannot keep the result of the build: Is a directory\n")
    assert built.nothing_left


def test_a_tree_of_odd_things_is_packed_without_them(site):
    lines = 'mkfifo $1/pipe; touch $1/suid; chmod 4755 $1/suid; ln -s /etc/passwd $1/out; printf x > "$1/a\nb"'
    built = site.finished(APP, site.pack("odd", compile=lines), mount=str(site.mount))
    assert built.result.ok
    assert not os.stat(built.slug / "suid").st_mode & 0o4000
    assert os.readlink(built.slug / "out") == "/etc/passwd"


def test_a_build_cannot_reach_what_is_the_servers(site):
    secret = site.base / "procman.db"
    secret.write_text("keys")
    secret.chmod(0o600)
    lines = (
        f"cat {secret} || echo refused; cat $3/../../request.json || echo refused; "
        f"touch {site.base}/slugs/x || echo refused"
    )
    built = site.finished(APP, site.pack("curious", compile=lines))
    if ROOT:
        assert built.output.count("refused\n") == 3
    assert built.result.ok


@pytest.mark.parametrize(
    ("text", "said"), [("{", "cannot build"), ("{}", "not a build request"), ("[]", "cannot build")]
)
def test_a_request_that_is_none_is_a_sentence_and_not_a_traceback(text, said, tmp_path):
    path = tmp_path / "request.json"
    path.write_text(text)
    words = [sys.executable, "-m", "procman.builds", str(path)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr and "Traceback" not in done.stderr
