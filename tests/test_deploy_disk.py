"""A disk that fills up at any moment of a push: the reason is named, what ran goes on, and with room all is well again.

The server's data lies on a small file system of its own, which only root can mount, as in continuous integration.
"""

import contextlib
import errno
import os
import subprocess
from pathlib import Path

import pytest

from tests.deploy_site import SERVE, DeploySite, page, write
from tests.harness import poll
from tests.test_deploy_killed import Push, check, settled

SIZE_MB = 96  # a build is not even begun with less than 50 MB
MOMENTS = ("app detected", "Done: ", "Launching", "Released v", "Verifying deploy")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    disk = tmp_path_factory.mktemp("disk")
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE_MB}m,mode=711", "procman-test", disk], check=True)
    for folder in (disk, *list(disk.parents)[:3]):
        if str(folder).count("/") > 1:
            folder.chmod(0o711)
    site = DeploySite(data=disk / "data")
    try:
        site.start()
        yield site
    finally:
        site.close()
        subprocess.run(["umount", "--lazy", disk], check=True)


class Ballast:
    """A file that takes all the room there is, until it is taken away."""

    def __init__(self, site) -> None:
        self.path = Path(site.server.data).parent / "ballast"

    def fill(self, leave: int = 0) -> None:
        with open(self.path, "wb", buffering=0) as file:
            disk = os.statvfs(self.path)
            room = disk.f_bavail * disk.f_frsize
            with contextlib.suppress(OSError):
                os.posix_fallocate(file.fileno(), 0, max(1, room - leave))
            while not leave:
                try:
                    file.seek(0, os.SEEK_END)
                    file.write(b"x" * 4096)
                except OSError as error:
                    assert error.errno == errno.ENOSPC
                    return

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)


@pytest.fixture
def ballast(site):
    ballast = Ballast(site)
    yield ballast
    ballast.remove()


def test_a_disk_that_is_full_at_any_moment_leaves_the_old_release_or_the_new_one(site, ballast):
    site.server.create("page")
    site.server.call("PATCH", "/apps/page/features/runtime-dyno-metadata", {"enabled": True})
    clone = site.clone(tree=page("0", procfile=f"web: {SERVE}\nrelease: echo migrated\n"))
    clone.git("remote", "add", "heroku", site.url("page"))
    site.push(clone)
    for number, moment in enumerate(MOMENTS, 1):
        write(clone, {"word": f"{number}"})
        push = Push(clone)
        push.read_to(moment)
        ballast.fill()
        push.read_to(" waits: the disk is full: 0M are free where ")
        assert site.visit("page").text.split()[0] in (f"{number - 1}", f"{number}")
        ballast.remove()
        said = push.end()
        if number % 3 == 0:
            site.server.kill()
            site.start()
        try:
            if number % 3:
                poll(lambda: "pending" not in {row[1] for row in site.releases("page")})
            else:
                check(site, (f"{number - 1}", f"{number}"))
            text = site.push(clone)
            assert "Everything up-to-date" in text or "Released v" in text
            poll(lambda number=number: site.visit("page").text.startswith(f"{number} "))
        except AssertionError as error:
            raise AssertionError(f"full at {moment}: {error}\nthe push said:\n{said}") from error
    site.server.kill()
    site.start()
    assert poll(lambda: settled(site))
    check(site, (f"{len(MOMENTS)}",))


def test_a_build_that_fills_the_disk_is_told_how_much_is_free(site):
    site.server.call("POST", "/apps", {"name": "greedy"})
    pack = site.base / "greedy"
    for name, text in (("detect", "echo greedy"), ("compile", 'dd if=/dev/zero of="$1/big" bs=1M'), ("release", "")):
        path = pack / "bin" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/bin/bash\n{text}\n")
        path.chmod(0o755)
    site.server.call("PUT", "/apps/greedy/buildpack-installations", {"updates": [{"buildpack": str(pack)}]})
    clone = site.clone(tree=page())
    clone.git("remote", "add", "heroku", site.url("greedy"))
    text = site.push(clone, status=1)
    assert "No space left on device" in text
    assert " !     The disk is full: " in text or "The disk is full: 0" in text
    site.server.call("PUT", "/apps/greedy/buildpack-installations", {"updates": []})
    site.push(clone)
    assert site.visit("greedy").text == "one -\n"


def test_a_push_to_a_disk_that_is_nearly_full_is_refused_with_the_numbers(site, ballast):
    clone = site.clone("narrow", page())
    ballast.fill(leave=8 << 20)
    text = site.push(clone, status=1)
    assert " are free on the disk of " in text and " are needed" in text
    ballast.remove()
    site.push(clone)
    assert site.visit("narrow").text == "one -\n"
