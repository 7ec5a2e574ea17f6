"""What a served dyno has of its own, and what it is refused: with real processes in real namespaces."""

import os
import stat

import pytest

from procman.core.plan import Limits
from procman.supervisor.proctable import environ_of
from procman.supervisor.slug_copy import make_folder
from procman.supervisor.starter import HELD, Place, covers_of, launch, mounts, row, target_of, way_for
from procman.supervisor.starter_isolation import Isolation, Way
from procman.supervisor.starter_probe import capabilities, explained
from tests.isolated import MB, MOUNT, Dyno, make_ground  # noqa: F401 - a fixture

PRIVATE = (Way.OVERLAY, Way.COPY)
SMALL = Limits("Tiny", 40 * MB, 80 * MB, 24)


def test_this_host_says_what_it_allows_and_leaves_nothing_of_the_trial(ground):
    isolation = ground.require()
    assert (isolation.reason, isolation.words()) == ("", "")
    assert os.listdir(ground.dynos) == []


@pytest.mark.parametrize("way", PRIVATE)
def test_what_a_dyno_writes_is_its_own(ground, way):
    ground.write({"kept": "slug\n", "gone": "slug\n", "deep/er/file": "slug\n"})
    ended = ground.run(
        ground.permit(way),
        "echo mine >kept; rm gone; echo more >>deep/er/file; touch new; cat kept deep/er/file; ls; pwd",
    )
    assert ended == (0, f"mine\nslug\nmore\ndeep\nkept\nnew\n{MOUNT}\n")
    with open(f"{ground.slug}/kept") as kept, open(f"{ground.slug}/deep/er/file") as deep:
        assert (kept.read(), deep.read()) == ("slug\n", "slug\n")
    assert sorted(os.listdir(ground.slug)) == ["deep", "gone", "kept"]


@pytest.mark.parametrize("way", PRIVATE)
def test_two_dynos_see_nothing_of_each_other(ground, way):
    ground.write({"file": "slug\n"})
    places = f"/tmp /var/tmp /dev/shm {MOUNT}"
    name = f"of-test-{os.getpid()}"
    write = f"for at in {places}; do echo first >$at/{name}; done; echo written; read go"
    look = f"ls {places} | grep -c {name}; id -u"

    def deed():
        first = ground.start(ground.permit(way), write)
        first.wait_for("^written$")
        second = ground.start(ground.permit(way), look).end()
        first.tell("go")
        return second, first.end()

    second, first = ground.as_user(deed)
    assert second == [0, f"0\n{ground.uid}\n"]
    assert first[0] == 0
    assert not any(os.path.exists(f"{place}/{name}") for place in ("/tmp", "/dev/shm"))


def test_a_temporary_folder_is_open_to_all_and_sticky(ground):
    ended = ground.run(ground.require(), "stat -c %a /tmp /var/tmp /dev/shm; echo $TMPDIR")
    assert ended == (0, "1777\n1777\n1777\n\n")


def test_without_a_mount_point_the_copy_appears_where_the_slug_is(ground):
    ground.write({"file": "slug\n"})
    ended = ground.run(ground.require(), "pwd; echo mine >file; cat file; ls /tmp; echo $HOME", mount=None)
    assert ended == (0, f"{ground.slug}\nmine\n{ground.path.split('/')[2]}\n{ground.slug}\n")
    with open(f"{ground.slug}/file") as file:
        assert file.read() == "slug\n"


def test_a_mount_point_that_is_not_there_counts_as_none(ground):
    assert target_of(Isolation(Way.OVERLAY), ground.slug, "/no/such/place") == ground.slug
    assert target_of(Isolation(Way.OVERLAY), ground.slug, MOUNT) == MOUNT
    assert target_of(Isolation(Way.SHARED), ground.slug, MOUNT) == ground.slug


def test_hidden_directories_are_empty_and_the_slug_is_still_there(ground):
    ground.write({"file": "slug\n"})
    isolation = ground.require()
    see = f"ls -A /opt {ground.path} 2>&1; cat file"
    ended = ground.run(isolation, see, hide=("/opt", f"{ground.path}"))
    # The ground lies in /tmp, so it is gone together with that.
    assert ended == (0, f"ls: cannot access '{ground.path}': No such file or directory\n/opt:\nslug\n")


