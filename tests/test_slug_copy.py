"""The folders of dynos go away, whatever a dyno or the kernel made of them."""

import os

import pytest

from procman.supervisor.slug_copy import TRASH, discard, make_folder, remove, sweep
from tests.isolated import Ground, make_ground  # noqa: F401 - a fixture

SPOIL = (
    "mkdir -p deep/er; touch deep/er/file; chmod 555 deep/er; mkdir shut; touch shut/file; chmod 0 shut; "
    "touch ./-rf '/tmp/a b' /var/tmp/c; rm file"
)


def wait(pid: int | None) -> None:
    if pid is not None:
        os.waitpid(pid, 0)


def test_a_folder_of_a_dyno_is_removed_in_the_background_and_its_name_is_free_at_once(ground: Ground):
    ground.write({"file": "slug\n"})
    isolation = ground.require()

    def deed():
        ended = ground.start(isolation, SPOIL).end()
        folder = f"{ground.dynos}/web.1.0.1"
        work = oct(os.stat(f"{folder}/work/work").st_mode & 0o777)
        pid = discard(folder)
        free = not os.path.lexists(folder)
        wait(pid)
        return ended, work, free, os.listdir(ground.dynos)

    assert ground.as_user(deed) == [[0, ""], "0o0", True, []]
    assert os.listdir(ground.slug) == ["file"]


def test_what_was_left_over_is_swept_and_what_is_to_be_kept_stays(ground: Ground):
    def deed():
        for name in ("web.1.0.1", "web.2.0.1", f"{TRASH}web.3.0.1-1-0"):
            folder = make_folder(ground.dynos, name)
            os.makedirs(f"{folder}/work/work/x")
            os.chmod(f"{folder}/work/work", 0)
        with open(f"{ground.dynos}/no-folder", "w"):
            pass
        os.symlink("/opt", f"{ground.dynos}/link")
        wait(sweep(ground.dynos, keep=["web.2.0.1"]))
        return sorted(os.listdir(ground.dynos)), sweep(f"{ground.dynos}/none"), discard(f"{ground.dynos}/none")

    assert ground.as_user(deed) == [["link", "no-folder", "web.2.0.1"], None, None]
    assert os.path.isdir("/opt")


def test_nothing_to_sweep_starts_nothing(ground: Ground):
    assert sweep(ground.dynos) is None


def test_a_folder_that_was_left_over_makes_way(ground: Ground):
    def deed():
        first = make_folder(ground.dynos, "web.1.0.1")
        with open(f"{first}/old", "w"):
            pass
        second = make_folder(ground.dynos, "web.1.0.1")
        seen = os.listdir(second), os.stat(second).st_mode & 0o777
        wait(sweep(ground.dynos))
        return first == second, *seen, os.listdir(ground.dynos)

    assert ground.as_user(deed) == [True, [], 0o700, []]


def test_a_folder_can_be_removed_here_and_now(ground: Ground):
    folder = make_folder(ground.dynos, "probe")
    os.makedirs(f"{folder}/work/work")
    os.chmod(f"{folder}/work/work", 0)
    remove(folder)
    assert os.listdir(ground.dynos) == []


def test_a_folder_that_cannot_be_made_is_an_os_error(ground: Ground):
    with open(f"{ground.path}/file", "w"):
        pass
    with pytest.raises(OSError, match="Not a directory"):
        make_folder(f"{ground.path}/file", "web.1.0.1")
