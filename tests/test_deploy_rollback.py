"""Back to an earlier release, requests counted; and slugs that go when there are many, or when the disk is full."""

import asyncio
import os
import time

import pytest

from procman.core.records import App, Release, Slug
from procman.platform import slug_collection
from procman.store import tables
from tests.deploy_site import DeploySite, Visitor, page, write
from tests.server_fakes import Platform

BACK_S = 10.0  # from the request to the old page; 1 s here


@pytest.fixture(scope="module")
def site():
    site = DeploySite()
    site.start()
    yield site
    site.close()


def test_a_rollback_brings_slug_and_config_back_soon_and_loses_no_request(site):
    clone = site.clone("back", page("one"))
    site.server.call("PATCH", "/apps/back/config-vars", {"SETTING": "first"})
    site.push(clone)
    write(clone, {"word": "two"})
    site.push(clone)
    site.server.call("PATCH", "/apps/back/config-vars", {"SETTING": "second", "MORE": "1"})
    site.shows("back", "two second")
    with Visitor(site, "back") as visitor:
        began = time.monotonic()
        release = site.server.call("POST", "/apps/back/releases", {"release": "v4"})
        site.shows("back", "one first")
        took = time.monotonic() - began
    assert (release["version"], release["description"]) == (7, "Rollback to v4")
    assert visitor.lost == []
    texts = [text for _, text in visitor.answers]
    assert list(dict.fromkeys(texts)) == ["two second", "one first"]  # one step, and never back
    assert took < BACK_S
    assert site.server.call("GET", "/apps/back/config-vars") == {"SETTING": "first"}
    assert "Everything up-to-date" in site.push(clone)
    write(clone, {"word": "three"})
    site.push(clone)
    assert site.visit("back").text == "three first\n"


def test_a_push_loses_no_request(site):
    clone = site.clone("busy", page("one"))
    site.push(clone)
    with Visitor(site, "busy") as visitor:
        for word in ("two", "three"):
            write(clone, {"word": word})
            site.push(clone)
    assert visitor.lost == []
    assert list(dict.fromkeys(text for _, text in visitor.answers)) == ["one -", "two -", "three -"]


def test_slugs_go_by_number_and_the_list_says_which_are_gone(site):
    clone = site.clone("many", page("1"))
    site.push(clone)
    for number in range(slug_collection.KEPT + 1):
        write(clone, {"word": f"{number}"})
        site.push(clone)
    builds = [build["id"] for build in site.server.call("GET", "/apps/many/builds")]
    left = [path.name for path in (site.server.data / "slugs").iterdir() if path.name.removesuffix(".tgz") in builds]
    assert len(left) == 2 * slug_collection.KEPT
    found = site.server.call("GET", "/apps/many/releases")
    assert [row["version"] for row in found if row["slug"] and not row["eligible_for_rollback"]] == [3, 4]
    said = site.server.call("POST", "/apps/many/releases", {"release": "v3"}, status=410)
    assert said["message"] == "Cannot roll back to v3: its slug was removed to save space."
    listed = site.shop.call("releases", "-a", "many", env=site.env).stdout
    [line] = [line for line in listed.splitlines() if line.startswith("v3 ")]
    assert line.endswith("its slug is gone")


@pytest.fixture
def crowded(tmp_path):
    """A platform with two apps; the first has six slugs of which v8 is current, the second one."""
    platform = Platform(tmp_path)

    def fill(tx):
        for name, count in (("first", 6), ("second", 1)):
            app = add_app(platform, tx, name)
            for version in range(3, 3 + count):
                add_release(platform, tx, app, version)
            tables.apps.update(tx, app, release_id=f"{name}-v{2 + count}")

    platform.db.call(fill)
    yield platform
    platform.db.close()


def add_app(platform, tx, name: str) -> str:
    owner, now, (count,) = platform.owner, platform.now(), tx.execute("SELECT COUNT(*) FROM apps").fetchone()
    row = App(name, name, owner.id, owner.email, False, None, 0, 0, None, count, None, now, now, None)
    return tables.apps.insert(tx, row).id


def add_release(platform, tx, app: str, version: int) -> None:
    now, slug_id = platform.now(), f"{app}-s{version}"
    tables.slugs.insert(tx, Slug(slug_id, app, "ready", {"web": "x"}, None, None, None, 1, "s", None, {}, now, now))
    release = Release(f"{app}-v{version}", app, version, "Deploy", "succeeded", slug_id, {}, "u", "e", None, now, now)
    tables.releases.insert(tx, release)
    os.mkdir(platform.layout.slug(slug_id))
    open(platform.layout.packed_slug(slug_id), "w").close()


def on_disk(platform) -> list[str]:
    return sorted(name for name in os.listdir(platform.layout.path("slugs")) if not name.endswith(".tgz"))


def test_slugs_go_by_disk_the_oldest_first_until_there_is_room(crowded):
    free = iter([0, 0, 1 << 40])
    gone = asyncio.run(slug_collection.make_room(crowded.host, lambda: next(free)))
    assert [slug.id for slug in gone] == ["first-s3", "first-s4"]
    assert on_disk(crowded) == ["first-s5", "first-s6", "first-s7", "first-s8", "second-s3"]


def test_on_a_full_disk_the_current_slug_and_the_one_before_it_stay(crowded):
    asyncio.run(slug_collection.make_room(crowded.host, lambda: 0))
    assert on_disk(crowded) == ["first-s7", "first-s8", "second-s3"]


def test_after_a_rollback_the_slug_it_went_back_to_and_the_newest_good_one_stay(crowded):
    crowded.db.call(lambda tx: tables.apps.update(tx, "first", release_id="first-v4"))
    asyncio.run(slug_collection.make_room(crowded.host, lambda: 0))
    assert on_disk(crowded) == ["first-s4", "first-s8", "second-s3"]


def test_what_a_killed_server_has_left_among_the_slugs_is_swept_at_the_next_start(crowded):
    folder = crowded.layout.path("slugs")
    os.makedirs(os.path.join(folder, "half-made", "locked"))
    os.chmod(os.path.join(folder, "half-made"), 0o500)
    for name in ("half-made.tgz.part", "whole-but-unknown.tgz", "first-s8.3f2a.part"):
        open(os.path.join(folder, name), "w").close()
    crowded.db.call(lambda tx: tables.slugs.update(tx, "first-s3", state="collected"))
    asyncio.run(slug_collection.sweep(crowded.host))
    assert on_disk(crowded) == [f"first-s{number}" for number in range(4, 9)] + ["second-s3"]
    assert len(os.listdir(folder)) == 12