def test_a_dyno_cannot_reach_the_control_groups_but_reads_its_quota(ground):
    ended = ground.run(
        ground.require(),
        "find /sys/fs/cgroup -type f -exec cat {} +; echo 1 >/sys/fs/cgroup/memory/tasks; ls /sys/fs/cgroup",
        limits=SMALL,
    )
    assert ended == (0, f"{40 * MB}\nmemory\n")


@pytest.mark.parametrize("way", Way)
def test_nothing_can_be_gained(ground, way):
    ended = ground.run(ground.permit(way), "grep -E '^(Cap|NoNewPrivs)' /proc/self/status; ulimit -c; umask")
    facts = dict(line.split(":\t") for line in ended.output.splitlines()[:-2])
    assert facts.pop("NoNewPrivs") == "1"
    if way == Way.SHARED:  # the bounding set cannot be emptied without a namespace; nothing can be gained from it
        facts.pop("CapBnd")
    assert set(facts.values()) == {"0" * 16}
    assert ended.output.splitlines()[-2:] == ["0", "0022"]


def test_mounts_cannot_be_undone_by_the_dyno(ground):
    mine = f"/tmp/of-test-{os.getpid()}"
    ended = ground.run(ground.require(), f"umount {MOUNT} /tmp; touch {MOUNT}/still {mine}; ls {MOUNT}")
    assert ended.status == 0
    assert "still" in ended.output and not os.path.exists(f"{MOUNT}/still") and not os.path.exists(mine)


def test_the_supervisor_can_look_into_a_dyno_and_no_dyno_into_another_or_the_supervisor(ground):
    def deed():
        first = ground.start(ground.isolation, "echo ready; read end", env={"KEY": "of-the-first"})
        first.wait_for("^ready$")
        look = f"for pid in {first.pid} {os.getpid()}; do cat /proc/$pid/environ; ls /proc/$pid/root; done; :"
        second = ground.start(ground.isolation, look).end()
        seen = b"KEY=of-the-first\0" in environ_of(first.pid)
        first.tell("")
        first.end()
        return seen, second

    ground.require()
    seen, (status, output) = ground.as_user(deed)
    assert seen
    assert status == 0
    assert output.count("Permission denied") == 4 and "of-the-first" not in output


def test_config_vars_are_in_no_argument(ground):
    place = Place(make_folder(ground.path, "life"), ground.slug, MOUNT)
    chain = launch(
        Isolation(Way.OVERLAY, unshare="/usr/bin/unshare"), place, "run", {"KEY": "s3cret", "LD_X": "s3cret"}
    )
    assert "s3cret" not in " ".join(chain.argv)
    assert chain.env == {"KEY": "s3cret", f"{HELD}LD_X": "s3cret"}
    for name in os.listdir(place.folder):
        if os.path.isfile(f"{place.folder}/{name}"):
            with open(f"{place.folder}/{name}") as file:
                assert "s3cret" not in file.read()


def test_a_process_limit_without_a_control_group_is_the_dynos_own(ground):
    """Counted by user namespace: another dyno of the same user has its own count."""
    fork = (
        "sh -c 'for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do sleep 1000 & done; echo full; read go'"
    )
    more = "sh -c 'i=0; while sleep 1000 & do i=$((i+1)); done'"

    def deed():
        first = ground.start(ground.isolation, fork, limits=SMALL)
        first.wait_for("^full$")
        second = ground.start(ground.isolation, fork, limits=SMALL)
        second.wait_for("^full$")
        third = ground.start(ground.isolation, more, limits=SMALL).end()
        for dyno in (first, second):
            dyno.tell("")
            assert dyno.end().status == 0
        return third

    ground.require()
    status, output = ground.as_user(deed)
    assert "Cannot fork" in output or "Resource temporarily unavailable" in output
    assert status != 0


def test_what_an_overlay_refuses_is_copied(ground):
    """A work directory that is none makes the kernel refuse, as some file systems would."""
    ground.write({"file": "slug\n", ".profile.d/a.sh": "echo profile"})
    isolation = ground.require()

    def deed():
        folder = make_folder(ground.dynos, "refused")
        chain = launch(isolation, Place(folder, ground.slug, MOUNT), "pwd; echo mine >file; ls -A", {"HOME": MOUNT})
        os.rmdir(f"{folder}/work")
        return Dyno(chain.argv, chain.env).end(), os.listdir(f"{folder}/own")

    ended, copied = ground.as_user(deed)
    assert ended == [0, f"profile\n{MOUNT}\n.profile.d\nfile\n"]
    assert sorted(copied) == [".profile.d", "file"]
    with open(f"{ground.slug}/file") as file:
        assert file.read() == "slug\n"


