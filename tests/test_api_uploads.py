"""Code that comes in by upload: slugs, sources, and the builds of sources."""

import hashlib
import io
import os
import tarfile

import pytest

from procman.errors import ProcmanError
from procman.platform import build_sources, sources
from tests.api_cases import make_app, play, tarball


def test_a_slug_is_announced_put_and_released(tmp_path):
    files = {"./app/Procfile": b"web: ./serve\n", "./app/bin/serve": b"#!/bin/sh\n"}
    packed = tarball(files, [("./app/s", "bin/serve")])
    checksum = f"SHA256:{hashlib.sha256(packed).hexdigest()}"

    async def scenario(platform, client):
        app = await make_app(platform, client)
        wish = {"process_types": {"web": "bin/serve"}, "checksum": checksum, "commit": "1a2b3c4d5e6f"}
        made = await client.post("/apps/demo/slugs", json=wish)
        assert made.status_code == 201, made.text
        slug = made.json()
        assert slug["blob"]["method"] == "PUT"
        early = await client.post("/apps/demo/releases", json={"slug": slug["id"]})
        assert (early.status_code, early.json()["message"]) == (422, "That slug has not been uploaded.")
        put = await client.put(slug["blob"]["url"], content=packed, headers={"Authorization": ""})
        assert put.status_code == 200, put.text
        tree = tmp_path / "data" / "slugs" / slug["id"]
        assert (tree / "Procfile").read_bytes() == b"web: ./serve\n"
        assert os.access(tree / "bin" / "serve", os.X_OK)
        assert (tree / "s").readlink().as_posix() == "bin/serve"
        shown = (await client.get(f"/apps/demo/slugs/{slug['id']}")).json()
        assert (shown["blob"]["method"], shown["size"], shown["checksum"]) == ("GET", len(packed), checksum)
        assert (await client.get(shown["blob"]["url"], headers={"Authorization": ""})).content == packed
        again = await client.put(slug["blob"]["url"], content=packed)
        assert again.status_code == 409
        release = (await client.post("/apps/demo/releases", json={"slug": slug["id"]})).json()
        assert (release["version"], release["description"]) == (3, "Deploy 1a2b3c4d")
        await platform.host.rollouts.settled(app["id"])
        assert platform.runtime.plans[app["id"]].directory == str(tree)

    play(tmp_path, scenario)


def test_a_slug_that_is_not_what_was_announced_leaves_nothing(tmp_path):
    evil = tarball({"./app/../../../escape": b"x"})

    async def scenario(platform, client):
        await make_app(platform, client)
        for content, checksum, word in (
            (tarball({"./app/a": b"1"}), "SHA256:" + "0" * 64, "checksum differs"),
            (b"no tarball", None, "annot"),
            (evil, None, "annot"),
            (tarball({"./elsewhere/a": b"1"}), None, "does not lie in app/"),
            (tarball({"./app/a": b"1" * 5000})[:60], None, "annot"),
        ):
            wish = {"process_types": {"web": "x"}} | ({"checksum": checksum} if checksum else {})
            slug = (await client.post("/apps/demo/slugs", json=wish)).json()
            answer = await client.put(slug["blob"]["url"], content=content)
            assert answer.status_code == 422
            assert word in answer.json()["message"], answer.text
        assert list((tmp_path / "data" / "slugs").iterdir()) == []
        assert not (tmp_path / "escape").exists()
        for bad in ({"we b": "x"}, {"web": ""}, {"web": 1}, {"../x": "y"}, [], None):
            refused = await client.post("/apps/demo/slugs", json={"process_types": bad})
            assert refused.status_code == 422, bad
        assert (await client.put("/slug-blobs/e30.AAAA", content=b"x")).status_code == 404

    play(tmp_path, scenario)


def test_a_source_is_put_and_got_by_its_secret_alone(tmp_path):
    async def scenario(platform, client):
        await make_app(platform, client)
        blob = (await client.post("/apps/demo/sources")).json()["source_blob"]
        bare = {"Authorization": ""}
        assert (await client.get(blob["get_url"], headers=bare)).status_code == 404
        assert (await client.put(blob["put_url"], content=b"tarball", headers=bare)).status_code == 200
        assert (await client.get(blob["get_url"], headers=bare)).content == b"tarball"
        guessed = blob["get_url"].rpartition("/")[0] + "/guess"
        assert (await client.get(guessed)).status_code == 404
        assert (await client.put(guessed, content=b"x")).status_code == 404
        path = await sources.local_file(platform.host, blob["get_url"])
        assert open(path, "rb").read() == b"tarball"
        assert await sources.local_file(platform.host, "https://elsewhere.example/x.tgz") is None
        platform.time += 2 * 86_400
        await client.post("/sources")
        assert not os.path.exists(path)

    play(tmp_path, scenario)


@pytest.mark.parametrize("top", ["", "./", "me-app-1a2b3c/"])
def test_a_builds_source_is_unpacked_with_or_without_a_folder_around_it(tmp_path, top):
    packed = tarball({f"{top}Procfile": b"web: x\n", f"{top}a/b": b"1"})

    async def scenario(platform, client):
        blob = (await client.post("/sources")).json()["source_blob"]
        await client.put(blob["put_url"], content=packed)
        good = f"sha256:{hashlib.sha256(packed).hexdigest()}"
        bring = await build_sources.from_url(platform.host, blob["get_url"], good)
        tree = tmp_path / "tree"
        tree.mkdir()
        bring(str(tree))
        assert (tree / "Procfile").read_text() == "web: x\n"
        assert (tree / "a" / "b").read_text() == "1"
        bring = await build_sources.from_url(platform.host, blob["get_url"], "sha256:" + "0" * 64)
        with pytest.raises(ProcmanError, match="its checksum is not the one that was given"):
            bring(str(tmp_path / "other"))
        assert not (tmp_path / "other").exists()

    play(tmp_path, scenario)


def test_hard_links_inside_a_tarball_stay_inside(tmp_path):
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w") as archive:
        first = tarfile.TarInfo("app/one")
        first.size = 1
        archive.addfile(first, io.BytesIO(b"1"))
        second = tarfile.TarInfo("app/two")
        second.type, second.linkname = tarfile.LNKTYPE, "app/one"
        archive.addfile(second)
    (tmp_path / "t.tar").write_bytes(held.getvalue())

    async def scenario(platform, client):
        await make_app(platform, client)
        slug = (await client.post("/apps/demo/slugs", json={"process_types": {}})).json()
        put = await client.put(slug["blob"]["url"], content=held.getvalue())
        assert put.status_code == 200, put.text
        assert (tmp_path / "data" / "slugs" / slug["id"] / "two").read_bytes() == b"1"

    play(tmp_path, scenario)
