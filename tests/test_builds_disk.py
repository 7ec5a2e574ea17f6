"""Builds on a disk that is too small, which is a tmpfs in mounts of the test's own."""

import json
import os
import subprocess
import sys

import pytest

from tests.build_site import Site

# Sets the small disk up, builds, and says what is left: the result, then the names where slugs would be.
SCRIPT = """
mount -t tmpfs -o mode=711,size="$SIZE" none "$DISK" && mkdir "$DISK/slugs" && {
  "$PYTHON" -m procman.builds "$REQUEST" >"$OUT/output" 2>"$OUT/errors"; echo $? >"$OUT/status"
  cp "$WORK/result.json" "$OUT/" 2>/dev/null; ls -A "$DISK/slugs" >"$OUT/left"
}
"""
WAYS = (("unshare", "--mount"), ("unshare", "--user", "--map-root-user", "--mount"))
PROBE = ("sh", "-c", "mount -t tmpfs none /mnt")


@pytest.fixture(scope="module")
def way() -> tuple[str, ...]:
    """How mounts of our own are had here."""
    for words in WAYS:
        if subprocess.run([*words, *PROBE], capture_output=True, check=False).returncode == 0:
            return words
    pytest.skip("this kernel lets us mount nothing")


@pytest.fixture
def site():
    place = Site()
    yield place
    place.remove()


def built_on(way, site, tmp_path, size: str, compile: str) -> dict[str, str]:
    """Build with the slugs on a disk of that size; what there is afterwards, by name."""
    disk = site.base / "disk"
    disk.mkdir()
    slug = f"{disk}/slugs/1"
    where = {"slug": slug, "packed": f"{slug}.tgz", "mount": None}
    packs = (site.pack("filling", compile=compile),)
    request, path = site.request({"Procfile": "web: x\n"}, buildpacks=packs, **where)
    env = {"SIZE": size, "DISK": str(disk), "PYTHON": sys.executable, "REQUEST": str(path), "WORK": request.work}
    subprocess.run([*way, "bash", "-c", SCRIPT], env={**os.environ, **env, "OUT": str(tmp_path)}, check=True)
    return {each.name: each.read_text() for each in tmp_path.iterdir() if each.is_file()}


def test_a_build_is_refused_where_the_disk_is_nearly_full(way, site, tmp_path):
    found = built_on(way, site, tmp_path, "20m", "echo RAN")
    result = json.loads(found["result.json"])
    assert (found["status"], found["output"], found["errors"], found["left"]) == ("1\n", "", "", "")
    assert result["failure"] == f"cannot build: 20.0M are free on the disk of {site.base}/disk/slugs, 50.0M are needed"
    assert result["reason"] == "internal"


def test_a_disk_that_a_build_fills_is_told_and_emptied(way, site, tmp_path):
    found = built_on(way, site, tmp_path, "60m", "cat /dev/zero > $1/zeroes")
    assert " !     The disk is full: " in found["output"]
    assert found["output"].endswith(" !     Push rejected, failed to compile Fake app.\n\n !     Push failed\n")
    assert (found["status"], found["errors"], found["left"]) == ("1\n", "", "")


def test_a_slug_that_does_not_fit_beside_its_files_is_told(way, site, tmp_path):
    found = built_on(way, site, tmp_path, "60m", "head -c 40000000 /dev/urandom > $1/fat")
    assert " !     Cannot pack the slug.\n !     The disk is full: " in found["output"]
    assert (found["status"], found["errors"], found["left"]) == ("1\n", "", "")
    assert json.loads(found["result.json"])["failure"].startswith("cannot pack the slug: The disk is full: ")