def test_a_slug_of_another_user_is_copied_so_that_the_dyno_can_write(ground):
    if os.geteuid():
        assert way_for(ground.require(), "/usr") == Way.COPY
        return
    ground.write({"file": "slug\n", "deep/file": "slug\n"})
    for name in ("", "file", "deep", "deep/file"):
        os.chown(f"{ground.slug}/{name}", 0, 0)
    ended = ground.run(ground.require(), "echo mine >deep/file; rm file; ls; cat deep/file")
    assert ended == (0, "deep\nmine\n")
    assert sorted(os.listdir(ground.slug)) == ["deep", "file"]


def test_a_slug_that_is_gone_is_said(ground):
    def deed():
        folder = make_folder(ground.dynos, "gone")
        chain = launch(ground.isolation, Place(folder, ground.slug, MOUNT), "echo ran", {"HOME": MOUNT})
        os.rmdir(ground.slug)  # between the two, so that it is the start itself that fails
        try:
            return Dyno(chain.argv, chain.env).end()
        finally:
            os.mkdir(ground.slug)

    ground.require()
    status, output = ground.as_user(deed)
    assert status == 126
    assert "procman: cannot copy the slug" in output and "ran" not in output


def test_in_the_shared_way_the_slug_is_written_and_temporary_files_still_have_a_place_of_their_own(ground):
    ground.write({"file": "slug\n"})
    ended = ground.run(
        ground.isolation._replace(way=Way.SHARED), "pwd; echo mine >file; echo $TMPDIR; stat -c %a $TMPDIR"
    )
    assert ended == (0, f"{ground.slug}\n{ground.dynos}/web.1.0.1/tmp\n1777\n")
    with open(f"{ground.slug}/file") as file:
        assert file.read() == "mine\n"


def test_a_host_without_the_tools_or_the_right_is_told_in_words(ground, monkeypatch):
    monkeypatch.setattr("procman.supervisor.starter_probe.TOOLS", ground.path)
    isolation = capabilities(ground.dynos, MOUNT)
    assert isolation.way == Way.SHARED
    assert isolation.words() == ("Dynos share one copy of the slug, and write to it: there is no unshare (util-linux)")
    fake = f"{ground.path}/unshare"
    with open(fake, "w") as file:
        file.write("#!/bin/sh\necho 'unshare: unshare failed: Operation not permitted' >&2\nexit 1\n")
    os.chmod(fake, stat.S_IRWXU)
    monkeypatch.setattr("procman.supervisor.starter_probe.TOOLS", f"{ground.path}:/usr/bin:/bin")
    isolation = capabilities(ground.dynos, MOUNT)
    assert isolation.way == Way.SHARED
    assert isolation.reason.startswith("unshare: unshare failed: Operation not permitted")
    assert os.listdir(ground.dynos) == []


def test_a_host_whose_administrator_may_allow_it_says_how(monkeypatch, tmp_path):
    (tmp_path / "restricted").write_text("1\n")
    monkeypatch.setattr("procman.supervisor.starter_probe.RESTRICTED", str(tmp_path / "restricted"))
    assert explained("mount: denied") == (
        "mount: denied; sysctl kernel.apparmor_restrict_unprivileged_userns=0 would allow it"
    )


def test_the_table_of_mounts_names_no_path_that_a_cover_may_hide(tmp_path):
    place = Place("/data/apps/1/dynos/web", "/data/slugs/2", "/data/slugs/2", (str(tmp_path),))
    assert covers_of(place._replace(hide=("/opt", "/no/such"))) == {
        "/opt": "empty",
        "/tmp": "tmp",
        "/var/tmp": "var",
        "/sys/fs/cgroup": "cgroup",
    }
    assert str(tmp_path) not in covers_of(place) or not str(tmp_path).startswith("/tmp/")
    table = mounts("/a b", {"/tmp": "tmp"})
    assert table.splitlines()[-1] == "own /a\\040b none bind 0 0"
    assert row("x", "/a\tb\\c#d", "none", "bind") == "x /a\\011b\\134c\\043d none bind 0 0\n"
